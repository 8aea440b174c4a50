"""Products of two signals: what attention needs beyond coincidence detectors. Both dialects; graded on a chip."""

from __future__ import annotations

from dataclasses import dataclass

from .signal import Shape, Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class Product(Signal):
    """X = a ⊙ b, elementwise; ports `a` and `b`. Of two binary spikes the reader makes an AND instead."""

    shape: Shape

    @property
    def ports(self) -> dict[str, Shape]:
        """Both factors have the product's shape."""
        return {"a": self.shape, "b": self.shape}


@dataclass(frozen=True, eq=False, kw_only=True)
class MatMul(Signal):
    """X = a b, matrix product over the last two axes; ports `a` [*batch, n, k] and `b` [*batch, k, m].

    Spikformer's (Q Kᵀ) V is two of them; of spikes, all values are integers.
    """

    shape_a: Shape
    shape_b: Shape

    @property
    def shape(self) -> Shape:
        """[*batch, n, m]."""
        return (*self.shape_a[:-1], self.shape_b[-1])

    @property
    def ports(self) -> dict[str, Shape]:
        """The factors' shapes."""
        return {"a": self.shape_a, "b": self.shape_b}
