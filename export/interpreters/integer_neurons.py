"""One step of every integer neuron, as pure functions: state in, state out. The equations are in `nodes.integer`.

The specification and our Lava models call the same functions; stock Lava, written by others, is their witness.
All arrays are int64 [B, *shape]; membranes and synaptic currents are in units of 2^-6 threshold LSB.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat, decay, integrate, saturate

from ..nodes import (
    Int,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerThreshold,
)

IntegerNeuron = IntegerLIF | IntegerCubaLIF | IntegerAlphaLIF | IntegerThreshold | IntegerDynamicThresholdLIF
State = tuple[Int, ...]
"""What a neuron keeps: (v,), for CUBA (v, u), for alpha (v, E, I), for `IntegerThreshold` nothing."""
Fired = tuple[Int, State, int]
"""Spikes 0/1, the new state, and the number of states that were clipped."""


def initial_state(node: IntegerNeuron, batch: int) -> State:
    """Return zeros for everything that the neuron keeps."""
    num_arrays = {IntegerCubaLIF: 2, IntegerAlphaLIF: 3, IntegerThreshold: 0}.get(type(node), 1)
    return tuple(np.zeros((batch, *node.shape), dtype=np.int64) for _ in range(num_arrays))


def moving_threshold(node: IntegerDynamicThresholdLIF, population: Int, context: Int | None) -> Int:
    """Return θ[t], int64 [B], from counted spikes [B, population] and graded context [B, num_context]."""
    if context is None:
        context = np.zeros((len(population), 0), dtype=np.int64)
    return node.controller.threshold(node.controller.group_counts(population), context)


@singledispatch
def fire(node: object, state: State, synaptic_sum: Int, vth: Int, fmt: IntegerFormat) -> Fired:
    """Advance one neuron layer by one step.

    Args:
        node: its parameters.
        state: what it kept, see `State`.
        synaptic_sum: a[t], what arrives at its ports `input` and `recurrent` together.
        vth: threshold mantissa of this step, broadcastable to the layer.
        fmt: the widths.

    Returns:
        Spikes, the new state, and how many states were clipped.
    """
    raise AssertionError(f"{type(node).__name__} is no integer neuron")


@fire.register
def _(node: IntegerLIF, state: State, synaptic_sum: Int, vth: Int, fmt: IntegerFormat) -> Fired:
    (v,) = state
    height = vth << fmt.state_shift
    owed = (v > height).astype(np.int64)
    kept = v * (1 - owed) if node.reset == "zero" else v
    updated = integrate(kept, synaptic_sum, node.dv, node.bias_mant << node.bias_exp, fmt)
    spikes, v, num_clipped = _decide(node, updated, owed, height, fmt)
    return spikes, (v,), num_clipped


@fire.register
def _(node: IntegerCubaLIF, state: State, synaptic_sum: Int, vth: Int, fmt: IntegerFormat) -> Fired:
    v, u = state
    height = vth << fmt.state_shift
    owed = (v > height).astype(np.int64)
    u = integrate(u, synaptic_sum, node.du + 1, node.bias_mant << node.bias_exp, fmt)
    spikes, v, num_clipped = _decide(node, decay(v, node.dv, fmt) + u, owed, height, fmt)
    return spikes, (v, u), num_clipped


@fire.register
def _(node: IntegerAlphaLIF, state: State, synaptic_sum: Int, vth: Int, fmt: IntegerFormat) -> Fired:
    v, excitation, inhibition = state
    height = vth << fmt.state_shift
    kept = 1 - (v > height).astype(np.int64) if node.reset == "clear" else 1
    drive = (synaptic_sum << fmt.state_shift) + (node.bias_mant << node.bias_exp)
    excitation, clipped_excitation = _clip((decay(excitation, node.du, fmt) + drive) * kept, fmt)
    inhibition, clipped_inhibition = _clip((decay(inhibition, node.dv, fmt) - drive) * kept, fmt)
    v, clipped_v = _clip(excitation + inhibition, fmt)
    spikes = _above(v, height, node.inhibition)
    return spikes, (v, excitation, inhibition), clipped_excitation + clipped_inhibition + clipped_v


@fire.register
def _(node: IntegerThreshold, state: State, synaptic_sum: Int, vth: Int, fmt: IntegerFormat) -> Fired:
    drive = (synaptic_sum << fmt.state_shift) + (node.bias_mant << node.bias_exp)
    return _above(drive, vth << fmt.state_shift, inhibition=False), (), 0


@fire.register
def _(node: IntegerDynamicThresholdLIF, state: State, synaptic_sum: Int, vth: Int, fmt: IntegerFormat) -> Fired:
    (v,) = state
    updated, num_clipped = _clip(integrate(v, synaptic_sum, node.dv, node.bias_mant << node.bias_exp, fmt), fmt)
    spikes = _above(updated, vth << fmt.state_shift, inhibition=False)
    return spikes, (updated * (1 - spikes),), num_clipped


def _decide(
    node: IntegerLIF | IntegerCubaLIF, updated: Int, owed: Int, height: Int, fmt: IntegerFormat
) -> tuple[Int, Int, int]:
    """Apply the reset that is owed, clip, compare, and without a delay settle the new reset at once."""
    if node.reset == "subtract":
        updated = updated - owed * height
    elif node.reset == "clear":
        updated = updated * (1 - owed)
    v, num_clipped = _clip(updated, fmt)
    spikes = _above(v, height, node.inhibition)
    if node.reset == "none" or node.reset_delay:
        return spikes, v, num_clipped
    settled, clipped_again = _clip(v - (spikes - owed) * (height if node.reset == "subtract" else v), fmt)
    return spikes, settled, num_clipped + clipped_again


def _clip(state: Int, fmt: IntegerFormat) -> tuple[Int, int]:
    clipped = saturate(state, fmt)
    return clipped, int((clipped != state).sum())


def _above(v: Int, height: Int, inhibition: bool) -> Int:
    """Spikes: above the threshold, and with inhibition only the first of the largest distances in the layer."""
    distance = (v - height).reshape(len(v), -1)
    spikes = (distance > 0).astype(np.int64)
    if inhibition:
        winner = np.zeros_like(spikes)
        winner[np.arange(len(v)), distance.argmax(axis=1)] = 1
        spikes = spikes * winner
    return spikes.reshape(v.shape)
