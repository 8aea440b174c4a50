"""Lava's own `Conv`: which nodes it can say, when it is taken, and how its pixels lie.

`Conv` keeps a kernel, `Sparse` the whole unrolled matrix. On a CPU `Sparse` is the faster one as long as its matrix
fits: it looks at spikes only, while `Conv` slides every kernel over every channel in every step. So `Conv` is taken
where the matrix would be large; the measurements are in docs/lava.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from export.graph import Graph
from export.nodes import Conv, Convolution, IntegerConv, Node, Pool, Shape
from export.trace import Array

from ..compat import widen_conv_geometry
from ..target import Target

SPARSE_SYNAPSES = 1 << 22
"""Up to so many unrolled weights, 54 bytes each in a run, a convolution is `Sparse`: docs/lava.md has the figures."""
PLANE = 2
"""Spatial axes of Lava's `Conv`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Kernel:
    """A convolution over a plane, or a line as a plane of height one, in torch's order.

    Attributes:
        weight: [out, in/groups, height, width], as the node has it.
        weight_exp: the weights are multiplied by 2^weight_exp.
        geometry: of (channels, height, width).
    """

    weight: Array
    weight_exp: int
    geometry: Convolution


def kernel_of(node: Node) -> Kernel | None:
    """Return a node as a convolution over a plane, pooling as one of ones, channel by channel; None for any other."""
    if isinstance(node, Conv):
        return _over_a_plane(node.weight, 0, node.geometry)
    if isinstance(node, IntegerConv):
        return _over_a_plane(node.weight_int8, node.weight_exp, node.geometry)
    if isinstance(node, Pool):
        ones = np.ones((node.input_shape[0], 1, *node.kernel), dtype=np.int64)
        return _over_a_plane(ones if node.kind == "sum" else ones / prod(node.kernel), 0, node.geometry)
    return None


def _over_a_plane(weight: Array, weight_exp: int, geometry: Convolution) -> Kernel:
    line = PLANE - len(geometry.stride)
    weight = weight.reshape(*weight.shape[:2], *(1,) * line, *weight.shape[2:])
    return Kernel(weight=weight, weight_exp=weight_exp, geometry=geometry.over_a_plane())


def is_too_large_for_sparse(node: Node, kernel: Kernel) -> bool:
    """Tell whether a convolution, unrolled, has more than `SPARSE_SYNAPSES` weights."""
    return node.size * prod(kernel.weight.shape[1:]) > SPARSE_SYNAPSES


def make_conv(graph: Graph, kernel: Kernel, target: Target, common: dict[str, Any]) -> Any:
    """Make the stock Process.

    Its simulation ignores `weight_exp` and clips no weight, so it is given weights with the exponent in them; a chip,
    whose weights have 8 bits, is given both, as the Process documents them.

    Lava's image is (height, width, channels), its kernel [out, height, width, in/groups] and mirrored: it convolves,
    where torch and this graph correlate.
    """
    from lava.proc.conv.process import Conv as LavaConv  # brings scipy.signal, which takes long to import

    widen_conv_geometry()
    weight, exponent, geometry = kernel.weight.astype(float), 0, kernel.geometry
    if graph.fmt is not None:
        exponent = kernel.weight_exp if target == "hardware" else 0
        weight = kernel.weight.astype(np.int32) << (kernel.weight_exp - exponent)
    return LavaConv(
        weight=np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)),
        weight_exp=exponent,
        input_shape=_channels_last(geometry.input_shape),
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
        **common,
    )


def _channels_last(shape: Shape) -> Shape:
    return (*shape[1:], shape[0])
