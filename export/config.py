"""Section [export] of a configuration file."""

from __future__ import annotations

from dataclasses import dataclass

from hardware_profiles.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How a network is exported.

    Attributes:
        profile: hardware profile whose integer widths are used.
        num_samples: samples on which parity is checked and spike rates are measured; `training score` needs
            all test clips among them.
    """

    profile: str = "loihi2"
    num_samples: int = 1024

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ConfigError(f"num_samples {self.num_samples}: allowed is at least 1")
