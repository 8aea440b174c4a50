"""Convolutions, fused: spread event by event where few values are not zero, else unrolled and multiplied."""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from export.nodes import Conv, IntegerConv, Shape
from export.trace import Array

from .kernels.synapses import convolve_events
from .number import shifted

DENSE_FROM_RATE = 0.12
"""Share of values other than zero from which multiplying an unrolled image is faster than spreading its events.

Measured on the layers of `benchmarks.lava_convolution`, one thread: 36 → 64 channels of 15 × 49 takes 33, 57, 98,
139 µs a row at 2, 5, 10, 15 %, the product 115 µs; with few input or output channels they meet at 20 %.
"""
UNROLLED_BYTES = 1 << 24
"""Largest unrolled image; more samples and steps are unrolled one part after another."""


class FusedConvolution:
    """X = conv(W, x), in the float that holds its sums exactly."""

    def __init__(self, node: Conv | IntegerConv, weight: Array, exact: Any) -> None:
        geometry = node.geometry
        self._geometry, self._kernel, self._out_shape = geometry, weight.shape[2:], node.shape
        self._matrices = weight.reshape(geometry.groups, len(weight) // geometry.groups, -1).astype(exact)
        self._span = tuple((k - 1) * d + 1 for k, d in zip(self._kernel, geometry.dilation, strict=True))
        unrolled = self._matrices.shape[2] * geometry.groups * prod(node.shape[1:]) * self._matrices.itemsize
        self._rows_at_once = max(1, UNROLLED_BYTES // max(unrolled, 1))

    def __call__(self, x: Array) -> Array:
        """[rows, input size] to [rows, size]."""
        parts = range(0, len(x), self._rows_at_once)
        return np.concatenate([self._multiplied(x[start : start + self._rows_at_once]) for start in parts])

    def _multiplied(self, x: Array) -> Array:
        geometry = self._geometry
        image = x.reshape(-1, *geometry.input_shape).astype(self._matrices.dtype, copy=False)
        seen = windows_of(image, self._span, geometry.stride, geometry.padding)  # [rows, C, *windows, *span]
        dilated: tuple[Any, ...] = (Ellipsis, *(slice(None, None, dilation) for dilation in geometry.dilation))
        seen = seen[dilated]
        places = range(2, 2 + len(self._kernel))
        taps = range(2 + len(self._kernel), 2 + 2 * len(self._kernel))
        columns = np.ascontiguousarray(seen.transpose(0, 1, *taps, *places))
        columns = columns.reshape(len(x), geometry.groups, self._matrices.shape[2], -1)
        y: Array = np.matmul(self._matrices, columns).reshape(len(x), -1)
        return y


def windows_of(image: Array, span: Shape, stride: Shape, padding: Shape) -> Array:
    """Return a view [rows, C, *windows, *span] of the zero-padded image [rows, C, *spatial]."""
    padded = np.pad(image, [(0, 0), (0, 0), *((width, width) for width in padding)])
    slide: Any = sliding_window_view  # its stubs know one axis only
    view: Array = slide(padded, span, axis=tuple(range(2, padded.ndim)))
    strided: Array = view[(slice(None), slice(None), *(slice(None, None, step) for step in stride))]
    return strided


class EventConvolution:
    """a = conv(W, x) << weight_exp, in int32 or int64, from the values other than zero."""

    def __init__(self, node: IntegerConv, word: Any) -> None:
        self._node, self._word = node, word

    def __call__(self, x: Array) -> tuple[Array, int]:
        """[rows, input size], contiguous, to [rows, size], and how many values were not zero."""
        taps, reach_y, reach_x, places = self._plan
        sums = np.empty((len(x), self._node.shape[0], prod(self._node.shape[1:])), self._word)
        num_events = convolve_events(x, taps, reach_y, reach_x, places, max(self._node.weight_exp, 0), sums)
        return shifted(sums, min(self._node.weight_exp, 0)).reshape(len(x), -1), num_events

    @cached_property
    def _plan(self) -> tuple[Array, Array, Array, Array]:
        """Return taps, reaches and places; one dimension is two, the first of length one."""
        geometry, weight = self._node.geometry.over_a_plane(), self._node.weight_int8
        extra = (1,) * (2 - len(self._node.geometry.stride))
        kernel, places = extra + weight.shape[2:], extra + self._node.shape[1:]

        def along(axis: int, runs: bool) -> tuple[list[int], Array]:
            places_of = (geometry.stride[axis], geometry.padding[axis], geometry.dilation[axis], places[axis])
            return reach(geometry.input_shape[1 + axis], kernel[axis], *places_of, runs)

        order_y, reach_y = along(0, runs=False)
        order_x, reach_x = along(1, runs=geometry.groups == 1)
        group_out = weight.shape[0] // geometry.groups
        grouped = weight.reshape(geometry.groups, group_out, weight.shape[1], *kernel)
        taps = grouped.transpose(0, 2, 3, 4, 1)[:, :, order_y][:, :, :, order_x]  # [group, in, y, x, out]
        taps = np.ascontiguousarray(taps.reshape(geometry.input_shape[0], kernel[0], kernel[1] * group_out))
        return taps, reach_y, reach_x, np.array(places, np.int64)


def reach(
    length: int, kernel: int, stride: int, padding: int, dilation: int, places: int, runs: bool
) -> tuple[list[int], Array]:
    """Return the order of a kernel's taps on one axis, and which windows see each position through which taps.

    Tap k of window w sees the position w·stride + k·dilation − padding. In the order returned, taps that neighbouring
    windows see the same position through are neighbours too.

    Args:
        length: positions.
        kernel: taps.
        stride: distance of windows.
        padding: zeros before the first position.
        dilation: distance of taps.
        places: windows.
        runs: whether such neighbours are joined.

    Returns:
        (taps in their order, int64 [length, 1 + kernel, 3] as `kernels.synapses.convolve_events` takes it).
    """
    order = sorted(range(kernel), key=lambda tap: (tap * dilation % stride, -tap))
    table = np.zeros((length, 1 + kernel, 3), dtype=np.int64)
    for position in range(length):
        count = 0
        for slot, tap in enumerate(order):
            window, rest = divmod(position + padding - tap * dilation, stride)
            if rest or not 0 <= window < places:
                continue
            last = table[position, count]
            if runs and count and (slot, window) == (last[0] + last[2], last[1] + last[2]):
                last[2] += 1
            else:
                count += 1
                table[position, count] = slot, window, 1
        table[position, 0, 0] = count
    return order, table
