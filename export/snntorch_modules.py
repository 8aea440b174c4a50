"""Reading functions for torch's and snnTorch's own modules."""

from __future__ import annotations

from typing import cast

import numpy as np
import snntorch as snn
import torch
from torch import nn

from .nodes import LIF, Float, Linear, Reset
from .registry import ModuleCall, PassThrough, Reading, register_module


def per_neuron(value: torch.Tensor, size: int, call: ModuleCall, what: str) -> Float:
    """Broadcast a scalar or per-neuron parameter to float32 [size].

    Raises:
        UnsupportedModuleError: the parameter has another shape.
    """
    array = value.detach().cpu().numpy().astype(np.float32)
    if array.size not in (1, size):
        raise call.refuse(f"{what} has shape {array.shape}, allowed is one value or {size}")
    return np.broadcast_to(array.reshape(-1), (size,)).copy()


def read_linear(call: ModuleCall) -> Reading:
    """`nn.Linear`: X = W s + b."""
    module = cast(nn.Linear, call.module)
    bias = None if module.bias is None else module.bias.detach().cpu().numpy().astype(np.float32)
    weight = module.weight.detach().cpu().numpy().astype(np.float32)
    return Reading(Linear(weight=weight, bias=bias), {"input": call.arguments["input"]})


def read_leaky(call: ModuleCall) -> Reading:
    """`snn.Leaky`: resets subtract, zero, none; refuses what the graph's `LIF` does not say."""
    module = cast(snn.Leaky, call.module)
    if module.inhibition:
        raise call.refuse("inhibition=True is not supported, set it to False")
    if module.state_quant:
        raise call.refuse("state_quant is not supported, export quantises the state itself; set it to False")
    if not bool((module.graded_spikes_factor == 1).all()):
        raise call.refuse("graded_spikes_factor must be 1, fold the factor into the next layer's weights")
    reset = cast(Reset, module.reset_mechanism)
    if reset == "subtract" and not module.reset_delay:
        raise call.refuse("reset 'subtract' with reset_delay=False is not supported, use reset_delay=True")
    size = call.need_size()
    node = LIF(
        beta=per_neuron(module.beta.clamp(0, 1), size, call, "beta"),
        threshold=per_neuron(module.threshold, size, call, "threshold"),
        reset=reset,
    )
    returns_state = bool(module.output or not module.init_hidden)
    return Reading(node, {"input": call.arguments["input_"]}, state="mem", returns_state=returns_state)


def read_nothing(call: ModuleCall) -> PassThrough:
    """Dropout (in eval mode) and Identity change nothing."""
    return PassThrough(call.arguments["input"])


def register_snntorch_modules() -> None:
    """Teach the reader every module that Axonport supports by itself."""
    register_module(nn.Linear, read_linear)
    register_module(snn.Leaky, read_leaky)
    register_module(nn.Dropout, read_nothing)
    register_module(nn.Identity, read_nothing)
