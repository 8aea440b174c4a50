"""Reading functions for snnTorch's neurons (1.0.0); what it computes wrongly is refused with the reason."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
import snntorch as snn
import torch
from torch import nn

from ..nodes import LIF, AlphaLIF, Conv, Convolution, CubaLIF, Float, Linear, Node, Reset, Scale
from ..registry import ModuleCall, Reading, register_module, register_refusal

PORTS = {"input_": "input", "threshold": "threshold"}
"""Where the arguments of an snnTorch neuron, and a threshold that forward assigns, arrive."""


def per_neuron(value: torch.Tensor, call: ModuleCall, what: str) -> Float:
    """Broadcast a parameter to the layer's shape, as torch does.

    Raises:
        UnsupportedModuleError: it does not fit.
    """
    array = value.detach().cpu().numpy().astype(np.float32)
    try:
        return np.broadcast_to(array, call.shape).copy()
    except ValueError:
        allowed = f"one value, {call.shape}, or what broadcasts to it"
        raise call.refuse(f"{what} has shape {array.shape}, allowed is {allowed}") from None


def _check_common(call: ModuleCall) -> None:
    module = cast(Any, call.module)
    if module.state_quant:
        raise call.refuse("state_quant is not supported, export quantises the state itself; set it to False")
    membranes = torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 0.5, 1.0, 3.0])
    if not torch.equal(module.spike_grad(membranes), (membranes > 0).float()):
        raise call.refuse("its spike_grad does not spike where U > threshold; use one of snntorch.surrogate")
    if module.inhibition and len(call.shape) != 1:
        raise call.refuse("inhibition=True is ill-defined in snnTorch beyond one dimension; flatten before it")
    if module.inhibition and bool((module.graded_spikes_factor != 1).any()):
        raise call.refuse("inhibition=True ignores graded_spikes_factor in snnTorch; set the factor to 1")


def _gain(call: ModuleCall) -> np.float32 | None:
    factor = cast(torch.Tensor, call.module.graded_spikes_factor).detach()
    if factor.numel() != 1:
        raise call.refuse(f"graded_spikes_factor has shape {tuple(factor.shape)}, allowed is one value")
    return None if float(factor) == 1 else np.float32(factor.item())


def _settings(call: ModuleCall, zero: Reset, reset_delay: bool) -> dict[str, Any]:
    """Return threshold, reset, delay and inhibition; a moving threshold arrives at a port."""
    module = cast(Any, call.module)
    moving = "threshold" in call.connected
    reset: Reset = zero if module.reset_mechanism == "zero" else module.reset_mechanism
    # with a constant threshold, what a late reset to zero forgets is forgotten at once: the same spikes
    late = reset_delay and (reset != "zero" or moving or module.inhibition)
    return {
        "threshold": None if moving else per_neuron(module.threshold, call, "threshold"),
        "reset": reset,
        "reset_delay": late or reset == "none",
        "inhibition": bool(module.inhibition),
    }


def _decay(call: ModuleCall, name: str, clamp: bool = True) -> Float:
    value = cast(torch.Tensor, getattr(call.module, name)).detach()
    return per_neuron(value.clamp(0, 1) if clamp else value, call, name)


def read_leaky(call: ModuleCall) -> Reading:
    """`snn.Leaky`: reset zero keeps the step's input."""
    _check_common(call)
    module = cast(snn.Leaky, call.module)
    node = LIF(beta=_decay(call, "beta"), **_settings(call, "zero", module.reset_delay))
    return Reading(node=node, ports=PORTS, gain=_gain(call))


def read_rleaky(call: ModuleCall) -> Reading:
    """`snn.RLeaky`: reset zero loses the step's input."""
    _check_common(call)
    module = cast(snn.RLeaky, call.module)
    node = LIF(beta=_decay(call, "beta"), **_settings(call, "clear", module.reset_delay))
    return Reading(node=node, ports=PORTS, recurrent=_recurrent(call), gain=_gain(call))


def read_synaptic(call: ModuleCall) -> Reading:
    """`snn.Synaptic`: reset zero loses the step's input."""
    _check_common(call)
    module = cast(snn.Synaptic, call.module)
    settings = _settings(call, "clear", module.reset_delay)
    node = CubaLIF(alpha=_decay(call, "alpha"), beta=_decay(call, "beta"), **settings)
    return Reading(node=node, ports=PORTS, gain=_gain(call))


def read_rsynaptic(call: ModuleCall) -> Reading:
    """`snn.RSynaptic` with the delayed reset, the only one that snnTorch 1.0.0 computes."""
    _check_common(call)
    node = CubaLIF(alpha=_decay(call, "alpha"), beta=_decay(call, "beta"), **_settings(call, "clear", True))
    return Reading(node=node, ports=PORTS, recurrent=_recurrent(call), gain=_gain(call))


