"""A small model and data set with the interfaces that the training loop needs, and all its sources of chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from training.config import ProtocolConfig, TrainingConfig
from training.data.source import Batch, InputSizes, Int, ZeroShotData

GROUPS, NUM_STEPS = 4, 3
"""Classes are pairs (sight, sound) of 4 × 4."""
SPLITS = {(0, 1): "val_unseen", (1, 2): "val_unseen", (2, 3): "test_unseen", (3, 0): "test_unseen"}
CLIPS = {"train": 9, "val_seen": 3, "val_unseen": 5, "test_seen": 3, "test_unseen": 5}
"""Clips per class."""
ALLOWED = {
    "train": ("seen",),
    "val_seen": ("seen",),
    "val_unseen": ("val_unseen",),
    "test_seen": ("seen", "val_unseen"),
    "test_unseen": ("test_unseen",),
}
SIZES = InputSizes(
    visual_shape=(2, 1, GROUPS), audio_shape=(2, GROUPS), frame_features=3, audio_features=3, attributes=2 * GROUPS,
    num_steps=NUM_STEPS, dt_s=0.1,
)  # fmt: skip


class TinyClips:
    """Clips in memory, as noisy as `noise` says."""

    def __init__(self, label: Int, noise: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.label = label
        sight, sound = np.divmod(label, GROUPS)

        def events(group: Int) -> torch.Tensor:
            rate = np.full((len(label), 1, 2, GROUPS), noise / 2)
            rate[np.arange(len(label)), 0, :, group] = 1 - noise
            drawn = rng.random((len(label), NUM_STEPS, 2, GROUPS)) < rate
            return torch.from_numpy(drawn.reshape(len(label), NUM_STEPS, -1).astype(np.float32))

        features = torch.from_numpy(rng.random((2, len(label), NUM_STEPS, 3), dtype=np.float32))
        self._batch = Batch(events(sight), events(sound), *features)

    def batch(self, index: Int) -> Batch:
        return Batch(*(field[torch.from_numpy(index)] for field in self._batch))


def tiny_data(noise: float = 0.3, extra: tuple[str, ...] = ()) -> ZeroShotData:
    """16 classes: 12 seen, 2 unseen in validation, 2 in the test; `extra` names further partitions like test_*."""
    pairs = [(i, j) for i in range(GROUPS) for j in range(GROUPS)]
    splits = tuple(SPLITS.get(pair, "seen") for pair in pairs)
    names = (*CLIPS, *extra)

    def load(name: str) -> TinyClips:
        like = name.replace("flipped", "test")
        classes = np.flatnonzero(np.isin(np.asarray(splits), ALLOWED[like]))
        return TinyClips(np.repeat(classes, CLIPS[like]), noise, seed=names.index(name))

    return ZeroShotData(
        title="tiny", origin="drawn by a test", names=tuple(f"sight{i}-sound{j}" for i, j in pairs),
        attributes=np.stack([np.eye(2 * GROUPS, dtype=np.float32)[[i, GROUPS + j]].sum(axis=0) for i, j in pairs]),
        splits=splits, sizes=SIZES, partitions=names, load=load,
    )  # fmt: skip


class TinyHeads(NamedTuple):
    video: torch.Tensor
    audio: torch.Tensor

    @property
    def joint(self) -> torch.Tensor:
        return (self.video + self.audio) / 2


class TinyModel(nn.Module):
    """Two stages, batch statistics, dropout, and negatives drawn in the loss."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.video, self.audio = self._encoder(width), self._encoder(width)
        self.classes = nn.Linear(2 * GROUPS, width)
        self.unused = nn.Linear(2, 2)  # some ablations leave parts out

    @staticmethod
    def _encoder(width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(2 * 2 * GROUPS, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, width)
        )

    def forward(self, batch: Batch) -> tuple[TinyHeads, ...]:
        def stage(num_steps: int) -> TinyHeads:
            seen = batch.visual_events[:, :num_steps].mean(1)
            heard = batch.audio_events[:, :num_steps].mean(1)
            both = torch.cat([seen, heard], 1)
            return TinyHeads(self.video(both), self.audio(both))

        return stage(1), stage(NUM_STEPS)

    def embed_classes(self, attributes: torch.Tensor) -> torch.Tensor:
        return self.classes(attributes)

    def loss(
        self, stages: tuple[TinyHeads, ...], label: torch.Tensor, attributes: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        word = self.embed_classes(attributes)
        other = (label + torch.randint(1, len(word), label.shape)) % len(word)
        terms = {
            "triplet": sum(F.triplet_margin_loss(heads.video, word[label], word[other]) for heads in stages),
            "projection": sum(F.mse_loss(heads.joint, word[label]) for heads in stages),
        }
        return terms["triplet"] + terms["projection"], terms

    def spike_rates(self) -> dict[str, float]:
        return {"video": 0.25}


def make_tiny(seed: int = 0) -> Callable[[], TinyModel]:
    def make() -> TinyModel:
        torch.manual_seed(seed)
        return TinyModel()

    return make


def tiny_training(**changes: Any) -> TrainingConfig:
    values: dict[str, Any] = {
        "epochs": 4, "batch_size": 32, "learning_rate": 0.01, "weight_decay": 1e-5, "seed": 0, "accelerator": "cpu",
    }  # fmt: skip
    return TrainingConfig(**{**values, **changes})


PROTOCOL = ProtocolConfig()
