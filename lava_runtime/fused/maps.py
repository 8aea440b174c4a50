"""The nodes without memory, fused: each a function from what arrives, [B, size] per port, to what it sends.

Integers live in floats that hold them exactly: every partial sum is an integer below the node's proven bound, and
float32 is exact below 2^24, else float64; shifts by `weight_exp` scale by powers of two, which is exact. In floating
point the same steps run in double precision, as Lava's own float models do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
    Shape,
)
from export.trace import Array

FLOAT32_EXACT = 1 << (np.finfo(np.float32).nmant + 1)
"""Integers up to this magnitude are exact in float32."""
FLOAT64_BITS = np.finfo(np.float64).nmant + 1
"""Integers of so many bits are exact in float64."""
FusedMap = Callable[..., Array]
"""Takes one array per port, [B, size], and returns [B, size]."""


def narrowest_exact(bound: int) -> Any:
    """Return the narrowest float type that holds all integers up to `bound`."""
    return np.float32 if bound < FLOAT32_EXACT else np.float64


@singledispatch
def fused_map(node: object, dtype: Any, gain: float) -> FusedMap:
    """Return a node's function.

    Args:
        node: a linear node or a product.
        dtype: float type in which its sums are exact.
        gain: power of two by which everything that it sends is multiplied.
    """
    raise AssertionError(f"{type(node).__name__} is no map")


@fused_map.register(Linear)
@fused_map.register(IntegerLinear)
def _(node: Linear | IntegerLinear, dtype: Any, gain: float) -> FusedMap:
    weight, bias = _scaled(node, dtype, gain)
    columns = np.ascontiguousarray(weight.T)

    def apply(x: Array) -> Array:
        y: Array = x.reshape(-1, len(columns)).astype(dtype, copy=False) @ columns
        if bias is not None:
            y += bias
        return y.reshape(len(x), -1)

    return apply


@fused_map.register(Conv)
@fused_map.register(IntegerConv)
def _(node: Conv | IntegerConv, dtype: Any, gain: float) -> FusedMap:
    weight, bias = _scaled(node, dtype, gain)
    geometry, kernel = node.geometry, weight.shape[2:]
    matrices = weight.reshape(geometry.groups, weight.shape[0] // geometry.groups, -1)
    span = tuple((length - 1) * dilation + 1 for length, dilation in zip(kernel, geometry.dilation, strict=True))

    def apply(x: Array) -> Array:
        image = x.reshape(-1, *geometry.input_shape).astype(dtype, copy=False)
        seen = _windows(image, span, geometry.stride, geometry.padding)  # [B, C, *windows, *span]
        taps: tuple[Any, ...] = tuple(slice(None, None, dilation) for dilation in geometry.dilation)
        seen = seen[(Ellipsis, *taps)]
        columns = _patches(seen, len(kernel)).reshape(len(x), geometry.groups, matrices.shape[2], -1)
        y: Array = np.matmul(matrices, columns).reshape(len(x), *node.shape)
        if bias is not None:
            y += bias.reshape(-1, *(1 for _ in kernel))
        return y.reshape(len(x), -1)

    return apply


def _patches(seen: Array, num_axes: int) -> Array:
    """[B, C, *windows, *kernel] to [B, C · kernel, windows], contiguous."""
    windows, taps = range(2, 2 + num_axes), range(2 + num_axes, 2 + 2 * num_axes)
    moved = np.ascontiguousarray(seen.transpose(0, 1, *taps, *windows))
    return moved.reshape(len(seen), seen.shape[1] * prod(seen.shape[2 + num_axes :]), -1)


def _windows(image: Array, span: Shape, stride: Shape, padding: Shape) -> Array:
    """Return a view [B, C, *windows, *span] of the zero-padded image [B, C, *spatial]."""
    padded = np.pad(image, [(0, 0), (0, 0), *((width, width) for width in padding)])
    slide: Any = sliding_window_view  # its stubs know one axis only
    view: Array = slide(padded, span, axis=tuple(range(2, padded.ndim)))
    strided: Array = view[(slice(None), slice(None), *(slice(None, None, step) for step in stride))]
    return strided


def _scaled(node: Linear | IntegerLinear | Conv | IntegerConv, dtype: Any, gain: float) -> tuple[Array, Array | None]:
    """Return weight and bias times the gain."""
    if isinstance(node, (Linear, Conv)):
        bias = None if node.bias is None else (node.bias * np.float64(gain)).astype(dtype)
        return (node.weight * np.float64(gain)).astype(dtype), bias
    return (node.weight_int8 * (gain * 2.0**node.weight_exp)).astype(dtype), None


@fused_map.register(Scale)
@fused_map.register(IntegerScale)
def _(node: Scale | IntegerScale, dtype: Any, gain: float) -> FusedMap:
    weight = node.weight if isinstance(node, Scale) else node.weight_int8 * 2.0**node.weight_exp
    factors = np.broadcast_to(weight * np.float64(gain), node.shape).astype(dtype).ravel()
    return lambda x: x.astype(dtype, copy=False) * factors


@fused_map.register
def _(node: Pool, dtype: Any, gain: float) -> FusedMap:
    divisor = (prod(node.kernel) if node.kind == "average" else 1) / gain
    window_axes = tuple(range(-len(node.kernel), 0))

    def apply(x: Array) -> Array:
        image = x.reshape(-1, *node.input_shape).astype(dtype, copy=False)
        total: Array = _windows(image, node.kernel, node.stride, node.padding).sum(axis=window_axes)
        return total.reshape(len(x), -1) if divisor == 1 else total.reshape(len(x), -1) / dtype(divisor)

    return apply


@fused_map.register
def _(node: Gather, dtype: Any, gain: float) -> FusedMap:
    index, absent = np.maximum(node.index.ravel(), 0), node.index.ravel() < 0

    def apply(x: Array) -> Array:
        y: Array = x[:, index]
        y[:, absent] = 0
        return y if gain == 1 else y * dtype(gain)

    return apply


@fused_map.register
def _(node: Reshape, dtype: Any, gain: float) -> FusedMap:
    return lambda x: x if gain == 1 else x * dtype(gain)


@fused_map.register
def _(node: Reduce, dtype: Any, gain: float) -> FusedMap:
    axes = tuple(axis + 1 for axis in node.axes)

    def apply(x: Array) -> Array:
        total: Array = x.reshape(-1, *node.input_shape).sum(axis=axes, dtype=dtype)
        return total.reshape(len(x), -1) if gain == 1 else total.reshape(len(x), -1) * dtype(gain)

    return apply


@fused_map.register
def _(node: Product, dtype: Any, gain: float) -> FusedMap:
    return lambda a, b: a * (b * dtype(gain))


@fused_map.register
def _(node: MatMul, dtype: Any, gain: float) -> FusedMap:
    def apply(a: Array, b: Array) -> Array:
        left = a.reshape(-1, *node.shape_a).astype(dtype, copy=False)
        right = b.reshape(-1, *node.shape_b).astype(dtype, copy=False)
        y: Array = np.matmul(left, right * dtype(gain))
        return y.reshape(len(a), -1)

    return apply
