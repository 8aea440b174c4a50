"""Reading functions for torch's own layers."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..nodes import Conv, Convolution, Gather, Linear, Node, Norm, Pool, Reshape, Shape, Threshold
from ..registry import ModuleCall, PassThrough, Reading, register_module
from .snntorch_modules import optional_array, tensor_array


def read_linear(call: ModuleCall) -> Reading:
    """`nn.Linear`: X = W x + b along the last axis."""
    module = cast(nn.Linear, call.module)
    node = Linear(weight=tensor_array(module.weight), bias=optional_array(module.bias), positions=call.shape[:-1])
    return Reading(node=node)


def read_conv(call: ModuleCall) -> Reading:
    """`nn.Conv1d`, `nn.Conv2d`; padding other than symmetric zeros becomes a rearrangement before."""
    module = cast("nn.Conv1d | nn.Conv2d", call.module)
    dimensions = len(module.kernel_size)
    _need_dimensions(call, dimensions)
    if call.shape[0] != module.in_channels:
        raise call.refuse(f"receives {call.shape[0]} channels, allowed is {module.in_channels}")
    before: tuple[Node, ...] = ()
    if module.padding_mode == "zeros" and not isinstance(module.padding, str):
        padding, shape = tuple(module.padding), call.shape
    else:
        # the module's own amounts, last axis first, as torch's pad takes them
        amounts = tuple(module._reversed_padding_repeated_twice)
        padding, before = (0,) * dimensions, (_pad(call.shape, amounts, module.padding_mode),)
        shape = before[0].shape
    geometry = Convolution(
        input_shape=shape,
        stride=tuple(module.stride),
        padding=padding,
        dilation=tuple(module.dilation),
        groups=module.groups,
    )
    node = Conv(weight=tensor_array(module.weight), bias=optional_array(module.bias), geometry=geometry)
    return Reading(node=node, before=before)


def _pad(shape: Shape, amounts: tuple[int, ...], mode: str) -> Gather:
    numbers = torch.arange(1, prod(shape) + 1, dtype=torch.float64).reshape(1, *shape)
    padded = F.pad(numbers, amounts) if mode == "zeros" else F.pad(numbers, amounts, mode=mode)
    return Gather(index=padded[0].numpy().astype(np.int64) - 1, input_shape=shape)


def _need_dimensions(call: ModuleCall, dimensions: int) -> None:
    if len(call.shape) != dimensions + 1:
        raise call.refuse(f"receives {call.shape}, allowed are channels and {dimensions} spatial dimensions")


def _tuple(value: Any, dimensions: int) -> tuple[int, ...]:
    return (value,) * dimensions if isinstance(value, int) else tuple(value)


def _pool(call: ModuleCall, kind: Any) -> Pool:
    """Make a pool after checking that no window is cut at the border."""
    module = cast(Any, call.module)
    dimensions = 1 if type(module).__name__.endswith("1d") else 2
    _need_dimensions(call, dimensions)
    kernel, padding = _tuple(module.kernel_size, dimensions), _tuple(module.padding, dimensions)
    stride = _tuple(kernel if module.stride is None else module.stride, dimensions)
    pool = Pool(input_shape=call.shape, kernel=kernel, stride=stride, padding=padding, kind=kind)
    if module.ceil_mode and any(
        (length + 2 * pad - size) % step
        for length, pad, size, step in zip(call.shape[1:], padding, kernel, stride, strict=True)
    ):
        raise call.refuse("ceil_mode=True cuts windows at the border, allowed are whole windows; pad or crop the input")
    return pool


def read_average_pool(call: ModuleCall) -> Reading:
    """`nn.AvgPool1d`, `nn.AvgPool2d`; divisor_override=1 is a sum pooling."""
    module = cast(Any, call.module)
    divisor = getattr(module, "divisor_override", None)
    pool = _pool(call, "sum" if divisor == 1 else "average")
    if divisor not in (None, 1, prod(pool.kernel)):
        raise call.refuse(f"divisor_override={divisor}, allowed are None, 1 and {prod(pool.kernel)}")
    if not module.count_include_pad and any(pool.padding):
        raise call.refuse("count_include_pad=False with padding, allowed is True or no padding")
    return Reading(node=pool)


def read_max_pool(call: ModuleCall) -> Reading:
    """`nn.MaxPool1d`, `nn.MaxPool2d` of spikes: OR, a sum over the window and a threshold between 0 and 1."""
    module = cast(Any, call.module)
    if not call.carries_spikes:
        raise call.refuse("takes the largest of values that are not spikes; put it behind a spiking neuron")
    if module.return_indices or _tuple(module.dilation, 1) not in ((1,), (1, 1)):
        raise call.refuse("return_indices and dilation are not supported; set return_indices=False, dilation=1")
    pool = _pool(call, "sum")
    return Reading(node=Threshold(threshold=np.full(pool.shape, 0.5, dtype=np.float32)), before=(pool,))


def read_adaptive_average_pool(call: ModuleCall) -> Reading:
    """`nn.AdaptiveAvgPool1d/2d` whose windows are equal."""
    module = cast(Any, call.module)
    dimensions = 1 if type(module).__name__.endswith("1d") else 2
    _need_dimensions(call, dimensions)
    size = _tuple(module.output_size, dimensions)
    size = tuple(length if wanted is None else wanted for wanted, length in zip(size, call.shape[1:], strict=True))
    if any(length % wanted for length, wanted in zip(call.shape[1:], size, strict=True)):
        raise call.refuse(f"divides {call.shape[1:]} into {size} unequal windows, allowed are equal ones")
    kernel = tuple(length // wanted for length, wanted in zip(call.shape[1:], size, strict=True))
    zeros = (0,) * dimensions
    return Reading(node=Pool(input_shape=call.shape, kernel=kernel, stride=kernel, padding=zeros, kind="average"))


def read_norm(call: ModuleCall) -> Reading:
    """`nn.BatchNorm1d`, `nn.BatchNorm2d` by their running statistics."""
    module = cast(Any, call.module)
    if module.running_mean is None:
        raise call.refuse("track_running_stats=False normalises by the batch at hand; set it to True and train")
    if call.shape[0] != module.num_features:
        raise call.refuse(f"receives {call.shape[0]} channels, allowed is {module.num_features}")
    node = Norm(
        mean=tensor_array(module.running_mean),
        variance=tensor_array(module.running_var),
        weight=optional_array(module.weight),
        bias=optional_array(module.bias),
        epsilon=float(module.eps),
        shape=call.shape,
    )
    return Reading(node=node)


def read_flatten(call: ModuleCall) -> Reading | PassThrough:
    """`nn.Flatten` from any axis behind the batch."""
    module = cast(nn.Flatten, call.module)
    num_axes = len(call.shape) + 1
    start, end = module.start_dim % num_axes, module.end_dim % num_axes
    if start == 0:
        raise call.refuse("flattens the batch axis, allowed is start_dim >= 1")
    shape = (*call.shape[: start - 1], prod(call.shape[start - 1 : end]), *call.shape[end:])
    return PassThrough() if shape == call.shape else Reading(node=Reshape(input_shape=call.shape, shape=shape))


def read_unflatten(call: ModuleCall) -> Reading:
    """`nn.Unflatten` of any axis behind the batch."""
    module = cast(Any, call.module)
    axis = module.dim % (len(call.shape) + 1)
    if axis == 0:
        raise call.refuse("unflattens the batch axis, allowed is dim >= 1")
    shape = (*call.shape[: axis - 1], *module.unflattened_size, *call.shape[axis:])
    numbers = np.arange(prod(call.shape)).reshape(shape)
    return Reading(node=Reshape(input_shape=call.shape, shape=numbers.shape))


def read_nothing(call: ModuleCall) -> PassThrough:
    """Dropout (in eval mode) and Identity change nothing."""
    return PassThrough()


def register_torch_modules() -> None:
    """Teach the reader torch's layers."""
    register_module(nn.Linear, read_linear, sizes=lambda module: {"input": cast(nn.Linear, module).in_features})
    readings = {
        read_conv: (nn.Conv1d, nn.Conv2d),
        read_average_pool: (nn.AvgPool1d, nn.AvgPool2d),
        read_max_pool: (nn.MaxPool1d, nn.MaxPool2d),
        read_adaptive_average_pool: (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
        read_norm: (nn.BatchNorm1d, nn.BatchNorm2d),
        read_flatten: (nn.Flatten,),
        read_unflatten: (nn.Unflatten,),
        read_nothing: (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d),
    }
    for read, kinds in readings.items():
        for kind in kinds:
            register_module(kind, read)
