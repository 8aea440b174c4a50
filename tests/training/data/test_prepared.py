"""A prepared data set as training reads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from training.data.dataset import DatasetWriter, load_partition
from training.data.prepared import NEEDED, open_prepared
from training.errors import TrainingError

from ..separable import CELLS, CLIPS, NUM_BINS, ORIGIN, SIZES, clip, table, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), partitions=(*CLIPS, "flipped_seen", "flipped_unseen"))


def test_what_the_data_set_says_is_what_training_reads(dataset: Path) -> None:
    data = open_prepared(dataset.parent)
    assert data.sizes == SIZES and data.origin == ORIGIN and data.title == dataset.parent.name
    assert data.names == table().names and data.splits == table().splits
    assert np.array_equal(data.attributes, table().attributes)
    assert set(data.partitions) == {*NEEDED, "flipped_seen", "flipped_unseen"}
    assert data.roles("A").seen.tolist() == [0, 1, 4, 5, 6, 8] and data.roles("A").unseen.tolist() == [2]
    assert data.roles("B").seen.tolist() == [0, 1, 2, 4, 5, 6, 8] and data.roles("B").unseen.tolist() == [3, 7]


def test_batches_are_the_stored_clips_in_the_order_asked_for(dataset: Path) -> None:
    clips, stored = open_prepared(dataset).load("val_seen"), load_partition(dataset, "val_seen")
    assert np.array_equal(clips.label, stored.label)
    index = np.array([5, 0, 23, 5])
    batch = clips.batch(index)
    for name, field in batch._asdict().items():
        assert field.dtype == torch.float32
        assert np.array_equal(field.numpy(), getattr(stored, name)[index]), name
    assert 0 < batch.visual_events.mean() < 1


def test_a_partition_is_read_from_disk_once(dataset: Path) -> None:
    data = open_prepared(dataset)
    assert data.load("train") is data.load("train")


def test_the_time_step_is_derived_from_a_fixed_duration(tmp_path: Path, dataset: Path) -> None:
    copy = Path(shutil.copy(dataset, tmp_path / "dataset.h5"))
    with h5py.File(copy, "r+") as file:
        file.attrs["config"] = '{"duration_s": 3.0}'
    assert open_prepared(copy).sizes.dt_s == 3.0 / NUM_BINS


def test_missing_partitions_and_classes_are_refused(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, partitions=("train", "test_seen"))
    with pytest.raises(
        TrainingError, match="lacks val_seen, val_unseen, test_unseen; training needs train, "
    ) as caught:
        open_prepared(path)
    assert "\n" not in str(caught.value)
    with h5py.File(path, "w") as file:
        writer = DatasetWriter(file, {"duration_s": 0.0}, None)
        writer.append("clips", clip(np.random.default_rng(0), 0, 0), -1, "0.mp4")
    with pytest.raises(
        TrainingError, match=r"has no classes, so nothing can be learned; prepare a folder with classes"
    ):
        open_prepared(path)


def test_channels_that_are_no_grid_are_refused(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    with h5py.File(path, "r+") as file:
        for name in NEEDED:
            cut = file[name]["visual_events"][..., : 2 * CELLS**2 - 2]
            del file[name]["visual_events"]
            file[name]["visual_events"] = cut
    with pytest.raises(TrainingError, match="70 visual and 72 audio event channels; allowed are 2·cells² and 2·bands"):
        open_prepared(path)
