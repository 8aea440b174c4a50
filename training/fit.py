"""From a prepared data set to a checkpoint, and from outputs of any world to scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import lightning.pytorch as pl
import numpy as np
import torch

from export.checkpoint import load_checkpoint, save_checkpoint
from export.hdf5_guard import open_checked
from hardware_profiles.artifact import read_json, write_json

from .config import ModelConfig, TrainingConfig
from .data.dataset import Dataset, load_partition, open_dataset
from .errors import TrainingError
from .loop import ClassRoles, embed_classes, fit, make_split
from .mdst import MDST, InputSizes, from_config, to_config
from .protocol import Scores, Split, chance, score

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.json"
METRICS_FORMAT = "axonport-training-1"
ACCURACY_FORMAT = "axonport-accuracy-1"
NOMINAL_CLIP_S = 1.0
"""Duration that the time step is derived from when every clip was binned over its own length."""
PARTITIONS = ("test_seen", "test_unseen")
"""Test partitions in the order in which all worlds run them."""


def class_roles(dataset: Dataset) -> ClassRoles:
    """Return the classes of a data set by role.

    Raises:
        TrainingError: the data set has no classes, or no unseen ones.
    """
    classes = dataset.classes
    if classes is None:
        raise TrainingError(
            f"data set {dataset.path}: has no classes, so nothing can be learned; prepare a folder with classes.json"
        )
    split = np.asarray(classes.splits)
    roles = {role: np.flatnonzero(split == f"{role}_unseen").astype(np.int64) for role in ("val", "test")}
    seen = np.flatnonzero(split == "seen").astype(np.int64)
    if len(seen) < 2 or any(len(indices) == 0 for indices in roles.values()):
        raise TrainingError(
            f"data set {dataset.path}: {len(seen)} seen classes and {[len(r) for r in roles.values()]} "
            "unseen ones (val, test); at least 2 and 1 each are needed"
        )
    return ClassRoles(attributes=np.asarray(classes.attributes, dtype=np.float32), seen=seen, unseen=roles)


def run_fit(dataset_path: Path, model_config: ModelConfig, config: TrainingConfig, folder: Path, work: Path) -> None:
    """Train, and the context-only baseline if asked for; write checkpoint and metrics into `folder`.

    Args:
        dataset_path: `dataset.h5`.
        model_config: section [model].
        config: section [training].
        folder: an existing folder.
        work: where resumable checkpoints lie; of no use once `folder` is safe, and then the caller's to remove.
    """
    # the layers are small: threads that wait for each other cost more than they bring, on a busy machine 20 times
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    dataset = open_dataset(dataset_path)
    classes = class_roles(dataset)
    sizes = input_sizes(dataset, classes)
    model, history = _train(dataset, classes, sizes, model_config, config, work / "mdst")
    save_checkpoint(folder / CHECKPOINT, model.state_dict(), to_config(sizes, model_config))
    offset = max(history, key=lambda row: row["val_hm"])["offset"]
    metrics: dict[str, Any] = {
        "format": METRICS_FORMAT,
        "history": history,
        "offset": offset,
        "test": asdict(_test(model, dataset, classes, offset)),
    }
    if config.train_context_only:
        baseline_config = ModelConfig(**{**asdict(model_config), "use_motion": False})
        baseline, rows = _train(dataset, classes, sizes, baseline_config, config, work / "context_only")
        best = max(rows, key=lambda row: row["val_hm"])["offset"]
        metrics["context_only"] = asdict(_test(baseline, dataset, classes, best))
    write_json(folder / METRICS, metrics)


def input_sizes(dataset: Dataset, classes: ClassRoles) -> InputSizes:
    """Read the channel counts off the data."""
    train = load_partition(dataset.path, "train")
    return InputSizes(
        visual_events=train.visual_events.shape[2],
        audio_events=train.audio_events.shape[2],
        frame_features=train.frame_features.shape[2],
        audio_features=train.audio_features.shape[2],
        attributes=classes.attributes.shape[1],
        dt_s=float(dataset.config["duration_s"] or NOMINAL_CLIP_S) / train.num_bins,
    )


def _train(
    dataset: Dataset,
    classes: ClassRoles,
    sizes: InputSizes,
    model_config: ModelConfig,
    config: TrainingConfig,
    work: Path,
) -> tuple[MDST, list[dict[str, float]]]:
    pl.seed_everything(config.seed, verbose=False)
    model = MDST(sizes, model_config)
    validation = (load_partition(dataset.path, "val_seen"), load_partition(dataset.path, "val_unseen"))
    return model, fit(model, classes, config, load_partition(dataset.path, "train"), validation, work)


def _test(model: MDST, dataset: Dataset, classes: ClassRoles, offset: float) -> Scores:
    return score(
        make_split(model, classes, "test", *(load_partition(dataset.path, name) for name in PARTITIONS)), offset
    )


def run_score(training: Path, dataset_path: Path, outputs: Sequence[Path], out: Path) -> dict[str, Any]:
    """Score embeddings that other worlds computed on the test partitions.

    Args:
        training: folder written by `run_fit`.
        dataset_path: `dataset.h5`.
        outputs: HDF5 files with `embedding` `[N, E]`, N = test_seen then test_unseen, and attribute `world`.
        out: folder for `accuracy.json`.

    Raises:
        TrainingError: an outputs file does not fit the test partitions.
    """
    dataset = open_dataset(dataset_path)
    classes = class_roles(dataset)
    state, config = load_checkpoint(training / CHECKPOINT)
    model, _ = from_config(config)
    model.load_state_dict(state)
    metrics = read_json(training / METRICS)
    label = np.concatenate([load_partition(dataset.path, name).label for name in PARTITIONS])
    class_embedding = embed_classes(model, classes)
    rows = []
    for path in outputs:
        world, embedding = _read_outputs(path, (len(label), class_embedding.shape[1]))
        split = Split(
            embedding=embedding,
            label=label,
            class_embedding=class_embedding,
            seen=classes.seen,
            unseen=classes.unseen["test"],
        )
        rows.append({"world": world, **asdict(score(split, metrics["offset"]))})
    baselines = {"chance": asdict(chance(len(classes.seen), len(classes.unseen["test"])))}
    if "context_only" in metrics:
        baselines["context_only"] = metrics["context_only"]
    result = {
        "format": ACCURACY_FORMAT,
        "rows": rows,
        **baselines,
        "notes": [
            f"{len(label)} test clips: {dataset.origin}; one training seed",
            f"offset {metrics['offset']:g} on seen distances, chosen on the validation classes",
        ],
    }
    write_json(out / "accuracy.json", result)
    return result


def _read_outputs(path: Path, shape: tuple[int, int]) -> tuple[str, Any]:
    with open_checked(path) as file:
        world = str(file.attrs.get("world", path.stem))
        if "embedding" not in file or not isinstance(file["embedding"], h5py.Dataset):
            raise TrainingError(f"outputs {path}: no array 'embedding'; run export or lava_runtime on this network")
        stored = file["embedding"]
        if stored.shape != shape or stored.dtype.kind not in "iuf":
            raise TrainingError(
                f"outputs {path}: embedding is {stored.dtype} {stored.shape}, allowed are numbers {shape}; run this "
                "network on all clips of the groups test_seen, test_unseen"
            )
        embedding = np.asarray(stored[()], dtype=np.float32)
    if not np.isfinite(embedding).all():
        raise TrainingError(f"outputs {path}: embedding holds NaN or infinite values; look for them in the weights")
    return world, embedding
