"""A tiny data set in which motion tells the class and the context tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from training.config import TrainingConfig
from training.data.classes import PARTITION_SPLIT, ClassTable
from training.data.dataset import DATASET_FILE, ClipFeatures, DatasetWriter
from training.data.source import InputSizes
from training.model.config import ModelConfig

NUM_BINS, GROUPS, CHANNELS = 6, 3, 24
CELLS, BANDS = 6, 36
"""2 · 6² visual and 2 · 36 audio channels: 3 groups of 24."""
SIZES = InputSizes(
    visual_shape=(2, CELLS, CELLS), audio_shape=(2, BANDS), frame_features=6, audio_features=5,
    attributes=6, num_steps=NUM_BINS, dt_s=1 / NUM_BINS,
)  # fmt: skip
CLIPS = {"train": 12, "val_seen": 4, "val_unseen": 4, "test_seen": 4, "test_unseen": 4}
"""Clips per class."""
ORIGIN = "drawn at random by a test"
UNSEEN = {(0, 2): "val_unseen", (2, 1): "test_unseen", (1, 0): "test_unseen"}


def table() -> ClassTable:
    pairs = [(i, j) for i in range(GROUPS) for j in range(GROUPS)]
    attributes = np.stack([np.concatenate([np.eye(GROUPS)[i], np.eye(GROUPS)[j]]) for i, j in pairs])
    return ClassTable(
        names=tuple(f"sight{i}-sound{j}" for i, j in pairs),
        splits=tuple(UNSEEN.get(pair, "seen") for pair in pairs),
        attributes=attributes.astype(np.float32),
        attribute_names=tuple(f"{sense}{k}" for sense in ("sight", "sound") for k in range(GROUPS)),
        origin=ORIGIN,
    )


def clip(rng: np.random.Generator, sight: int, sound: int) -> ClipFeatures:
    def events(group: int) -> np.ndarray:
        rate = np.full((GROUPS, CHANNELS), 0.03)
        rate[group] = 0.6
        return (rng.random((NUM_BINS, GROUPS * CHANNELS)) < rate.ravel()).astype(np.uint8)

    return ClipFeatures(
        visual_events=events(sight),
        audio_events=events(sound),
        frame_features=rng.random((NUM_BINS, SIZES.frame_features), dtype=np.float32),
        audio_features=rng.random((NUM_BINS, SIZES.audio_features), dtype=np.float32),
    )


def write_dataset(folder: Path, seed: int = 0, partitions: Sequence[str] = tuple(CLIPS)) -> Path:
    """Write `dataset.h5` into a folder and return the file; `flipped_*` have as many clips as `test_*`."""
    rng, classes = np.random.default_rng(seed), table()
    path = folder / DATASET_FILE
    with h5py.File(path, "w") as file:
        writer = DatasetWriter(file, {"duration_s": 0.0}, classes)
        for partition in partitions:
            for label in np.flatnonzero(np.isin(np.asarray(classes.splits), PARTITION_SPLIT[partition])):
                for number in range(CLIPS[partition.replace("flipped", "test")]):
                    features = clip(rng, *divmod(int(label), GROUPS))
                    writer.append(partition, features, int(label), f"{partition}/{label}/{number}.mp4")
    return path


def model_config(**changes: object) -> ModelConfig:
    values: dict[str, object] = {
        "architecture": "mdst", "steps": (NUM_BINS,), "widths": (24, 16), "num_groups": 4, "discrepancy_width": 8,
        "context_segments": 3, "context_width": 8, "context_heads": 2, "encoder_hidden": 16, "embedding_width": 8,
    }  # fmt: skip
    return ModelConfig(**{**values, **changes})  # type: ignore[arg-type]


def training_config(**changes: object) -> TrainingConfig:
    values: dict[str, object] = {
        "epochs": 8, "batch_size": 16, "learning_rate": 0.01, "weight_decay": 1e-4, "seed": 0, "accelerator": "cpu",
    }  # fmt: skip
    return TrainingConfig(**{**values, **changes})  # type: ignore[arg-type]
