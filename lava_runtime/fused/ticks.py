"""In which time steps of a block a node ticks, and what is held in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.trace import Array


@dataclass(frozen=True, kw_only=True)
class Ticks:
    """The steps that a node takes at once.

    Attributes:
        start: first of the block's steps that are looked at.
        stop: the step after the last one.
        first: the first step from `start` on in which the node ticks.
        period: steps between two ticks, 1 for all but slower stages (`export.periods`).
    """

    start: int
    stop: int
    first: int
    period: int

    @property
    def at(self) -> slice:
        """The node's ticks."""
        return slice(self.first, self.stop, self.period)

    def back(self, steps: int) -> slice:
        """Return the ticks moved towards the past; an index of arrays that begin so early."""
        return slice(self.first - steps, self.stop - steps, self.period)

    def hold(self, record: Array, before: Array, stored: Array) -> None:
        """Write what was stored on the ticks into a record of all steps: each value until the next one.

        Args:
            record: [T, …], of a block.
            before: […], what was stored last before `start`.
            stored: [ticks, …].
        """
        steps = np.arange(self.start, self.stop)
        latest = np.maximum((steps - self.first) // self.period + 1, 0)
        record[self.start : self.stop] = np.concatenate([before[None], stored])[latest]


def ticks_between(start: int, stop: int, period: int, steps_before: int) -> Ticks:
    """Return the ticks of a block's steps: a node of period p ticks where p divides t + 1.

    Args:
        start: first step.
        stop: step after the last one.
        period: p.
        steps_before: steps of the samples before the block.
    """
    return Ticks(start=start, stop=stop, first=start + -(steps_before + start + 1) % period, period=period)
