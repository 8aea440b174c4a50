"""Sections [model] and [training] of a configuration file."""

from __future__ import annotations

from dataclasses import dataclass

from hardware_profiles.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the MDST.

    Attributes:
        widths: neurons of the Linear+LIF layers of each motion stream; multiples of `num_groups`.
        beta: leak per step; multiples of 1/4096 are carried to the chip exactly.
        threshold: θ at zero drive, membrane units.
        amplitude: largest relative change of θ, 0 (fixed thresholds) to below 1.
        num_groups: groups whose spike counts give the mean absolute deviation.
        fraction_bits: fraction bits of θ.
        threshold_from_motion: let θ follow the motion statistics.
        threshold_from_context: let θ follow the context statistics.
        context_width: width of the frame and audio feature encoders.
        embedding_width: dimension of the space in which samples meet class attributes.
        use_motion: False hides the motion streams from the read-out (the context-only baseline).
    """

    widths: tuple[int, ...]
    beta: float
    threshold: float
    amplitude: float
    num_groups: int
    fraction_bits: int
    threshold_from_motion: bool
    threshold_from_context: bool
    context_width: int
    embedding_width: int
    use_motion: bool = True

    def __post_init__(self) -> None:
        if not self.widths or any(width < 1 or width % self.num_groups for width in self.widths):
            raise ConfigError(f"widths {list(self.widths)}: allowed are positive multiples of num_groups")
        if not 0 < self.beta < 1 or not 0 <= self.amplitude < 1 or self.threshold <= 0:
            raise ConfigError(
                f"beta {self.beta}, amplitude {self.amplitude}, threshold {self.threshold}: allowed are "
                "0 < beta < 1, 0 <= amplitude < 1, threshold > 0"
            )
        if min(self.num_groups, self.fraction_bits, self.context_width, self.embedding_width) < 1:
            raise ConfigError("num_groups, fraction_bits, context_width and embedding_width must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the MDST is trained.

    Attributes:
        epochs: passes over the training clips.
        batch_size: clips per step of the optimiser.
        learning_rate: of AdamW, decayed by a cosine.
        weight_decay: of AdamW.
        margin: of the triplet losses.
        seed: of weights and order of clips.
        train_context_only: also train the context-only baseline, for the report.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    margin: float
    seed: int
    train_context_only: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise ConfigError("epochs >= 1, batch_size >= 2, learning_rate > 0 and weight_decay >= 0 are required")
