"""Sections [training] and [protocol]; [data] is in `data/section.py`, [model] in `model/config.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware_profiles.errors import ConfigError

MAX_OFFSETS = 10_000
PAIRS = {"test": ("test_seen", "test_unseen"), "flipped": ("flipped_seen", "flipped_unseen")}
"""Pairs of partitions (seen, unseen) that a trained model is scored on; `flipped` where the data set has them."""


def baseline_key(pair: str) -> str:
    """Return the key of the context-only baseline's scores on a pair in `metrics.json`."""
    return "context_only" if pair == "test" else f"context_only_{pair}"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained; the same in both stages of the protocol.

    Attributes:
        epochs: of stage A; stage B trains as many as stage A's best epoch took.
        batch_size: clips per step of the optimiser, over all processes.
        learning_rate: in the first epoch.
        weight_decay: of the optimiser.
        seed: of weights, order of clips, dropout and negatives.
        optimizer: `adam` (as the field) or `adamw`.
        schedule: learning rate from epoch to epoch: `cosine` to zero, `plateau` (a tenth after more than 3 epochs
            without a better validation HM, as the field) or `constant`.
        sampling: `shuffle`: every clip once per epoch; `balanced`: every class equally often, with replacement (as the
            field), `batches_per_epoch` batches per epoch.
        batches_per_epoch: with `balanced` only (the field: 500).
        gradient_clip: largest norm of the gradient, 0 for none.
        precision: `32-true`, `bf16-mixed` or `16-mixed` (GPU only) in training; evaluation is always float32.
        accelerator: `auto` takes a CUDA GPU if torch sees one.
        devices: processes, each with a GPU of its own on `gpu`; more than 1 is DDP.
        num_workers: processes that load clips, 0 for none.
        checkpoint_steps: save every so many steps too, 0 for after every epoch only.
        train_context_only: also train the context-only baseline, for the report.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    optimizer: Literal["adam", "adamw"] = "adamw"
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    batches_per_epoch: int = 0
    gradient_clip: float = 0.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    num_workers: int = 0
    checkpoint_steps: int = 0
    train_context_only: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise ConfigError(
                f"epochs {self.epochs}, learning_rate {self.learning_rate}, weight_decay {self.weight_decay}: allowed "
                "are epochs >= 1, learning_rate > 0, weight_decay >= 0"
            )
        if self.devices < 1 or self.batch_size < 2 * self.devices:
            raise ConfigError(
                f"batch_size {self.batch_size} on {self.devices} devices: allowed are at least 1 device, and 2 clips "
                "on each"
            )
        if self.sampling == "balanced" and self.batches_per_epoch < 1:
            raise ConfigError(
                f"batches_per_epoch is {self.batches_per_epoch}: with sampling 'balanced' it must be at least 1, for "
                "an epoch has no end of its own"
            )
        if self.sampling == "shuffle" and self.batches_per_epoch:
            raise ConfigError(
                f"batches_per_epoch is {self.batches_per_epoch}: with sampling 'shuffle' an epoch is every clip once; "
                'leave it out, or set sampling = "balanced"'
            )
        if not 0 <= self.seed < 2**32 or min(self.gradient_clip, self.num_workers, self.checkpoint_steps) < 0:
            raise ConfigError(
                f"seed {self.seed}, gradient_clip {self.gradient_clip}, num_workers {self.num_workers}, "
                f"checkpoint_steps {self.checkpoint_steps}: allowed are 0 and above, a seed below 2**32"
            )


@dataclass(frozen=True, kw_only=True)
class ProtocolConfig:
    """How a model is judged.

    Attributes:
        stages: `AB`: train on `train`, choose epoch and offset on the validation clips, train anew on all of them for
            as many epochs, test. `A`: test stage A's model, half the time and not the field's protocol.
        head: `video` (as the field reports) or `joint`: whose validation HM chooses the epoch, and whose scores stand
            for the model. Each head is scored with an offset of its own.
        offset_max: largest offset on the distances of seen classes (AVCA: 3; ClipClap: 4.97).
        num_offsets: candidates from 0 to `offset_max`, evenly spaced (AVCA: 16; ClipClap: 72).
    """

    stages: Literal["A", "AB"] = "AB"
    head: Literal["video", "joint"] = "video"
    offset_max: float = 3.0
    num_offsets: int = 61

    def __post_init__(self) -> None:
        if self.offset_max < 0 or not 1 <= self.num_offsets <= MAX_OFFSETS:
            raise ConfigError(
                f"offset_max {self.offset_max}, num_offsets {self.num_offsets}: allowed are offset_max >= 0 and "
                f"1..{MAX_OFFSETS} offsets"
            )
