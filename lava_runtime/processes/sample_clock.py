"""Where in its sample a Process is, by its own count of time steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SampleClock:
    """Turns Lava's time steps, from 1, into the model's.

    Attributes:
        interval: time steps per sample.
        offset: a sample starts where time_step % interval == offset, as of stock `LIFReset`.
        period: steps between two ticks; divides `interval`.
    """

    interval: int
    offset: int
    period: int = 1

    def step(self, time_step: int) -> int:
        """Return the model's step, from 0."""
        return (time_step - self.offset) % self.interval

    def starts(self, time_step: int) -> bool:
        """Tell whether a sample starts."""
        return self.step(time_step) == 0

    def ticks(self, time_step: int) -> bool:
        """Tell whether the Process ticks; between its ticks it sends zeros and holds what it keeps."""
        return (self.step(time_step) + 1) % self.period == 0
