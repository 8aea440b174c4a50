"""Linear maps of the float dialect: no state, no threshold. x is the sum of what arrives at port `input`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .signal import Float, Int, Shape, Signal


def window_count(length: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return how many windows fit: floor((length + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1."""
    return (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Signal):
    """X = W x + b along the last axis.  `weight` float32 [out, in], `bias` float32 [out] or None.

    `positions`: leading axes, such as the tokens of an attention block, over which W is shared.
    """

    weight: Float
    bias: Float | None = None
    positions: Shape = ()

    @property
    def shape(self) -> Shape:
        """(*positions, out)."""
        return (*self.positions, int(self.weight.shape[0]))

    @property
    def ports(self) -> dict[str, Shape]:
        """(*positions, in)."""
        return {"input": (*self.positions, int(self.weight.shape[1]))}


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution:
    """Geometry of a convolution in one or two dimensions, zero-padded; all tuples have one entry per dimension.

    Attributes:
        input_shape: (channels, length) or (channels, height, width).
        stride: step of the window.
        padding: zeros on both sides.
        dilation: distance of the kernel's entries.
        groups: channels are split into so many independent groups.
    """

    input_shape: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int = 1

    def output_shape(self, weight_shape: Shape) -> Shape:
        """Shape under a weight of shape (out, in/groups, *kernel)."""
        lengths = (
            window_count(length, kernel, stride, padding, dilation)
            for length, kernel, stride, padding, dilation in zip(
                self.input_shape[1:], weight_shape[2:], self.stride, self.padding, self.dilation, strict=True
            )
        )
        return (weight_shape[0], *lengths)

    def over_a_plane(self) -> Convolution:
        """Return the same over a plane: a line is a plane of height one."""
        line = 3 - len(self.input_shape)
        return Convolution(
            input_shape=(self.input_shape[0], *(1,) * line, *self.input_shape[1:]),
            stride=(1,) * line + self.stride,
            padding=(0,) * line + self.padding,
            dilation=(1,) * line + self.dilation,
            groups=self.groups,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Signal):
    """X[o, p] = Σ_{i,k} W[o, i, k] x[i, p·stride + k·dilation − padding] + b[o]  (torch's cross-correlation).

    `weight` float32 [out, in/groups, *kernel] with one or two kernel axes, `bias` float32 [out] or None.
    """

    weight: Float
    bias: Float | None = None
    geometry: Convolution

    @property
    def shape(self) -> Shape:
        """(out, *windows)."""
        return self.geometry.output_shape(self.weight.shape)

    @property
    def ports(self) -> dict[str, Shape]:
        """The geometry's input shape."""
        return {"input": self.geometry.input_shape}


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Signal):
    """X = w ⊙ x, elementwise.  `weight` float32, scalar or broadcastable to `shape`."""

    weight: Float
    shape: Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Signal):
    """X[c, p] = Σ over the window of x[c, ·] (`sum`), or that divided by the window's area (`average`).

    Zeros beyond the border count as values. `kernel`, `stride`, `padding`: one entry per spatial dimension.
    Also in the integer dialect, as `sum`.
    """

    input_shape: Shape
    kernel: Shape
    stride: Shape
    padding: Shape
    kind: Literal["sum", "average"] = "sum"

    @property
    def geometry(self) -> Convolution:
        """The depthwise convolution, of equal weights, that pools."""
        return Convolution(
            input_shape=self.input_shape,
            stride=self.stride,
            padding=self.padding,
            dilation=(1,) * len(self.kernel),
            groups=self.input_shape[0],
        )

    @property
    def shape(self) -> Shape:
        """(channels, *windows)."""
        windows = map(window_count, self.input_shape[1:], self.kernel, self.stride, self.padding)
        return (self.input_shape[0], *windows)

    @property
    def ports(self) -> dict[str, Shape]:
        """The input shape."""
        return {"input": self.input_shape}


@dataclass(frozen=True, eq=False, kw_only=True)
class Gather(Signal):
    """X.flat[i] = x.flat[index.flat[i]], or 0 where the index is −1: permute, slice, repeat, pad. Both dialects.

    `index` int64 of the output's shape, into the flattened input of shape `input_shape`.
    """

    index: Int
    input_shape: Shape

    @property
    def shape(self) -> Shape:
        """The index's shape."""
        return self.index.shape

    @property
    def ports(self) -> dict[str, Shape]:
        """The input shape."""
        return {"input": self.input_shape}


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Signal):
    """The same values in another shape, C order; nothing happens on a chip. Both dialects."""

    input_shape: Shape
    shape: Shape

    @property
    def ports(self) -> dict[str, Shape]:
        """The input shape."""
        return {"input": self.input_shape}


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduce(Signal):
    """X = Σ over `axes` of x; the axes vanish. Both dialects."""

    input_shape: Shape
    axes: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        """The axes that are left."""
        return tuple(length for axis, length in enumerate(self.input_shape) if axis not in self.axes)

    @property
    def ports(self) -> dict[str, Shape]:
        """The input shape."""
        return {"input": self.input_shape}

    @property
    def num_terms(self) -> int:
        """Values that each sum adds."""
        return math.prod(self.input_shape[axis] for axis in self.axes)
