"""The linear nodes of the float dialect as torch's own operations, `[B, *shape]` in and out."""

from __future__ import annotations

from functools import partial, singledispatch
from math import prod

import torch
import torch.nn.functional as F

from ..nodes import Conv, Gather, Linear, Norm, Pool, Reduce, Reshape, Scale
from .tracked import LinearMap

NORM_ROUNDINGS = 8
"""Roundings of a normalisation, or of the weights into which it is folded: root, quotient, three products, two sums."""


@singledispatch
def linear_map(node: object, dtype: torch.dtype) -> LinearMap:
    """Return a node's map with its weights in `dtype`."""
    raise AssertionError(f"{type(node).__name__} is no linear node")


@linear_map.register
def _(node: Linear, dtype: torch.dtype) -> LinearMap:
    weight, bias = _tensor(node.weight, dtype), None if node.bias is None else _tensor(node.bias, dtype)
    magnitude = partial(F.linear, weight=weight.abs(), bias=None if bias is None else bias.abs())
    return LinearMap(partial(F.linear, weight=weight, bias=bias), magnitude, weight.shape[1] + 1)


@linear_map.register
def _(node: Conv, dtype: torch.dtype) -> LinearMap:
    weight, bias = _tensor(node.weight, dtype), None if node.bias is None else _tensor(node.bias, dtype)
    geometry = node.geometry
    convolve = partial(
        F.conv1d if weight.ndim == 3 else F.conv2d,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
    magnitude = partial(convolve, weight=weight.abs(), bias=None if bias is None else bias.abs())
    return LinearMap(partial(convolve, weight=weight, bias=bias), magnitude, prod(weight.shape[1:]) + 1)


@linear_map.register
def _(node: Scale, dtype: torch.dtype) -> LinearMap:
    weight = _tensor(node.weight, dtype)
    return LinearMap(lambda x: x * weight, lambda x: x * weight.abs(), 1)


@linear_map.register
def _(node: Norm, dtype: torch.dtype) -> LinearMap:
    mean, variance = _tensor(node.mean, dtype), _tensor(node.variance, dtype)
    weight, bias = (None if array is None else _tensor(array, dtype) for array in (node.weight, node.bias))
    per_channel = (-1, *(1,) * (len(node.shape) - 1))
    factor = _tensor(node.factor, dtype).abs().reshape(per_channel)
    # what is subtracted and added counts for rounding, even where it cancels
    constants = factor * mean.abs().reshape(per_channel) + (0 if bias is None else bias.abs().reshape(per_channel))

    def apply(x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=node.epsilon)

    return LinearMap(apply, lambda x: x * factor + constants, NORM_ROUNDINGS)


@linear_map.register
def _(node: Pool, dtype: torch.dtype) -> LinearMap:
    def apply(x: torch.Tensor) -> torch.Tensor:
        if node.kind == "average":
            average = F.avg_pool1d if len(node.kernel) == 1 else F.avg_pool2d
            return average(x, node.kernel, node.stride, node.padding)
        if len(node.kernel) == 2:
            return F.avg_pool2d(x, node.kernel, node.stride, node.padding, divisor_override=1)
        windows = (1, *node.kernel), (1, *node.stride), (0, *node.padding)
        return F.avg_pool2d(x.unsqueeze(2), *windows, divisor_override=1).squeeze(2)

    return LinearMap(apply, apply, prod(node.kernel) + 1)


@linear_map.register
def _(node: Gather, dtype: torch.dtype) -> LinearMap:
    index = torch.as_tensor(node.index)
    present = (index >= 0).to(dtype)
    places = index.clamp(min=0).reshape(-1)

    def apply(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, places].reshape(len(x), *node.shape) * present

    return LinearMap(apply, None, 1)


@linear_map.register
def _(node: Reshape, dtype: torch.dtype) -> LinearMap:
    return LinearMap(lambda x: x.reshape(len(x), *node.shape), None, 1)


@linear_map.register
def _(node: Reduce, dtype: torch.dtype) -> LinearMap:
    def apply(x: torch.Tensor) -> torch.Tensor:
        return x.sum(dim=tuple(axis + 1 for axis in node.axes))

    return LinearMap(apply, apply, node.num_terms)


def _tensor(array: object, dtype: torch.dtype) -> torch.Tensor:
    return torch.as_tensor(array).to(dtype)
