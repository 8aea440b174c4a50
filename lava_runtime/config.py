"""Section [simulation] of a configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware_profiles.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """What is run on Lava.

    Attributes:
        number_formats: `fixed_pt` (bit-accurate integers), `floating_pt`, or both.
        batch_size: samples side by side in the fused Process.
        process_samples: samples that also run with one Lava Process per node; 0 for none.
        parity_samples: samples on which every layer and step is compared with the interpreters.
        witness: also freeze the thresholds and compare stock Lava Processes alone with the interpreter.
        timeout_s: longest standstill before a run is ended with an error.
    """

    number_formats: tuple[Literal["fixed_pt", "floating_pt"], ...] = ("fixed_pt", "floating_pt")
    batch_size: int = 64
    process_samples: int = 3
    parity_samples: int = 1024
    witness: bool = True
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.number_formats or len(set(self.number_formats)) != len(self.number_formats):
            raise ConfigError(f"number_formats {list(self.number_formats)}: name one or both, once")
        if self.batch_size < 1 or self.process_samples < 0 or self.parity_samples < 1 or self.timeout_s <= 0:
            raise ConfigError(
                "batch_size >= 1, process_samples >= 0, parity_samples >= 1 and timeout_s > 0 are required"
            )
