"""One figure of a hardware profile: value, range, unit, what it covers, where it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ConfigError

KINDS = ("measured", "simulated", "inferred", "assumed")
"""How a figure was obtained, best first; a result is as good as the worst figure in it."""

COEFFICIENT_UNITS = {
    "synop_energy": "J",
    "neuron_update_active_energy": "J",
    "neuron_update_inactive_energy": "J",
    "spike_within_tile_energy": "J",
    "spike_hop_energy": "J",
    "hops_per_spike": "1",
    "threshold_controller_energy": "J",
    "threshold_delivery_energy": "J",
    "static_power": "W",
    "host_power": "W",
    "synop_time": "s",
    "neuron_update_time": "s",
    "barrier_time": "s",
    "step_time_floor": "s",
    "tdp_power": "W",
    "idle_power": "W",
    "peak_flop_rate": "FLOP/s",
}
"""Every coefficient that a profile may carry, with its SI unit."""


def require_text(**texts: str) -> None:
    """Refuse empty texts: a figure without a source is no figure."""
    for name, text in texts.items():
        if not text.strip():
            raise ConfigError(f"{name} is empty; say it in words")


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """One cost with its range.

    Attributes:
        name: one of `COEFFICIENT_UNITS`.
        value: the central figure.
        low: smallest figure that the evidence allows.
        high: largest figure that the evidence allows.
        unit: SI unit, as `COEFFICIENT_UNITS` gives it.
        covers: what one of it counts.
        source: publication, table or rule.
        kind: one of `KINDS`.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    covers: str
    source: str
    kind: str

    def __post_init__(self) -> None:
        if self.name not in COEFFICIENT_UNITS:
            raise ConfigError(f"unknown coefficient '{self.name}'; allowed are {', '.join(sorted(COEFFICIENT_UNITS))}")
        if self.unit != COEFFICIENT_UNITS[self.name]:
            raise ConfigError(
                f"unit is '{self.unit}', allowed is '{COEFFICIENT_UNITS[self.name]}'; convert the figures"
            )
        if not all(math.isfinite(figure) for figure in (self.low, self.value, self.high)):
            raise ConfigError("low, value and high must be finite numbers")
        if not 0.0 <= self.low <= self.value <= self.high:
            raise ConfigError(
                f"low {self.low:g}, value {self.value:g}, high {self.high:g}; allowed is 0 ≤ low ≤ value ≤ high"
            )
        if self.kind not in KINDS:
            raise ConfigError(f"kind is '{self.kind}', allowed are {', '.join(KINDS)}")
        require_text(covers=self.covers, source=self.source)


def weakest_kind(coefficients: Sequence[Coefficient]) -> str:
    """Return the least certain kind among `coefficients`: a product is as good as its weakest factor."""
    return max((entry.kind for entry in coefficients), key=KINDS.index)
