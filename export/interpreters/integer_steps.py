"""What integer nodes without memory send, as plain as the equations in `nodes`: int64 [B, *shape] in and out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from itertools import product

import numpy as np

from hardware_profiles.arithmetic import shift

from ..nodes import (
    Gather,
    Int,
    IntegerConv,
    IntegerLinear,
    IntegerScale,
    MatMul,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    Shape,
)


@singledispatch
def send(node: object, ports: Mapping[str, Int]) -> Int:
    """Return what a node sends, from the sums that arrive at its ports."""
    raise AssertionError(f"no integer step for {type(node).__name__}")


@send.register
def _(node: Output, ports: Mapping[str, Int]) -> Int:
    return ports["input"]


@send.register
def _(node: IntegerLinear, ports: Mapping[str, Int]) -> Int:
    return shift(ports["input"] @ node.weight_int8.T, node.weight_exp)


@send.register
def _(node: IntegerScale, ports: Mapping[str, Int]) -> Int:
    return shift(node.weight_int8 * ports["input"], node.weight_exp)


@send.register
def _(node: IntegerConv, ports: Mapping[str, Int]) -> Int:
    geometry, weight = node.geometry, node.weight_int8
    x = _pad(ports["input"], geometry.padding)
    group_in, group_out = weight.shape[1], weight.shape[0] // geometry.groups
    total = np.zeros((len(x), *node.shape), dtype=np.int64)
    for group in range(geometry.groups):
        inputs = slice(group * group_in, (group + 1) * group_in)
        outputs = slice(group * group_out, (group + 1) * group_out)
        taps = weight[outputs].reshape(group_out, group_in, -1)
        for index, tap in enumerate(product(*map(range, weight.shape[2:]))):
            starts = tuple(k * dilation for k, dilation in zip(tap, geometry.dilation, strict=True))
            seen = _window(x[:, inputs], starts, geometry.stride, node.shape[1:])
            total[:, outputs] += np.einsum("oi,bi...->bo...", taps[:, :, index], seen)
    return shift(total, node.weight_exp)


@send.register
def _(node: Pool, ports: Mapping[str, Int]) -> Int:
    x = _pad(ports["input"], node.padding)
    total = np.zeros((len(x), *node.shape), dtype=np.int64)
    for tap in product(*map(range, node.kernel)):
        total += _window(x, tap, node.stride, node.shape[1:])
    return total


@send.register
def _(node: Gather, ports: Mapping[str, Int]) -> Int:
    x = ports["input"].reshape(len(ports["input"]), -1)
    padded = np.concatenate([x, np.zeros((len(x), 1), dtype=np.int64)], axis=1)  # index −1 is the zero at the end
    gathered: Int = padded[:, node.index]
    return gathered


@send.register
def _(node: Reshape, ports: Mapping[str, Int]) -> Int:
    return ports["input"].reshape(-1, *node.shape)


@send.register
def _(node: Reduce, ports: Mapping[str, Int]) -> Int:
    total: Int = ports["input"].sum(axis=tuple(axis + 1 for axis in node.axes))
    return total


@send.register
def _(node: Product, ports: Mapping[str, Int]) -> Int:
    return ports["a"] * ports["b"]


@send.register
def _(node: MatMul, ports: Mapping[str, Int]) -> Int:
    return ports["a"] @ ports["b"]


def _pad(x: Int, padding: Shape) -> Int:
    """Put zeros around the spatial axes of [B, C, *spatial]."""
    return np.pad(x, [(0, 0), (0, 0), *((width, width) for width in padding)])


def _window(x: Int, starts: Shape, stride: Shape, windows: Shape) -> Int:
    """Return what one tap of a kernel sees in every window, [B, C, *windows]."""
    spatial = (
        slice(start, start + step * count, step) for start, step, count in zip(starts, stride, windows, strict=True)
    )
    return x[(slice(None), slice(None), *spatial)]
