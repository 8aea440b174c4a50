"""The nodes without memory, fused: each a function from what arrives, [rows, size] per port, to what it sends.

A row is one sample in one time step. Integers are summed event by event where few values are not zero, in int32 or
int64; where many are not, in a float that is proven to hold every partial sum. In floating point everything runs in
double precision, as Lava's own float models do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, singledispatch
from math import prod
from typing import Any

import numpy as np

from export.nodes import (
    Conv,
    Gather,
    IntegerConv,
    IntegerLinear,
    IntegerScale,
    Linear,
    MatMul,
    Pool,
    Product,
    Reduce,
    Reshape,
    Scale,
)
from export.trace import Array

from . import convolution
from .convolution import EventConvolution, FusedConvolution, windows_of
from .kernels.synapses import count_all, linear_events, linear_spikes
from .number import Numbers, shifted

DENSE_FROM_RATE = 0.5
"""Share of spikes from which a matrix product is faster than adding the weights of what spiked.

Measured at 1024 → 1024, one thread: spikes 1.4, 4.1, 7.6, 11 µs a row at rates of 5, 20, 40, 60 %, graded values 4, 15,
28, 43 µs, the product in float32 13 µs. At 784 → 512, 128 → 128 and 4096 → 4096 they meet at 50 to 70 %, too.
"""
DENSE_FROM_GRADED_RATE = 0.25
"""The same for graded values, which are multiplied."""

FusedMap = Callable[..., Array]
"""Takes one array per port, [rows, size], and returns [rows, size]."""


@singledispatch
def fused_map(node: object, name: str, numbers: Numbers) -> FusedMap:
    """Return a node's function.

    Args:
        node: a linear node or a product.
        name: what it is called.
        numbers: the types of its graph.
    """
    raise AssertionError(f"{type(node).__name__} is no map")


@fused_map.register
def _(node: Linear, name: str, numbers: Numbers) -> FusedMap:
    columns = np.ascontiguousarray(node.weight.T, dtype=np.float64)
    bias = None if node.bias is None else node.bias.astype(np.float64)

    def apply(x: Array) -> Array:
        y: Array = x.reshape(-1, len(columns)).astype(np.float64, copy=False) @ columns
        if bias is not None:
            y += bias
        return y.reshape(len(x), -1)

    return apply


@fused_map.register
def _(node: Conv, name: str, numbers: Numbers) -> FusedMap:
    convolve = FusedConvolution(node, node.weight, np.float64)
    if node.bias is None:
        return convolve
    bias = np.repeat(node.bias.astype(np.float64), prod(node.shape[1:]))
    return lambda x: convolve(x) + bias


class _BySparsity:
    """Sums over synapses, event-driven or dense, whichever is faster at the rate that was met in the last block."""

    def __init__(
        self, by_events: Callable[[Array], tuple[Array, int]], make_dense: Callable[[Any], FusedMap], exact: Any,
        word: Any, exponent: int, dense_from_rate: float, dense_from_graded_rate: float,
    ) -> None:  # fmt: skip
        self._by_events, self._make_dense, self._exact = by_events, make_dense, exact
        self._word, self._exponent = word, exponent
        self._dense_from_rate, self._dense_from_graded_rate = dense_from_rate, dense_from_graded_rate
        self._rate = 0.0

    def __call__(self, x: Array) -> Array:
        x = np.ascontiguousarray(x)
        num_values = max(x.size, 1)
        dense_from_rate = self._dense_from_rate if x.dtype == np.uint8 else self._dense_from_graded_rate
        if self._exact is None or self._rate < dense_from_rate:
            by_events, num_events = self._by_events(x)
            self._rate = num_events / num_values
            return by_events
        self._rate = count_all(x) / num_values
        sums: Array = self._dense(x).astype(self._word)
        return shifted(sums, self._exponent)

    @cached_property
    def _dense(self) -> FusedMap:
        """Made when it is first needed: in floats the weights take four or eight times their bytes."""
        return self._make_dense(self._exact)


@fused_map.register
def _(node: IntegerLinear, name: str, numbers: Numbers) -> FusedMap:
    columns = np.ascontiguousarray(node.weight_int8.T)
    size = len(columns)

    def by_events(x: Array) -> tuple[Array, int]:
        rows = x.reshape(-1, size)
        sums = np.empty((len(rows), columns.shape[1]), numbers.word)
        add = linear_spikes if rows.dtype == np.uint8 and columns.dtype == np.int8 else linear_events
        num_events = add(rows, columns, max(node.weight_exp, 0), sums)
        return shifted(sums, min(node.weight_exp, 0)).reshape(len(x), -1), num_events

    def make_dense(exact: Any) -> FusedMap:
        factors = columns.astype(exact)
        return lambda x: (x.reshape(-1, size).astype(exact) @ factors).reshape(len(x), -1)

    exact = numbers.exact_float(name, node.weight_exp)
    rates = (DENSE_FROM_RATE, DENSE_FROM_GRADED_RATE)
    return _BySparsity(by_events, make_dense, exact, numbers.word, node.weight_exp, *rates)


@fused_map.register
def _(node: IntegerConv, name: str, numbers: Numbers) -> FusedMap:
    return _BySparsity(
        EventConvolution(node, numbers.word),
        lambda exact: FusedConvolution(node, node.weight_int8, exact),
        numbers.exact_float(name, node.weight_exp),
        numbers.word,
        node.weight_exp,
        convolution.DENSE_FROM_RATE,
        convolution.DENSE_FROM_RATE,
    )


@fused_map.register
def _(node: Scale, name: str, numbers: Numbers) -> FusedMap:
    factors = np.broadcast_to(node.weight.astype(np.float64), node.shape).ravel()
    return lambda x: x * factors


@fused_map.register
def _(node: IntegerScale, name: str, numbers: Numbers) -> FusedMap:
    factors = np.broadcast_to(node.weight_int8.astype(numbers.word), node.shape).ravel()
    return lambda x: shifted(x * factors, node.weight_exp)


@fused_map.register
def _(node: Pool, name: str, numbers: Numbers) -> FusedMap:
    divisor = prod(node.kernel) if node.kind == "average" else 1
    window_axes = tuple(range(-len(node.kernel), 0))

    def apply(x: Array) -> Array:
        image = x.reshape(-1, *node.input_shape)
        seen = windows_of(image, node.kernel, node.stride, node.padding)
        total: Array = seen.sum(axis=window_axes, dtype=numbers.word).reshape(len(x), -1)
        return total if divisor == 1 else total / np.float64(divisor)

    return apply


@fused_map.register
def _(node: Gather, name: str, numbers: Numbers) -> FusedMap:
    index, absent = np.maximum(node.index.ravel(), 0), node.index.ravel() < 0

    def apply(x: Array) -> Array:
        y: Array = x[:, index]
        y[:, absent] = 0
        return y

    return apply


@fused_map.register
def _(node: Reshape, name: str, numbers: Numbers) -> FusedMap:
    return lambda x: x


@fused_map.register
def _(node: Reduce, name: str, numbers: Numbers) -> FusedMap:
    axes = tuple(axis + 1 for axis in node.axes)

    def apply(x: Array) -> Array:
        total: Array = x.reshape(-1, *node.input_shape).sum(axis=axes, dtype=numbers.word)
        return total.reshape(len(x), -1)

    return apply


@fused_map.register
def _(node: Product, name: str, numbers: Numbers) -> FusedMap:
    return lambda a, b: np.multiply(a, b, dtype=numbers.word)


@fused_map.register
def _(node: MatMul, name: str, numbers: Numbers) -> FusedMap:
    factor_type = numbers.exact_float(name) or numbers.word

    def apply(a: Array, b: Array) -> Array:
        left = a.reshape(-1, *node.shape_a).astype(factor_type, copy=False)
        right = b.reshape(-1, *node.shape_b).astype(factor_type, copy=False)
        y: Array = np.matmul(left, right).astype(numbers.word, copy=False)
        return y.reshape(len(a), -1)

    return apply
