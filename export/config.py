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
        calibrate: choose scales by the fewest spikes that differ on the first `calibration_samples` samples.
        calibration_samples: see `calibrate`.
        onnx_samples: samples on which the ONNX file is compared with the graph; 0 writes none.
    """

    profile: str = "loihi2"
    num_samples: int = 1024
    calibrate: bool = False
    calibration_samples: int = 16
    onnx_samples: int = 8

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ConfigError(f"num_samples {self.num_samples}: allowed is at least 1")
        if self.calibration_samples < 1 or self.onnx_samples < 0:
            raise ConfigError("calibration_samples >= 1 and onnx_samples >= 0 are required")
