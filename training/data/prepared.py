"""A prepared data set, `dataset.h5`, as training reads it."""

from __future__ import annotations

import math
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from ..errors import TrainingError
from .dataset import FEATURES, Dataset, Partition, load_partition, open_dataset
from .source import Batch, InputSizes, Int, ZeroShotData

NOMINAL_CLIP_S = 1.0
"""Duration that the time step is derived from when every clip was binned over its own length."""
NEEDED = ("train", "val_seen", "val_unseen", "test_seen", "test_unseen")
POLARITIES = 2


class PreparedClips:
    """One partition in memory; events stay uint8 until a batch is taken."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.label: Int = partition.label
        self._fields = tuple(torch.from_numpy(np.ascontiguousarray(getattr(partition, name))) for name in FEATURES)

    def batch(self, index: Int) -> Batch:
        """Return the clips at these places, in this order."""
        rows = torch.from_numpy(index)
        return Batch(*(field[rows].float() for field in self._fields))


def open_prepared(path: Path) -> ZeroShotData:
    """Open a prepared data set for training.

    Args:
        path: `dataset.h5`, or the folder that `python -m training prepare` wrote.

    Raises:
        TrainingError: no data set, no classes, or a partition of the protocol is missing.
    """
    dataset = open_dataset(path)
    if dataset.classes is None:
        raise TrainingError(
            f"dataset {dataset.path}: has no classes, so nothing can be learned; prepare a folder with classes.json"
        )
    missing = [name for name in NEEDED if name not in dataset.num_clips]
    if missing:
        raise TrainingError(
            f"dataset {dataset.path}: lacks {', '.join(missing)}; training needs {', '.join(NEEDED)}; prepare "
            "videos in folders of these names"
        )
    load = cache(partial(_load, dataset.path))  # stages and baselines read the same partitions; bytes, not floats
    return ZeroShotData(
        title=dataset.path.parent.name,
        origin=dataset.origin,
        names=dataset.classes.names,
        attributes=np.asarray(dataset.classes.attributes, dtype=np.float32),
        splits=dataset.classes.splits,
        sizes=_input_sizes(dataset, load("train").partition),
        partitions=tuple(dataset.num_clips),
        load=load,
    )


def _load(path: Path, name: str) -> PreparedClips:
    return PreparedClips(load_partition(path, name))


def _input_sizes(dataset: Dataset, train: Partition) -> InputSizes:
    """Read the shapes of inputs off the data: events of both polarities in cells × cells, and in bands."""
    assert dataset.classes is not None
    num_visual, num_audio = train.visual_events.shape[2], train.audio_events.shape[2]
    cells, bands = math.isqrt(num_visual // POLARITIES), num_audio // POLARITIES
    if POLARITIES * cells**2 != num_visual or POLARITIES * bands != num_audio:
        raise TrainingError(
            f"dataset {dataset.path}: {num_visual} visual and {num_audio} audio event channels; allowed are 2·cells² "
            "and 2·bands; prepare it again"
        )
    return InputSizes(
        visual_shape=(POLARITIES, cells, cells),
        audio_shape=(POLARITIES, bands),
        frame_features=train.frame_features.shape[2],
        audio_features=train.audio_features.shape[2],
        attributes=dataset.classes.attributes.shape[1],
        num_steps=train.num_bins,
        dt_s=float(dataset.config["duration_s"] or NOMINAL_CLIP_S) / train.num_bins,
    )
