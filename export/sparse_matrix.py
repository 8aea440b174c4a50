"""Every linear node unrolled into one matrix: what a chip's synapses hold, connection by connection."""

from __future__ import annotations

from functools import singledispatch
from math import prod
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, diags, eye, kron

from .nodes import (
    Conv,
    Gather,
    IntegerConv,
    IntegerLinear,
    IntegerScale,
    Linear,
    Pool,
    Reduce,
    Reshape,
    Scale,
    Shape,
    window_count,
)
from .trace import Array


@singledispatch
def to_sparse(node: object) -> Any:
    """Return the matrix M of a linear node: what it sends, flattened in C order, is M x (+ bias).

    Args:
        node: synapse, Pool, Gather, Reduce or Reshape.

    Returns:
        `scipy.sparse.csr_matrix` [size, input size] of non-zero weights, in the weights' own dtype; int64 ones for
        nodes without weights, float64 for an average. `weight_exp` is not applied.
    """
    raise AssertionError(f"{type(node).__name__} is not linear")


@to_sparse.register(Linear)
@to_sparse.register(IntegerLinear)
def _(node: Linear | IntegerLinear) -> Any:
    weight = node.weight if isinstance(node, Linear) else node.weight_int8
    matrix = kron(eye(prod(node.positions), dtype=weight.dtype), csr_matrix(weight), format="csr")
    return _nonzero(matrix.astype(weight.dtype))  # of no weights at all, kron makes floats


@to_sparse.register(Conv)
@to_sparse.register(IntegerConv)
def _(node: Conv | IntegerConv) -> Any:
    weight, geometry = node.weight if isinstance(node, Conv) else node.weight_int8, node.geometry
    num_out, per_group, spatial = weight.shape[0], weight.shape[1], geometry.input_shape[1:]
    place = window_index(spatial, weight.shape[2:], geometry.stride, geometry.padding, geometry.dilation)
    taps, windows = place.shape
    first = np.arange(num_out) // (num_out // geometry.groups) * per_group  # channel that an output's group starts at
    channel = first[:, None] + np.arange(per_group)
    column = channel[:, :, None, None] * prod(spatial) + place
    row = (np.arange(num_out)[:, None] * windows + np.arange(windows))[:, None, None]
    values = np.broadcast_to(weight.reshape(num_out, per_group, taps, 1), column.shape)
    inside = np.broadcast_to(place >= 0, column.shape) & (values != 0)
    row = np.broadcast_to(row, column.shape)[inside]
    return csr_matrix((values[inside], (row, column[inside])), shape=(node.size, prod(geometry.input_shape)))


@to_sparse.register(Scale)
@to_sparse.register(IntegerScale)
def _(node: Scale | IntegerScale) -> Any:
    weight = node.weight if isinstance(node, Scale) else node.weight_int8
    diagonal = np.broadcast_to(weight, node.shape).ravel()
    return _nonzero(diags(diagonal, dtype=diagonal.dtype, format="csr"))


@to_sparse.register
def _(node: Pool) -> Any:
    spatial = node.input_shape[1:]
    place = window_index(spatial, node.kernel, node.stride, node.padding, (1,) * len(spatial))
    tap, window = np.nonzero(place >= 0)
    one_channel = csr_matrix(
        (np.ones(len(tap), dtype=np.int64), (window, place[tap, window])), shape=(place.shape[1], prod(spatial))
    )
    matrix = kron(eye(node.input_shape[0], dtype=np.int64), one_channel, format="csr").astype(np.int64)
    return matrix if node.kind == "sum" else matrix / prod(node.kernel)


@to_sparse.register
def _(node: Gather) -> Any:
    source = node.index.ravel()
    return _ones(np.flatnonzero(source >= 0), source[source >= 0], (node.size, prod(node.input_shape)))


@to_sparse.register
def _(node: Reduce) -> Any:
    kept = tuple(1 if axis in node.axes else length for axis, length in enumerate(node.input_shape))
    row = np.broadcast_to(np.arange(node.size).reshape(kept), node.input_shape).ravel()
    return _ones(row, np.arange(row.size), (node.size, row.size))


@to_sparse.register
def _(node: Reshape) -> Any:
    return eye(node.size, dtype=np.int64, format="csr")


def window_index(spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Array:
    """Return where each entry of a sliding window lies.

    Args:
        spatial: lengths of the input's spatial axes.
        kernel: lengths of the window.
        stride: its steps.
        padding: zeros around the input.
        dilation: distance of the window's entries.

    Returns:
        int64 [entries of the window, windows]: flat index into `spatial`, both in C order; −1 in the padding.
    """
    windows = tuple(map(window_count, spatial, kernel, stride, padding, dilation))
    place = np.zeros((*kernel, *windows), dtype=np.int64)
    inside = np.ones((*kernel, *windows), dtype=bool)
    for axis, length in enumerate(spatial):
        taps = np.arange(kernel[axis]) * dilation[axis] - padding[axis]
        starts = np.arange(windows[axis]) * stride[axis]
        shape = [1] * place.ndim
        shape[axis], shape[len(kernel) + axis] = kernel[axis], windows[axis]
        at = (taps[:, None] + starts).reshape(shape)
        place = place * length + at
        inside &= (at >= 0) & (at < length)
    return np.where(inside, place, -1).reshape(prod(kernel), prod(windows))


def _ones(row: Array, column: Array, shape: tuple[int, int]) -> Any:
    return csr_matrix((np.ones(row.size, dtype=np.int64), (row, column)), shape=shape)


def _nonzero(matrix: Any) -> Any:
    matrix.eliminate_zeros()
    return matrix
