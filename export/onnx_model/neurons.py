"""One step of every float neuron as ONNX operations, in the order of evaluation of `nodes.neurons`.

A reset of 0 or 1 selects (`Where`) instead of multiplying where that gives the same number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from hardware_profiles.arithmetic import CONTROLLER_SHIFT, CONTROLLER_UNITY, ThresholdController

from ..nodes import LI, LIF, AlphaLIF, CubaLIF, DynamicThresholdLIF, Float, Shape, Threshold
from .body import FLOAT, INT64, ScanBody
from .steps import Ports, write_step

Snn = LIF | CubaLIF | AlphaLIF


@dataclass(frozen=True)
class Records:
    """Names of what a neuron shows of itself in a step: spikes, membrane (if it has one), threshold mantissa [B]."""

    s: str
    v: str | None = None
    theta: str | None = None


@singledispatch
def write_neuron(node: object, body: ScanBody, ports: Ports) -> Records:
    """Append a neuron's operations and states.

    Args:
        node: a neuron of the float dialect.
        body: what is being written.
        ports: what arrives.

    Returns:
        What a trace records; `s` is what the neuron sends.
    """
    raise AssertionError(f"no ONNX step for the neuron {type(node).__name__}")


@write_neuron.register(LIF)
@write_neuron.register(CubaLIF)
@write_neuron.register(AlphaLIF)
def _(node: Snn, body: ScanBody, ports: Ports) -> Records:
    theta = ports["threshold"] if node.threshold is None else body.constant(node.threshold, "threshold")
    stored = body.state(node.shape, "membrane")
    owed = None if node.reset == "none" or _never_owes(node) else body.add("Greater", stored, theta)
    membrane = _advance(node, body, ports, _Membrane(stored, theta, owed))
    over = body.add("Greater", membrane, theta)
    fired = _winner(body, over, body.add("Sub", membrane, theta), node.shape) if node.inhibition else over
    settled = membrane
    if not node.reset_delay and node.reset != "none":
        settled = _settle(node, body, _Membrane(membrane, theta, owed), fired)
    return Records(s=body.on_tick(body.as_float(fired)), v=body.keep(stored, settled))


@write_neuron.register
def _(node: Threshold, body: ScanBody, ports: Ports) -> Records:
    over = body.add("Greater", ports["input"], body.constant(node.threshold, "threshold"))
    return Records(s=body.on_tick(body.as_float(over)))


@write_neuron.register
def _(node: DynamicThresholdLIF, body: ScanBody, ports: Ports) -> Records:
    controller = node.controller
    theta = _controlled_threshold(controller, body, ports)
    step = body.constant(np.float32(2.0**-controller.fraction_bits), "step")
    threshold = body.reshape(body.add("Mul", body.add("Cast", theta, to=FLOAT), step), *(1 for _ in node.shape))
    stored = body.state(node.shape, "membrane")
    membrane = _leaky_sum(body, node.beta, stored, ports)
    fired = body.add("Greater", membrane, threshold)
    settled = body.add("Where", fired, _zero(body), membrane)
    return Records(
        s=body.on_tick(body.as_float(fired)), v=body.keep(stored, settled), theta=_held_threshold(body, theta)
    )


def _held_threshold(body: ScanBody, theta: str) -> str:
    """Append what is shown of a threshold mantissa [B] between ticks; a float32 holds its 17 bits."""
    if body.tick is None:
        return theta
    held = body.keep(body.state((), "threshold"), body.add("Cast", theta, to=FLOAT))
    return body.add("Cast", held, to=INT64)


@write_step.register
def _(node: LI, body: ScanBody, ports: Ports) -> str:
    stored = body.state(node.shape, "membrane")
    membrane = _leaky_sum(body, node.beta, stored, ports)
    body.keep(stored, membrane)
    return membrane


@dataclass(frozen=True)
class _Membrane:
    """Names of a membrane, of the threshold, and of the condition that a reset is owed; None if that never happens."""

    u: str
    theta: str
    owed: str | None


@singledispatch
def _advance(node: object, body: ScanBody, ports: Ports, before: _Membrane) -> str:
    """Append U' = update(U[t−1], X, Z) with the reset that is owed; returns U'."""
    raise AssertionError(f"{type(node).__name__} is no snnTorch neuron")


@_advance.register
def _(node: LIF, body: ScanBody, ports: Ports, before: _Membrane) -> str:
    if node.reset == "zero":
        return _leaky_sum(body, node.beta, _cleared(body, before.u, before.owed), ports)
    return _reset(node, body, _leaky_sum(body, node.beta, before.u, ports), before)


@_advance.register
def _(node: CubaLIF, body: ScanBody, ports: Ports, before: _Membrane) -> str:
    stored = body.state(node.shape, "current")
    current = _leaky_sum(body, node.alpha, stored, ports)
    body.keep(stored, current)
    leaked = body.add("Mul", body.constant(node.beta, "beta"), before.u)
    return _reset(node, body, body.add("Add", leaked, current), before)


@_advance.register
def _(node: AlphaLIF, body: ScanBody, ports: Ports, before: _Membrane) -> str:
    excited, inhibited = body.state(node.shape, "excitation"), body.state(node.shape, "inhibition")
    x = body.add("Add", ports["input"], ports["recurrent"]) if "recurrent" in ports else ports["input"]
    e = body.add("Add", body.add("Mul", body.constant(node.alpha, "alpha"), excited), x)
    i = body.add("Sub", body.add("Mul", body.constant(node.beta, "beta"), inhibited), x)
    u = body.add("Mul", body.constant(node.tau, "tau"), body.add("Add", e, i))
    if node.reset == "subtract":
        assert before.owed is not None
        zero = _zero(body)
        u = body.add("Add", u, body.add("Where", before.owed, inhibited, zero))
        e = body.add("Sub", e, body.add("Where", before.owed, before.theta, zero))
    elif node.reset == "clear":
        u, e = _cleared(body, u, before.owed), _cleared(body, e, before.owed)
    body.keep(excited, e)
    body.keep(inhibited, i if node.reset == "none" else _cleared(body, i, before.owed))
    return u


def _leaky_sum(body: ScanBody, decay: Float, state: str, ports: Ports) -> str:
    """Append (decay · state + X) + Z."""
    total = body.add("Add", body.add("Mul", body.constant(decay, "decay"), state), ports["input"])
    return body.add("Add", total, ports["recurrent"]) if "recurrent" in ports else total


def _never_owes(node: Snn) -> bool:
    """Tell whether R is always 0: after a spike the membrane is zero, below a constant threshold.

    Under inhibition a neuron may stay above its threshold without a spike, and then it owes its reset.
    """
    immediate = not node.reset_delay and node.reset in ("zero", "clear")
    return immediate and node.threshold is not None and not node.inhibition


def _reset(node: LIF | CubaLIF, body: ScanBody, u: str, before: _Membrane) -> str:
    if node.reset == "subtract":
        assert before.owed is not None
        return body.add("Sub", u, body.add("Where", before.owed, before.theta, _zero(body)))
    return _cleared(body, u, before.owed) if node.reset == "clear" else u


def _cleared(body: ScanBody, value: str, owed: str | None) -> str:
    return value if owed is None else body.add("Where", owed, _zero(body), value)


def _settle(node: Snn, body: ScanBody, after: _Membrane, fired: str) -> str:
    """Append what is stored where the reset happens within the step: U' − D θ or U' − D U', D = S − R."""
    if after.owed is None:
        return _cleared(body, after.u, fired)
    due = body.add("Sub", body.as_float(fired), body.as_float(after.owed))
    lost = after.theta if node.reset == "subtract" else after.u
    return body.add("Sub", after.u, body.add("Mul", due, lost))


