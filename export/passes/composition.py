"""Two linear maps in a row as one: `then` after `first`, in double precision, rounded once to float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from ..nodes import Conv, Convolution, Float, Linear, Node, Norm, Pool, Scale, Shape
from ..sparse_matrix import to_sparse
from ..trace import Array
from .rewriting import Synapse, common_factor


def input_shape(node: Node) -> Shape:
    """Return the shape that a linear map receives."""
    return node.ports["input"]


def bias_of(node: Node) -> Float | None:
    """Return the response to zero input in the node's shape; None where it is zero."""
    if not isinstance(node, (Linear, Conv)) or node.bias is None or not node.bias.any():
        return None
    bias = node.bias if isinstance(node, Linear) else node.bias.reshape(-1, *(1 for _ in node.shape[1:]))
    return np.broadcast_to(bias, node.shape)


def without_bias(node: Node) -> Node:
    """Return the map without its bias."""
    return replace(node, bias=None) if isinstance(node, (Linear, Conv)) else node


def scaled(node: Synapse, factor: float) -> Synapse:
    """Return the map times a scalar."""
    if factor == 1:
        return node
    weight = np.empty_like(node.weight)
    # rounded once, and in numpy's own small buffer: a double of a large layer would be twice its size
    np.multiply(node.weight, np.float64(factor), out=weight, dtype=np.float64, casting="same_kind")
    if isinstance(node, Scale):
        return replace(node, weight=weight)
    bias = None if node.bias is None else _float32(node.bias.astype(np.float64) * factor)
    return replace(node, weight=weight, bias=bias)


def as_convolution(node: Norm) -> Conv:
    """Return a normalisation as a convolution of one tap per channel; a vector has windows of one value."""
    spatial = node.shape[1:] if len(node.shape) in (2, 3) else (math.prod(node.shape[1:]),)
    ones = (1,) * len(spatial)
    geometry = Convolution(
        input_shape=(node.shape[0], *spatial),
        stride=ones,
        padding=(0,) * len(spatial),
        dilation=ones,
        groups=node.shape[0],
    )
    return Conv(weight=node.factor.reshape(-1, 1, *ones), bias=node.offset, geometry=geometry)


def compose_alike(first: Synapse, then: Node) -> Synapse | None:
    """Return both as one node of their own kind, its weights still shared over positions; None if there is none.

    The result has the shape that `first` or `then` sends.
    """
    if isinstance(then, Scale) and (common_factor(then) is not None or first.shape == then.shape):
        return _scale_after(first, then)
    if isinstance(then, Conv) and _is_channelwise(then) and isinstance(first, (Linear, Conv)):
        return _channels_after(first, then)
    if first.shape != input_shape(then):
        return None
    if isinstance(first, Scale) and isinstance(then, (Linear, Conv)):
        return _scale_before(first, then)
    if isinstance(first, Linear) and isinstance(then, Linear) and first.positions == then.positions:
        weight = then.weight.astype(np.float64) @ first.weight
        return replace(first, weight=_float32(weight), bias=_mapped_bias(then.weight, first.bias, then.bias))
    if isinstance(first, Conv) and isinstance(then, Pool) and not any(then.padding):
        return _pool_after(first, then)
    return None


def num_dense_weights(first: Synapse, then: Node) -> int:
    """Return how many entries the matrices of `compose_dense` have at most."""
    return max(first.size, then.size) * math.prod(input_shape(first))


def compose_dense(first: Synapse, then: Node) -> Linear:
    """Return both as one matrix, from first's flattened input to then's flattened output."""
    second = to_sparse(then).astype(np.float64)
    weight = (second @ to_sparse(first).astype(np.float64)).toarray()
    bias = np.zeros(then.size)
    inner, outer = bias_of(first), bias_of(then)
    if inner is not None:
        bias += second @ inner.ravel().astype(np.float64)
    if outer is not None:
        bias += outer.ravel()
    return Linear(weight=_float32(weight), bias=_float32(bias) if bias.any() else None)


def _scale_after(first: Synapse, then: Scale) -> Synapse | None:
    factor = common_factor(then)
    if factor is not None:
        return scaled(first, factor)
    if isinstance(first, Scale):
        product_ = np.broadcast_to(first.weight.astype(np.float64) * then.weight, then.shape)
        return Scale(weight=_float32(product_), shape=then.shape)
    rows = _along(then, -1 if isinstance(first, Linear) else 0)
    return None if rows is None else _scaled_rows(first, rows, None)


