"""Numbers that carry a bound on how far float32 may be from them: running error analysis, derived by construction.

A `Tracked` x holds a float64 value x̂ and an error e such that every evaluation in float32 or better, in any order of
the additions within one sum, lies within e of x̂. With the unit roundoff u = 2^-24 of float32 (Higham, *Accuracy and
Stability of Numerical Algorithms*, §2.2, §3.1)::

    a + b:  e = e_a + e_b + k u (|a| + |b| + e_a + e_b)         k = 4 covers sums of up to five terms in any order
    a · b:  e = |a| e_b + |b| e_a + e_a e_b + k u |a b|
    W x + b, n terms:  e = |W| e_x + γ_n (|W| (|x| + e_x) + |b|),  γ_n = n u / (1 − n u)

The equations of the neurons are written once and run on torch tensors and on these alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

import torch

UNIT_ROUNDOFF_FLOAT32 = 2.0**-24
ROUNDINGS = 4
"""Roundings charged per elementwise operation: see k above."""


@dataclass(frozen=True, eq=False)
class Tracked:
    """A value and its error bound, both float64 and of one shape."""

    value: torch.Tensor
    error: torch.Tensor

    def __add__(self, other: Number | float) -> Tracked:
        """Sum."""
        b = track(other, self)
        return self._sum(self.value + b.value, b)

    def __sub__(self, other: Number | float) -> Tracked:
        """Difference."""
        b = track(other, self)
        return self._sum(self.value - b.value, b)

    def __rsub__(self, other: Number | float) -> Tracked:
        """Difference the other way round."""
        return track(other, self) - self

    def __mul__(self, other: Number | float) -> Tracked:
        """Product."""
        b = track(other, self)
        value = self.value * b.value
        inherited = self.value.abs() * b.error + b.value.abs() * self.error + self.error * b.error
        return Tracked(value, inherited + ROUNDINGS * UNIT_ROUNDOFF_FLOAT32 * value.abs())

    __radd__ = __add__
    __rmul__ = __mul__

    def _sum(self, value: torch.Tensor, b: Tracked) -> Tracked:
        inherited = self.error + b.error
        magnitude = self.value.abs() + b.value.abs() + inherited
        # adding an exact zero rounds nothing
        rounds = (self.value != 0) & (b.value != 0) | (inherited != 0)
        return Tracked(value, inherited + rounds * ROUNDINGS * UNIT_ROUNDOFF_FLOAT32 * magnitude)


Number = Union[torch.Tensor, Tracked]  # noqa: UP007 - an alias that is used at run time, also on Python 3.10


def track(number: Number | float, like: Tracked) -> Tracked:
    """Return a number that is exact if it carries no bound yet."""
    if isinstance(number, Tracked):
        return number
    value = torch.as_tensor(number, dtype=like.value.dtype)
    return Tracked(value, torch.zeros((), dtype=value.dtype))


def exact(number: torch.Tensor) -> Tracked:
    """Return a number without error, such as spikes."""
    return Tracked(number, torch.zeros_like(number))


def value_of(number: Number) -> torch.Tensor:
    """Return the number without its bound."""
    return number.value if isinstance(number, Tracked) else number


def heaviside(membrane: Number, threshold: Number) -> Number:
    """Return 1(membrane > threshold); a bound turns into an error of 1 where the comparison is open."""
    difference = membrane - threshold
    if isinstance(difference, Tracked):
        decided = (difference.value > 0).to(difference.value.dtype)
        return Tracked(decided, (difference.value.abs() <= difference.error).to(decided.dtype))
    return (difference > 0).to(difference.dtype)


def without(number: Number, flag: Number) -> Number:
    """Return number · (1 − flag) for flags −1, 0, 1: x, 0 or 2 x, none of which is rounded."""
    if isinstance(number, Tracked):
        taken = track(flag, number)
        kept = 1 - taken.value
        return Tracked(
            number.value * kept, number.error * kept.abs() + taken.error * (number.value.abs() + number.error)
        )
    return number - flag * number


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map of tensors, and what bounds its rounding.

    Attributes:
        apply: the map, bias included, with torch's own operation.
        magnitude: the same map with |W| and |b|; None where nothing is rounded (values only move).
        num_terms: terms of each sum, the bias included.
    """

    apply: Callable[[torch.Tensor], torch.Tensor]
    magnitude: Callable[[torch.Tensor], torch.Tensor] | None
    num_terms: int

    def __call__(self, x: Number) -> Number:
        """Map a number; a bound follows."""
        if not isinstance(x, Tracked):
            return self.apply(x)
        if self.magnitude is None:
            return Tracked(self.apply(x.value), self.apply(x.error))
        gamma = self.num_terms * UNIT_ROUNDOFF_FLOAT32 / (1 - self.num_terms * UNIT_ROUNDOFF_FLOAT32)
        spread = self.magnitude(x.error) - self.magnitude(torch.zeros_like(x.error))
        return Tracked(self.apply(x.value), spread + gamma * self.magnitude(x.value.abs() + x.error))


def multiply(a: Number, b: Number, product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], terms: int) -> Number:
    """Return a bilinear product (elementwise, or of matrices with `terms` terms per sum), bound included."""
    if not isinstance(a, Tracked) or not isinstance(b, Tracked):
        return product(value_of(a), value_of(b))
    gamma = terms * UNIT_ROUNDOFF_FLOAT32 / (1 - terms * UNIT_ROUNDOFF_FLOAT32)
    size_a, size_b = a.value.abs(), b.value.abs()
    spread = product(size_a, b.error) + product(a.error, size_b + b.error)
    rounding = gamma * product(size_a + a.error, size_b + b.error)
    return Tracked(product(a.value, b.value), spread + rounding)
