"""Neuron layers through time: one call takes a layer through a block of steps, for a batch.

The equations are those of `export.nodes`; no code is shared with the interpreters. All arrays of a call have one
type: int32 where every intermediate value fits, else int64, in units of the membrane (2^-6 threshold LSB); or float64.
A step of one sample goes over its row a few times (update, decide, settle): rows stay in the first cache, and each
loop is free of branches that differ between neurons, so that it is vectorised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from export.trace import Array
from hardware_profiles.compiling import chosen_by_type, compiled

NONE, ZERO, SUBTRACT, CLEAR, FORGET = 0, 1, 2, 3, 4
"""Resets, as numbers that a compiled loop can compare; FORGET clears what spikes, at once, and never owes a reset."""


def leaked(state: Any, keep: Any, bits: int) -> Any:
    """Return what a step keeps: state · keep for floats, rz(state · keep / 2^bits) for integers."""
    raise NotImplementedError


@chosen_by_type(leaked)
def _leaked(state: Any, keep: Any, bits: Any) -> Any:
    def floating(state: Any, keep: Any, bits: Any) -> Any:
        return state * keep

    word = np.int64 if state == types.int64 else np.int32

    def integer(state: Any, keep: Any, bits: Any) -> Any:
        # |state| = high · 2^bits + low, keep <= 2^bits: no product is longer than the state or than 2 · bits;
        # without the casts Numba would compute in 64 bits
        magnitude = word(abs(state))
        high, low = word(magnitude >> bits), word(magnitude & ((1 << bits) - 1))
        kept = word(word(high * keep) + word(word(low * keep) >> bits))
        return kept if state >= 0 else word(-kept)

    return floating if isinstance(state, types.Float) else integer


def lifted(current: Any, shift: int) -> Any:
    """Return a synaptic sum in units of the membrane: shifted left for integers, as it is for floats."""
    raise NotImplementedError


@chosen_by_type(lifted)
def _lifted(current: Any, shift: Any) -> Any:
    def floating(current: Any, shift: Any) -> Any:
        return current

    def integer(current: Any, shift: Any) -> Any:
        return current << shift

    return floating if isinstance(current, types.Float) else integer


def clip(row: Array, limit: Any) -> int:
    """Clip a row of integers to ±limit in place and return how many states were beyond; floats are not clipped."""
    raise NotImplementedError


@chosen_by_type(clip)
def _clip(row: Any, limit: Any) -> Any:
    def floating(row: Any, limit: Any) -> Any:
        return 0

    def integer(row: Any, limit: Any) -> Any:
        highest = lowest = row[0]
        for j in range(len(row)):
            highest, lowest = max(highest, row[j]), min(lowest, row[j])
        if highest <= limit and lowest >= -limit:  # as almost always
            return 0
        num_clipped = 0
        for j in range(len(row)):
            num_clipped += (row[j] > limit) | (row[j] < -limit)
            row[j] = min(max(row[j], -limit), limit)
        return num_clipped

    return floating if isinstance(row.dtype, types.Float) else integer


@compiled
def owe(row: Array, height: Array, owed: Array) -> None:
    """R[t] = 1(U[t−1] > θ[t])."""
    for j in range(len(row)):
        owed[j] = row[j] > height[j]


@compiled
def decide(row: Array, height: Array, spikes: Array, inhibits: bool) -> None:
    """S[t] = 1(U'[t] > θ[t]); with inhibition only the first of the largest U' − θ may spike."""
    for j in range(len(row)):
        spikes[j] = row[j] > height[j]
    if inhibits:
        winner = 0
        for j in range(1, len(row)):
            if row[j] - height[j] > row[winner] - height[winner]:
                winner = j
        fires = spikes[winner]
        spikes[:] = 0
        spikes[winner] = fires


@compiled
def settle(row: Array, height: Array, spikes: Array, owed: Array, reset: int, limit: Any) -> int:
    """Reset at once: U = U' − D θ (subtract) or U' − D U' (zero, clear), D = S − R; return how many were clipped."""
    if reset == SUBTRACT:
        for j in range(len(row)):
            row[j] -= (spikes[j] - owed[j]) * height[j]
    else:
        for j in range(len(row)):
            row[j] -= (spikes[j] - owed[j]) * row[j]
    return clip(row, limit)


@compiled
def repay(row: Array, height: Array, owed: Array, reset: int) -> None:
    """Apply the owed reset to the updated membrane: subtract θ, or clear."""
    if reset == SUBTRACT:
        for j in range(len(row)):
            row[j] -= owed[j] * height[j]
    elif reset == CLEAR:
        for j in range(len(row)):
            row[j] *= 1 - owed[j]


@compiled
def finish(
    row: Array, height: Array, spikes: Array, owed: Array, reset: int, at_once: bool, inhibits: bool, limit: Any
) -> int:
    """Clip, decide and settle; return how many states were clipped."""
    num_clipped = clip(row, limit)
    if reset == FORGET and not inhibits:  # the most common of all, in one pass
        for j in range(len(row)):
            fires = row[j] > height[j]
            spikes[j] = fires
            row[j] = 0 if fires else row[j]
        return num_clipped
    decide(row, height, spikes, inhibits)
    if at_once and reset != NONE:
        num_clipped += settle(row, height, spikes, owed, reset, limit)
    return num_clipped


@compiled
def lif(
    drive: Array, heights: Array, v: Array, spikes: Array, membranes: Array, keep: Array, bias: Array, limit: Any,
    shift: int, bits: int, reset: int, at_once: bool, inhibits: bool,
) -> int:  # fmt: skip
    """Take LIF neurons through a block of steps.

    Args:
        drive: synaptic sums, [T, B, n].
        heights: thresholds, [T or 1, B or 1, n], in units of the membrane.
        v: membranes before the block, [B, n]; after it they are those of its last step.
        spikes: uint8 [T, B, n], overwritten.
        membranes: [T, B, n] to be recorded into, or [0, B, n].
        keep: [n], (2^bits − dv) or β.
        bias: [n], in units of the membrane.
        limit: largest |v|; floats have none.
        shift: left shift of the drive.
        bits: bits of the decay.
        reset: NONE, ZERO, SUBTRACT, CLEAR or FORGET.
        at_once: whether the reset follows the spike in the same step.
        inhibits: whether only one neuron of the layer may spike.

    Returns:
        How many states were clipped.
    """
    num_steps, batch, size = drive.shape
    owed = np.zeros(size, v.dtype)
    num_clipped = 0
    for t in range(num_steps):
        for b in range(batch):
            row, height = v[b], heights[t % len(heights), b % heights.shape[1]]
            current = drive[t, b]
            if reset != NONE and reset != FORGET:
                owe(row, height, owed)
            if reset == ZERO:
                for j in range(size):
                    row[j] *= 1 - owed[j]
            for j in range(size):
                row[j] = leaked(row[j], keep[j], bits) + lifted(current[j], shift) + bias[j]
            repay(row, height, owed, reset)
            num_clipped += finish(row, height, spikes[t, b], owed, reset, at_once, inhibits, limit)
            if len(membranes):
                membranes[t, b] = row
    return num_clipped


@compiled
def cuba_lif(
    drive: Array, heights: Array, v: Array, u: Array, spikes: Array, membranes: Array, keep: Array, keep_current: Array,
    bias: Array, limit: Any, shift: int, bits: int, reset: int, at_once: bool, inhibits: bool,
) -> int:  # fmt: skip
    """Take LIF neurons behind a synaptic current u [B, n] through a block of steps; the rest as in `lif`."""
    num_steps, batch, size = drive.shape
    owed = np.zeros(size, v.dtype)
    num_clipped = 0
    for t in range(num_steps):
        for b in range(batch):
            row, current, height = v[b], u[b], heights[t % len(heights), b % heights.shape[1]]
            arriving = drive[t, b]
            if reset != NONE and reset != FORGET:
                owe(row, height, owed)
            for j in range(size):
                current[j] = leaked(current[j], keep_current[j], bits) + lifted(arriving[j], shift) + bias[j]
                row[j] = leaked(row[j], keep[j], bits) + current[j]
            repay(row, height, owed, reset)
            num_clipped += finish(row, height, spikes[t, b], owed, reset, at_once, inhibits, limit)
            if len(membranes):
                membranes[t, b] = row
    return num_clipped


@compiled
def alpha_lif(
    drive: Array, heights: Array, v: Array, excitation: Array, inhibition: Array, spikes: Array, membranes: Array,
    keep_excitation: Array, keep_inhibition: Array, tau: Array, bias: Array, limit: Any, shift: int, bits: int,
    reset: int, at_once: bool, inhibits: bool,
) -> int:  # fmt: skip
    """Take alpha neurons, the difference of two traces [B, n], through a block of steps; the rest as in `lif`.

    snnTorch's subtraction does not lower the membrane itself: E −= R θ, I −= R I, U += R I[t−1].
    """
    num_steps, batch, size = drive.shape
    owed = np.zeros(size, v.dtype)
    before, gained = np.zeros(size, v.dtype), np.zeros(size, v.dtype)
    num_clipped = 0
    for t in range(num_steps):
        for b in range(batch):
            row, rising, falling = v[b], excitation[b], inhibition[b]
            height, arriving = heights[t % len(heights), b % heights.shape[1]], drive[t, b]
            if reset != NONE and reset != FORGET:
                owe(row, height, owed)
            for j in range(size):
                before[j] = falling[j]
                gained[j] = lifted(arriving[j], shift) + bias[j]
                rising[j] = leaked(rising[j], keep_excitation[j], bits) + gained[j]
                falling[j] = leaked(falling[j], keep_inhibition[j], bits) - gained[j]
            if reset == CLEAR:
                repay(rising, height, owed, reset)
                repay(falling, height, owed, reset)
            num_clipped += clip(rising, limit) + clip(falling, limit)
            for j in range(size):
                row[j] = tau[j] * (rising[j] + falling[j])
            if reset == SUBTRACT:
                for j in range(size):
                    row[j] += owed[j] * before[j]
                    rising[j] -= owed[j] * height[j]
                    falling[j] *= 1 - owed[j]
            num_clipped += finish(row, height, spikes[t, b], owed, reset, at_once, inhibits, limit)
            if len(membranes):
                membranes[t, b] = row
    return num_clipped


@compiled
def memoryless(drive: Array, heights: Array, bias: Array, shift: int, spikes: Array) -> None:
    """S[t] = 1(X[t] + bias > θ[t]); arrays as in `lif`."""
    num_steps, batch, size = drive.shape
    for t in range(num_steps):
        for b in range(batch):
            height = heights[t % len(heights), b % heights.shape[1]]
            for j in range(size):
                spikes[t, b, j] = lifted(drive[t, b, j], shift) + bias[j] > height[j]


@compiled
def integrate(drive: Array, beta: Array, u: Array, sent: Array) -> None:
    """U[t] = β U[t−1] + X[t], which is sent.  float64: drive, sent [T, B, n], u [B, n], beta [n]."""
    num_steps, batch, size = drive.shape
    for t in range(num_steps):
        for b in range(batch):
            for j in range(size):
                u[b, j] = beta[j] * u[b, j] + drive[t, b, j]
                sent[t, b, j] = u[b, j]