def _is_channelwise(node: Conv) -> bool:
    """Tell whether a convolution only scales each channel: one tap, one channel in and out per group."""
    shape, geometry = node.weight.shape, node.geometry
    plain = math.prod(shape[1:]) == math.prod(geometry.stride) == 1 and not any(geometry.padding)
    return plain and shape[0] == geometry.groups


def _channels_after(first: Linear | Conv, then: Conv) -> Synapse | None:
    if first.shape[0] != then.shape[0] or (isinstance(first, Linear) and first.positions):
        return None
    return _scaled_rows(first, then.weight.reshape(-1).astype(np.float64), then.bias)


def _scaled_rows(first: Linear | Conv, rows: Array, offset: Float | None) -> Linear | Conv:
    """Scale every output channel, and add to its bias."""
    weight = first.weight * rows.reshape(-1, *(1 for _ in first.weight.shape[1:]))
    terms = [*([] if first.bias is None else [first.bias * rows]), *([] if offset is None else [offset])]
    bias = _float32(sum(terms, np.zeros(len(rows)))) if terms else None
    return replace(first, weight=_float32(weight), bias=bias)


def _scale_before(first: Scale, then: Linear | Conv) -> Synapse | None:
    columns = _along(first, -1 if isinstance(then, Linear) else 0)
    if columns is None:
        return None
    if isinstance(then, Linear):
        return replace(then, weight=_float32(then.weight * columns))
    num_out, per_group = then.weight.shape[:2]
    group = np.arange(num_out) // (num_out // then.geometry.groups)
    seen = columns.reshape(then.geometry.groups, per_group)[group]
    return replace(then, weight=_float32(then.weight * seen.reshape(*seen.shape, *(1 for _ in then.weight.shape[2:]))))


def _pool_after(first: Conv, then: Pool) -> Conv:
    """A window over windows is a longer kernel: pool tap m and kernel tap k see x at m·stride + k·dilation."""
    geometry, kernel = first.geometry, first.weight.shape[2:]
    grid = tuple(map(math.gcd, geometry.stride, geometry.dilation))
    lengths = tuple(
        ((window - 1) * stride + (taps - 1) * dilation) // step + 1
        for window, stride, taps, dilation, step in zip(
            then.kernel, geometry.stride, kernel, geometry.dilation, grid, strict=True
        )
    )
    weight = np.zeros((*first.weight.shape[:2], *lengths))
    for offset in product(*map(range, then.kernel)):
        place = tuple(
            slice(m * stride // step, (m * stride + (taps - 1) * dilation) // step + 1, dilation // step)
            for m, stride, taps, dilation, step in zip(
                offset, geometry.stride, kernel, geometry.dilation, grid, strict=True
            )
        )
        weight[(slice(None), slice(None), *place)] += first.weight
    area = math.prod(then.kernel)
    share = area if then.kind == "average" else 1
    stride = tuple(inner * outer for inner, outer in zip(geometry.stride, then.stride, strict=True))
    bias = None if first.bias is None else _float32(first.bias * (area / share))
    return Conv(weight=_float32(weight / share), bias=bias, geometry=replace(geometry, stride=stride, dilation=grid))


def _along(node: Scale, axis: int) -> Array | None:
    """Return a Scale's weights along one axis, float64, if they are the same along all others."""
    weights = np.moveaxis(np.broadcast_to(node.weight, node.shape), axis, 0).reshape(node.shape[axis], -1)
    return weights[:, 0].astype(np.float64) if (weights == weights[:, :1]).all() else None


def _mapped_bias(weight: Float, inner: Float | None, outer: Float | None) -> Float | None:
    terms: Sequence[Array] = [
        *([] if inner is None else [weight.astype(np.float64) @ inner]),
        *([] if outer is None else [outer.astype(np.float64)]),
    ]
    return _float32(sum(terms, np.zeros(len(weight)))) if terms else None


def _float32(values: Array) -> Float:
    rounded: Float = np.ascontiguousarray(values, dtype=np.float32)
    return rounded
