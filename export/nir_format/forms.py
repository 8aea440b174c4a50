"""Linear nodes in the forms that NIR's own reader accepts, and back: the same values in another arrangement.

NIR 1.0.8 computes the shape behind a Conv2d as if kernels were square, and ignores groups; it has no reshape, no
shared axes, no gather. Each form is a plain function of the node, so a file's arrays are folded back into the node
only if writing that node again gives the same arrays.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from math import prod

import numpy as np

from ..errors import NirFileError
from ..nodes import Conv, Convolution, Float, Gather, Int, Linear, Node, Pool, Reduce, Shape
from ..sparse_matrix import to_sparse

MAX_ENTRIES = 64 << 20
"""Most entries of an array that the file would need only because NIR has no better word."""
MAX_SHIFTS = 32
"""Most convolutions that stand in for one rearrangement."""


def dense_form(node: Node, name: str) -> tuple[Float, Float | None]:
    """Return (weight [size, input size], bias) of any linear node on flattened values.

    Raises:
        NirFileError: the matrix would be too large.
    """
    rows, columns = node.size, prod(node.ports["input"])
    if rows * columns > MAX_ENTRIES:
        raise NirFileError(
            f"node {name}: {type(node).__name__} on flattened values needs a matrix of {rows} x {columns} in NIR, "
            f"allowed are {MAX_ENTRIES} entries; use a convolution on shaped values, or fewer positions"
        )
    weight: Float = to_sparse(node).toarray().astype(getattr(node, "weight", np.zeros(0, np.float32)).dtype)
    bias = getattr(node, "bias", None)
    if bias is not None:
        copies = rows // len(bias)
        bias = np.repeat(bias, copies) if isinstance(node, Conv) else np.tile(bias, copies)
    return weight, bias


def pool_as_conv(node: Pool) -> Conv:
    """Return the depthwise convolution that pools."""
    value = 1 if node.kind == "sum" else 1 / prod(node.kernel)
    channels = node.input_shape[0]
    return Conv(weight=np.full((channels, 1, *node.kernel), value, dtype=np.float32), geometry=node.geometry)


def square_form(node: Conv) -> tuple[Conv | None, Conv]:
    """Return (embedding or None, convolution) with one group and, in two dimensions, a square kernel.

    The kernel is filled up with zeros. If the zeros cannot be shared by both ends of both axes, the embedding first
    appends a row and two columns of zeros to the image.
    """
    node = _ungrouped(node)
    kernel, geometry = node.weight.shape[2:], node.geometry
    if len(set(kernel)) == 1:
        return None, node
    spans = [dilation * (length - 1) for dilation, length in zip(geometry.dilation, kernel, strict=True)]
    for side in range(max(kernel), max(spans) + 3):
        slots = [_filled(side, *axis) for axis in zip(kernel, geometry.dilation, geometry.padding, strict=True)]
        if all(slots):
            return None, _with_kernel(node, side, [slot for slot in slots if slot])
    embedding = _embedding(geometry.input_shape)
    node = replace(node, geometry=replace(geometry, input_shape=embedding.shape))
    side = max(spans) + 3
    side += (side - spans[0]) % 2  # an even number of zeros beside a kernel's own span, counting the new row
    axes = zip((1, 2), kernel, geometry.dilation, geometry.padding, strict=True)
    return embedding, _with_kernel(node, side, [_appended(side, *axis) for axis in axes])


Slot = tuple[int, int, int, int]
"""Along one axis of the new kernel: index of the first old entry, their distance, dilation, padding."""


def _filled(side: int, length: int, dilation: int, padding: int) -> Slot | None:
    """Share the zeros between both ends: by whole old steps if possible, else as a dense kernel."""
    if (side - length) % 2 == 0 and side >= length:
        half = (side - length) // 2
        return half, 1, dilation, padding + dilation * half
    rest = side - 1 - dilation * (length - 1)
    if rest >= 0 and rest % 2 == 0:
        return rest // 2, dilation, 1, padding + rest // 2
    return None


def _appended(side: int, appended: int, length: int, dilation: int, padding: int) -> Slot:
    """Like `_filled` where the image already has so many zeros more at its end."""
    rest = side - 1 - dilation * (length - 1) - appended
    assert rest >= 0 and rest % 2 == 0
    return rest // 2, dilation, 1, padding + rest // 2


def _with_kernel(node: Conv, side: int, slots: list[Slot]) -> Conv:
    _check_entries(*node.weight.shape[:2], side, side)
    weight = np.zeros((*node.weight.shape[:2], side, side), dtype=node.weight.dtype)
    at = [
        first + step * np.arange(length)
        for (first, step, _, _), length in zip(slots, node.weight.shape[2:], strict=True)
    ]
    weight[:, :, at[0][:, None], at[1]] = node.weight
    dilation, padding = tuple(slot[2] for slot in slots), tuple(slot[3] for slot in slots)
    return replace(node, weight=weight, geometry=replace(node.geometry, dilation=dilation, padding=padding))


def _embedding(input_shape: Shape) -> Conv:
    """Append a row and two columns of zeros: kernel 2 x 2, dilation (1, 2), only its last entry is one."""
    channels = input_shape[0]
    _check_entries(channels, channels, 2, 2)
    weight = np.zeros((channels, channels, 2, 2), dtype=np.float32)
    weight[np.arange(channels), np.arange(channels), 1, 1] = 1
    return Conv(
        weight=weight,
        geometry=Convolution(input_shape=input_shape, stride=(1, 1), padding=(1, 2), dilation=(1, 2)),
    )


def _check_entries(*lengths: int) -> None:
    if prod(lengths) > MAX_ENTRIES:
        raise NirFileError(
            f"a convolution without groups and with a square kernel has {prod(lengths)} weights in NIR, "
            f"allowed are {MAX_ENTRIES}; use a smaller kernel or fewer channels"
        )


def _ungrouped(node: Conv) -> Conv:
    """One group with zeros between what were groups."""
    groups = node.geometry.groups
    if groups == 1:
        return node
    num_out, per_group = node.weight.shape[:2]
    _check_entries(num_out * groups, *node.weight.shape[1:])
    weight = np.zeros((num_out, per_group * groups, *node.weight.shape[2:]), dtype=node.weight.dtype)
    for group in range(groups):
        rows = slice(group * num_out // groups, (group + 1) * num_out // groups)
        weight[rows, group * per_group : (group + 1) * per_group] = node.weight[rows]
    return replace(node, weight=weight, geometry=replace(node.geometry, groups=1))


def shift_form(node: Gather) -> list[Conv] | None:
    """Return one-hot convolutions that together move channels and pixels as the node does; None if none do.

    Slices, zero and circular padding, channel permutations and concatenations are sums of shifts: every output pixel p
    of channel c' takes pixel p·stride + shift of channel c. Where a shift leaves the image, zeros come in.
    """
    source, target = node.input_shape, node.shape
    if len(source) != len(target) or len(source) not in (2, 3):
        return None
    for stride in sorted({(1,) * (len(source) - 1), _strides(source, target)}):
        shifts = _shifts(node, stride)
        if shifts is not None:
            convolutions = [_shifted(source, target, stride, shift, pairs) for shift, pairs in shifts.items()]
            found = [convolution for convolution in convolutions if convolution is not None]
            return found if len(found) == len(shifts) else None
    return None


def _strides(source: Shape, target: Shape) -> Shape:
    return tuple(max(1, -(-length // max(1, kept))) for length, kept in zip(source[1:], target[1:], strict=True))


def _shifts(node: Gather, stride: Shape) -> dict[Shape, set[tuple[int, int]]] | None:
    """Return shift to its pairs (c', c), or None if some shift would bring in more than the node takes."""
    flat = np.flatnonzero(node.index.ravel() >= 0)
    to, of = np.unravel_index(flat, node.shape), np.unravel_index(node.index.ravel()[flat], node.input_shape)
    shift = [of[axis + 1] - step * to[axis + 1] for axis, step in enumerate(stride)]
    keys, counts = np.unique(np.stack([*shift, to[0], of[0]], axis=1), axis=0, return_counts=True)
    result: dict[Shape, set[tuple[int, int]]] = {}
    for (*offset, channel_to, channel_of), count in zip(keys.tolist(), counts.tolist(), strict=True):
        inside = [
            sum(0 <= step * p + s < length for p in range(kept))
            for s, step, length, kept in zip(offset, stride, node.input_shape[1:], node.shape[1:], strict=True)
        ]
        result.setdefault(tuple(offset), set()).add((channel_to, channel_of))
        if prod(inside) != count or len(result) > MAX_SHIFTS:
            return None
    return result or None


def _shifted(source: Shape, target: Shape, stride: Shape, shift: Shape, pairs: set[tuple[int, int]]) -> Conv | None:
    axes = list(zip(source[1:], target[1:], stride, shift, strict=True))
    for side in range(1, 2 * max(*source[1:], *target[1:]) + max(stride) + 2):
        slots = [_shift_slot(side, *axis) for axis in axes]
        if all(slots) and target[0] * source[0] * side ** len(axes) <= MAX_ENTRIES:
            break
    else:
        return None
    paddings, places = zip(*(slot for slot in slots if slot), strict=True)
    weight = np.zeros((target[0], source[0], *[side] * len(axes)), dtype=np.float32)
    for channel_to, channel_of in pairs:
        weight[(channel_to, channel_of, *places)] = 1
    return Conv(
        weight=weight,
        geometry=Convolution(input_shape=source, stride=stride, padding=paddings, dilation=(1,) * len(axes)),
    )


def _shift_slot(side: int, length: int, kept: int, stride: int, shift: int) -> tuple[int, int] | None:
    """Return (padding, index of the one) so that `kept` windows fit and the first one reads `shift`, or None."""
    for spare in range(stride):
        twice = stride * (kept - 1) + spare - length + side
        if twice >= 0 and twice % 2 == 0 and 0 <= shift + twice // 2 < side:
            return twice // 2, shift + twice // 2
    return None


def is_own_shift(part: Conv) -> bool:
    """Tell whether what a part moves, alone, would be written as that part again."""
    again = shift_form(gather_of(part))
    return (
        again is not None
        and len(again) == 1
        and astuple(again[0].geometry) == astuple(part.geometry)
        and np.array_equal(again[0].weight, part.weight)
    )


def gather_of(conv: Conv) -> Gather:
    """Return what a one-hot convolution moves."""
    geometry, shape = conv.geometry, conv.shape
    index: Int = np.full(shape, -1, dtype=np.int64)
    windows = [np.arange(length) for length in shape[1:]]
    for channel_to, channel_of, *place in np.argwhere(conv.weight != 0).tolist():
        at = [
            step * window + k - padding
            for step, window, k, padding in zip(geometry.stride, windows, place, geometry.padding, strict=True)
        ]
        inside = [
            (positions >= 0) & (positions < length)
            for positions, length in zip(at, geometry.input_shape[1:], strict=True)
        ]
        kept = np.ix_(*inside)
        source = np.ravel_multi_index(
            np.meshgrid(np.array([channel_of]), *(p[i] for p, i in zip(at, inside, strict=True)), indexing="ij"),
            geometry.input_shape,
        )[0]
        index[channel_to][kept] = source
    return Gather(index=index, input_shape=geometry.input_shape)


def node_fields(node: Node) -> dict[str, object]:
    """Return a linear node's type and structure without its arrays, as plain JSON."""
    fields: dict[str, object] = {"type": type(node).__name__}
    if isinstance(node, (Linear, Conv)):
        fields |= {"weight_shape": list(node.weight.shape), "bias": node.bias is not None}
    if isinstance(node, Linear):
        fields |= {"positions": list(node.positions)}
    elif isinstance(node, Conv):
        fields |= {
            key: getattr(node.geometry, key) for key in ("input_shape", "stride", "padding", "dilation", "groups")
        }
    elif isinstance(node, Pool):
        fields |= {key: getattr(node, key) for key in ("input_shape", "kernel", "stride", "padding", "kind")}
    elif isinstance(node, Reduce):
        fields |= {"input_shape": node.input_shape, "axes": node.axes}
    elif isinstance(node, Gather):
        fields |= {"input_shape": node.input_shape, "shape": node.shape}
    return fields
