"""Section [ablation] of a configuration file."""

from __future__ import annotations

from dataclasses import dataclass

from hardware_profiles.errors import ConfigError

MIN_SEEDS = 2
"""A standard deviation needs two values."""


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """Which runs the ablation makes.

    Attributes:
        num_seeds: seeds 0 … n − 1 of weights, order and dropout; every arm gets the same ones.
        arms: names of `arms.all_arms`; none for all.
    """

    num_seeds: int = 3
    arms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.num_seeds < MIN_SEEDS:
            raise ConfigError(
                f"num_seeds is {self.num_seeds}, allowed are {MIN_SEEDS} and more: an interval needs them"
            )