def read_lapicque(call: ModuleCall) -> Reading:
    """`snn.Lapicque`: U' = X·R·(1/(RC))·Δt + (1 − Δt/(RC)) U, as three scalings and a leaky neuron."""
    _check_common(call)
    module = cast(Any, call.module)
    resistance, capacity, step = (value.detach() for value in (module.R, module.C, module.time_step))
    beta = per_neuron(1 - (step / (resistance * capacity)), call, "1 - time_step/(R C)")
    factors = (resistance, 1 / (resistance * capacity), step)
    scales = tuple(
        Scale(weight=_broadcastable(factor, call), shape=call.shape) for factor in factors if bool((factor != 1).any())
    )
    node = LIF(beta=beta, **_settings(call, "clear", True))
    return Reading(node=node, ports=PORTS, before=scales, gain=_gain(call))


def _broadcastable(value: torch.Tensor, call: ModuleCall) -> Float:
    array = value.numpy().astype(np.float32)
    return array.reshape(()) if array.size == 1 else per_neuron(value, call, "R, C or time_step")


def read_alpha(call: ModuleCall) -> Reading:
    """`snn.Alpha`: reset zero clears both traces and the membrane."""
    _check_common(call)
    module = cast(Any, call.module)
    alpha, beta = module.alpha.detach().clamp(0, 1), module.beta.detach().clamp(0, 1)
    # snnTorch's own expression, in its order
    tau = torch.log(alpha) / (torch.log(beta) - torch.log(alpha)) + 1
    if not bool(torch.isfinite(tau).all()):
        raise call.refuse("alpha and beta give no finite tau_alpha; allowed is 0 < beta < alpha <= 1")
    node = AlphaLIF(
        alpha=_decay(call, "alpha"),
        beta=_decay(call, "beta"),
        tau=per_neuron(tau, call, "tau_alpha"),
        **_settings(call, "clear", True),
    )
    return Reading(node=node, ports=PORTS, gain=_gain(call))


def _recurrent(call: ModuleCall) -> Node:
    """Return the synapses from a layer to itself."""
    module = cast(Any, call.module).recurrent
    if isinstance(module, nn.Linear):
        if len(call.shape) != 1:
            raise call.refuse(f"all-to-all recurrence over {call.shape}, allowed is one dimension; flatten before it")
        return Linear(weight=tensor_array(module.weight), bias=optional_array(module.bias))
    if isinstance(module, nn.Conv2d):
        geometry = Convolution(
            input_shape=call.shape,
            stride=module.stride,
            padding=cast("tuple[int, ...]", module.padding),
            dilation=module.dilation,
        )
        return Conv(weight=tensor_array(module.weight), bias=optional_array(module.bias), geometry=geometry)
    return Scale(weight=_one_to_one(module.V, call), shape=call.shape)


def _one_to_one(value: torch.Tensor, call: ModuleCall) -> Float:
    array = tensor_array(value)
    return array.reshape(()) if array.size == 1 else per_neuron(value, call, "V")


def tensor_array(value: torch.Tensor) -> Float:
    """Return a parameter as float32, sharing its memory: a large network's weights exist once."""
    array: Float = value.detach().cpu().numpy().astype(np.float32, copy=False)
    return array


def optional_array(value: torch.Tensor | None) -> Float | None:
    """Return a parameter as float32, if there is one."""
    return None if value is None else tensor_array(value)


def _rsynaptic_refusal(module: nn.Module) -> str | None:
    if cast(snn.RSynaptic, module).reset_delay:
        return None
    return (
        "reset_delay=False is broken in snnTorch 1.0.0 (raises TypeError with init_hidden, is ignored otherwise); use "
        "reset_delay=True"
    )


ILL_DEFINED = {
    "StateLeaky": "decays by exp(-(1-beta)) instead of beta and squares graded_spikes_factor; use snn.Leaky",
    "LinearLeaky": "decays by exp(-(1-beta)) instead of beta (it contains StateLeaky); use nn.Linear and snn.Leaky",
    "AssociativeLeaky": "loses its state by cumulative products (100 % error at T = 50); use snn.Leaky",
    "DeltaLeaky": "fires on changes of its membrane and never resets, which no other world carries; use snn.Leaky",
    "SLSTM": "has sigmoid and tanh gates, which no chip carries exactly; use snn.RSynaptic",
    "SConv2dLSTM": "has sigmoid and tanh gates, which no chip carries exactly; use snn.RSynaptic",
    "LeakyParallel": "runs an nn.RNN whose rectified output is compared, without reset; use nn.Linear and snn.Leaky",
}
"""Neurons of snnTorch 1.0.0 that are refused, and why (measured)."""


def _always(reason: str, module: nn.Module) -> str:
    return reason


def register_snntorch_modules() -> None:
    """Teach the reader snnTorch's neurons."""
    register_module(snn.Leaky, read_leaky, states=("mem",))
    register_module(snn.RLeaky, read_rleaky, states=("spk", "mem"))
    register_module(snn.Synaptic, read_synaptic, states=("syn", "mem"))
    register_module(snn.RSynaptic, read_rsynaptic, states=("spk", "syn", "mem"))
    register_module(snn.Lapicque, read_lapicque, states=("mem",))
    register_module(snn.Alpha, read_alpha, states=("syn_exc", "syn_inh", "mem"))
    for name, reason in ILL_DEFINED.items():
        kind = getattr(snn, name, None)
        if kind is not None:
            register_refusal(kind, partial(_always, reason))
    register_refusal(snn.RSynaptic, _rsynaptic_refusal)
