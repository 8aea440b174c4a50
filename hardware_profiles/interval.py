"""Quantities with a range: every modelled figure is low, mid and high together."""

from __future__ import annotations

from dataclasses import dataclass

from .coefficient import Coefficient


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A non-negative quantity: its central figure and the range that the evidence allows."""

    low: float
    mid: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(low=self.low + other.low, mid=self.mid + other.mid, high=self.high + other.high)

    def __mul__(self, other: Interval | float) -> Interval:
        """Multiply bound by bound; both factors are non-negative, so the bounds keep their order."""
        factor = other if isinstance(other, Interval) else exactly(other)
        return Interval(low=self.low * factor.low, mid=self.mid * factor.mid, high=self.high * factor.high)

    def at_least(self, floor: Interval) -> Interval:
        """Return the larger of the two, bound by bound."""
        return Interval(low=max(self.low, floor.low), mid=max(self.mid, floor.mid), high=max(self.high, floor.high))


def exactly(figure: float) -> Interval:
    """Return a quantity that is known exactly, such as a count."""
    return Interval(low=figure, mid=figure, high=figure)


def total(parts: list[Interval]) -> Interval:
    """Return the sum of `parts`: lows with lows, highs with highs, so the range is never too narrow."""
    return sum(parts, exactly(0.0))


def cost(coefficient: Coefficient) -> Interval:
    """Return a coefficient's figures."""
    return Interval(low=coefficient.low, mid=coefficient.value, high=coefficient.high)
