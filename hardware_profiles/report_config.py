"""Section [report] of a configuration file."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What is priced, and how the reference is measured.

    Attributes:
        profiles: chips to price on, built-in names or paths.
        cpu_profile: processor profile of the machine that the reference runs on.
        gpu_profile: processor profile of the GPU beside it.
        batch_sizes: batches of the reference.
        window_s: least length of one timed window in seconds; several seconds where a meter exists.
    """

    profiles: tuple[str, ...] = ("loihi1", "loihi2")
    cpu_profile: str = "cpu-generic"
    gpu_profile: str = "gpu-h200"
    batch_sizes: tuple[int, ...] = (1, 32)
    window_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.profiles or not self.batch_sizes or min(self.batch_sizes) < 1 or self.window_s <= 0:
            raise ConfigError("profiles and batch_sizes (each at least 1) must not be empty, window_s must be positive")
