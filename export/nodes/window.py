"""Sums over time, with which a slower stage begins: r ticks of what arrives become one tick of what is sent.

With p the period of what arrives (`Graph.period`), a window of r weights sends, in every step t in which r·p divides
t + 1, and zeros in all others::

    y[t] = Σ_k weight[k] x[t − (r − 1 − k) p],    k = 0 … r − 1, added in this order

The windows follow each other without overlap from the start of the sample, and none looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

from .signal import Float, Shape, Signal, UInt8


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowSum(Signal):
    """Weighted sum of r ticks, float dialect.  `weight` float32 [r], none negative, the oldest value's first.

    Multiples of 1/128 that sum to 1 are carried exactly by the chip's integers (`passes.window_weights`).
    """

    weight: Float
    shape: Shape

    @property
    def ratio(self) -> int:
        """Ticks r of what arrives for one tick of what is sent."""
        return len(self.weight)


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerWindowSum(Signal):
    """Weighted sum of r ticks, integer dialect: graded values.  `weight_uint8` uint8 [r], the oldest value's first.

    Any positive sum is allowed; those that `quantize` makes sum to 128, of which the next weights take 2^-7.
    """

    weight_uint8: UInt8
    shape: Shape

    @property
    def ratio(self) -> int:
        """Ticks r of what arrives for one tick of what is sent."""
        return len(self.weight_uint8)


def window_weights(node: Signal) -> Float | UInt8:
    """Return a window's weights [r] in either dialect, the oldest value's first."""
    assert isinstance(node, (WindowSum, IntegerWindowSum))
    return node.weight if isinstance(node, WindowSum) else node.weight_uint8