def _winner(body: ScanBody, over: str, margin: str, shape: Shape) -> str:
    """Append the condition that a neuron is over threshold and the first with the layer's largest margin."""
    largest = body.add("ArgMax", body.reshape(margin, -1), axis=1, keepdims=1, select_last_index=0)
    places = body.constant(np.arange(np.prod(shape), dtype=np.int64), "places")
    return body.add("And", over, body.reshape(body.add("Equal", places, largest), *shape))


def _controlled_threshold(controller: ThresholdController, body: ScanBody, ports: Ports) -> str:
    """Append `ThresholdController.threshold` in int64; returns the mantissa's name, [B]."""
    grouped = body.reshape(body.add("Cast", ports["population"], to=INT64), controller.num_groups, -1)
    counts = body.add("ReduceSum", grouped, _integers(body, [2]), keepdims=0)
    total = body.add("ReduceSum", counts, _integers(body, [1]), keepdims=1)
    apart = body.add("Sub", body.add("Mul", counts, _integer(body, controller.num_groups)), total)
    deviation = body.add("ReduceSum", body.add("Abs", apart), _integers(body, [1]), keepdims=1)
    drive = body.add("Mul", total, _integer(body, controller.weight_count))
    drive = body.add("Add", drive, body.add("Mul", deviation, _integer(body, controller.weight_deviation)))
    drive = body.add("Add", drive, _integer(body, controller.bias))
    if controller.num_context:
        context = body.reshape(body.add("Cast", ports["context"], to=INT64), controller.num_context)
        weighted = body.add("Mul", context, _integers(body, controller.weight_context))
        drive = body.add("Add", drive, body.add("ReduceSum", weighted, _integers(body, [1]), keepdims=1))
    z = _shift_right(body, body.reshape(drive))
    z = body.add("Clip", z, _integer(body, -CONTROLLER_UNITY), _integer(body, CONTROLLER_UNITY))
    change = body.add("Mul", z, _integer(body, controller.amplitude))
    change = _shift_right(body, body.add("Add", change, _integer(body, CONTROLLER_UNITY // 2)))
    return body.add("Add", change, _integer(body, controller.theta_0))


def _shift_right(body: ScanBody, value: str) -> str:
    """Append value >> 12: ONNX divides toward zero, so the remainder goes first."""
    unity = _integer(body, 1 << CONTROLLER_SHIFT)
    return body.add("Div", body.add("Sub", value, body.add("Mod", value, unity)), unity)


def _zero(body: ScanBody) -> str:
    return body.constant(np.float32(0), "zero")


def _integer(body: ScanBody, value: int) -> str:
    return body.constant(np.int64(value), "integer")


def _integers(body: ScanBody, values: list[int] | tuple[int, ...]) -> str:
    return body.constant(np.array(values, dtype=np.int64), "integers")
