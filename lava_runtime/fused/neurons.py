"""The neuron layers, fused: constants, state, and one step for a batch, in double precision.

It shares no code with the interpreters, so that equality with them means something. Integers stay exact:
|v|·(4096 − dv) < 2^36, so v·(4096 − dv)/4096 is exact in float64 and `trunc` is Loihi's rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from export.graph import Graph
from export.nodes import (
    DYNAMIC,
    LIF,
    AlphaLIF,
    CubaLIF,
    DynamicThresholdLIF,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerThreshold,
    Threshold,
)
from export.trace import Array
from hardware_profiles.arithmetic import IntegerFormat

from ..layers import FloatNeuron, Neuron

PlainNeuron = LIF | IntegerLIF | CubaLIF | IntegerCubaLIF | AlphaLIF | IntegerAlphaLIF


@dataclass
class NeuronState:
    """What one neuron layer holds and has counted since `Executor.reset`.

    Attributes:
        s: bool [B, n], spikes of the step.
        spike_counts: int64 [B, n], over time.
        v: float64 [B, n], after the step; None where nothing is kept.
        traces: the float64 [B, n] before the membrane: synaptic current, or the two traces of an alpha neuron.
        theta: int64 [B], threshold mantissa of the step; None where no controller sets it.
        num_saturations: states clipped.
        num_group_messages: non-zero group counts that its controller received.
    """

    s: Array
    spike_counts: Array
    v: Array | None
    traces: tuple[Array, ...] = ()
    theta: Array | None = None
    num_saturations: int = 0
    num_group_messages: int = 0


class FusedNeuron(Protocol):
    """A neuron layer's constants."""

    size: int
    threshold: Array | None

    def at_rest(self, batch: int) -> NeuronState:
        """Return the state before the first step."""

    def advance(self, state: NeuronState, drive: Array, threshold: Any) -> None:
        """Take one step in place; drive [B, n] and threshold are in units of the membrane."""


def fused_neuron(graph: Graph, node: Neuron) -> FusedNeuron:
    """Return the constants of a neuron node."""
    if isinstance(node, (Threshold, IntegerThreshold)):
        return _Memoryless(node, graph.fmt)
    if isinstance(node, (AlphaLIF, IntegerAlphaLIF)):
        return _Alpha(node, graph.fmt)
    if isinstance(node, (CubaLIF, IntegerCubaLIF)):
        return _Cuba(node, graph.fmt)
    return _Plain(node, graph.fmt)


def _threshold(node: Neuron, fmt: IntegerFormat | None) -> Array | None:
    """Return a threshold that is the node's own, float64 [n] in units of the membrane."""
    if isinstance(node, DYNAMIC):
        return None
    if isinstance(node, FloatNeuron):
        return None if node.threshold is None else node.threshold.astype(np.float64).ravel()
    assert fmt is not None
    return None if node.vth is None else node.vth.ravel() * 2.0**fmt.state_shift


def _bias(node: Neuron) -> Array | None:
    """Return a neuron's own bias, float64 [n], or None where there is none."""
    if isinstance(node, FloatNeuron) or not node.bias_mant.any():
        return None
    return node.bias_mant.ravel() * 2.0**node.bias_exp


class _Memoryless:
    def __init__(self, node: Threshold | IntegerThreshold, fmt: IntegerFormat | None) -> None:
        self.size, self.threshold, self._bias = node.size, _threshold(node, fmt), _bias(node)

    def at_rest(self, batch: int) -> NeuronState:
        return _silence(batch, self.size, v=None)

    def advance(self, state: NeuronState, drive: Array, threshold: Any) -> None:
        np.greater(drive if self._bias is None else drive + self._bias, threshold, out=state.s)


def _silence(batch: int, size: int, v: Array | None, num_traces: int = 0) -> NeuronState:
    return NeuronState(
        s=np.zeros((batch, size), dtype=bool),
        spike_counts=np.zeros((batch, size), dtype=np.int64),
        v=v,
        traces=tuple(np.zeros((batch, size)) for _ in range(num_traces)),
    )


class _Layer:
    """What all neurons with a membrane share: leak, the reset that is owed, clip, decision, and reset at once."""

    num_traces = 0

    def __init__(self, node: Neuron, fmt: IntegerFormat | None) -> None:
        self.size, self.threshold, self._own_bias = node.size, _threshold(node, fmt), _bias(node)
        self._limit = None if fmt is None else fmt.state_max
        self._fmt = fmt
        self._reset: str = getattr(node, "reset", "zero")
        self._resets_late: bool = getattr(node, "reset_delay", not isinstance(node, DYNAMIC))
        self._inhibits: bool = getattr(node, "inhibition", False)
        self._spikes_tell = self.threshold is not None and not self._inhibits
        # a membrane that a hard reset zeroed lies below its threshold, unless that moves or others' spikes count
        resets_for_good = self._reset in ("zero", "clear") and not self._resets_late and self._spikes_tell
        self._never_owes = self._reset == "none" or isinstance(node, DYNAMIC) or resets_for_good

    def at_rest(self, batch: int) -> NeuronState:
        return _silence(batch, self.size, np.zeros((batch, self.size)), self.num_traces)

    def _kept(self, beta: Array | None, decay: Array | int | None) -> Array:
        """Return what a step keeps of a state, float64 [n]: beta, or (4096 − decay)/4096."""
        if self._fmt is None:
            assert beta is not None
            return beta.astype(np.float64).ravel()
        assert decay is not None
        kept: Array = (self._fmt.decay_unity - np.asarray(decay).ravel()) / self._fmt.decay_unity
        return kept

    def _leak(self, state: Array, kept: Array) -> None:
        state *= kept
        if self._limit is not None:
            np.trunc(state, out=state)

    def _add(self, state: Array, drive: Array) -> None:
        state += drive
        if self._own_bias is not None:
            state += self._own_bias

    def _owed(self, state: NeuronState, threshold: Any) -> Array | None:
        """Return R[t], bool [B, n]; None where it cannot be."""
        if self._never_owes:
            return None
        if self._resets_late and self._spikes_tell:
            return state.s
        assert state.v is not None
        owed: Array = state.v > threshold
        return owed

    def _clip(self, state: NeuronState, values: Array) -> None:
        if self._limit is not None and max(values.max(), -values.min()) > self._limit:
            state.num_saturations += int((np.abs(values) > self._limit).sum())
            np.clip(values, -self._limit, self._limit, out=values)

    def _decide(self, state: NeuronState, threshold: Any) -> None:
        assert state.v is not None
        if not self._inhibits:
            np.greater(state.v, threshold, out=state.s)
            return
        distance = state.v - threshold
        winner = (np.arange(len(distance)), distance.argmax(axis=1))
        state.s[:] = False
        state.s[winner] = distance[winner] > 0

    def _repay(self, state: NeuronState, owed: Array | None, threshold: Any) -> None:
        """Reset the new membrane where a reset is owed from before."""
        assert state.v is not None
        if owed is not None and self._reset == "subtract":
            state.v -= owed * threshold
        elif owed is not None and self._reset == "clear":
            state.v[owed] = 0

    def _settle(self, state: NeuronState, owed: Array | None, threshold: Any) -> None:
        """Clip, decide, and reset at once where the reset does not wait."""
        v = state.v
        assert v is not None
        self._clip(state, v)
        self._decide(state, threshold)
        if self._resets_late or self._reset == "none":
            return
        if owed is None:
            v[state.s] = 0
            return
        due = state.s.astype(np.float64) - owed
        v -= due * (threshold if self._reset == "subtract" else v)
        self._clip(state, v)


class _Plain(_Layer):
    """LIF with any reset, and the membrane under a moving threshold."""

    def __init__(self, node: Neuron, fmt: IntegerFormat | None) -> None:
        super().__init__(node, fmt)
        assert isinstance(node, (LIF, IntegerLIF, DynamicThresholdLIF, IntegerDynamicThresholdLIF))
        beta = node.beta if isinstance(node, (LIF, DynamicThresholdLIF)) else None
        self._keep = self._kept(beta, None if isinstance(node, (LIF, DynamicThresholdLIF)) else node.dv)

    def advance(self, state: NeuronState, drive: Array, threshold: Any) -> None:
        assert state.v is not None
        owed = self._owed(state, threshold)
        if owed is not None and self._reset == "zero":
            state.v[owed] = 0
        self._leak(state.v, self._keep)
        self._add(state.v, drive)
        self._repay(state, owed, threshold)
        self._settle(state, owed, threshold)


class _Cuba(_Layer):
    """LIF behind a synaptic current; the bias passes through the current."""

    num_traces = 1

    def __init__(self, node: CubaLIF | IntegerCubaLIF, fmt: IntegerFormat | None) -> None:
        super().__init__(node, fmt)
        if isinstance(node, CubaLIF):
            self._keep, self._keep_current = self._kept(node.beta, None), self._kept(node.alpha, None)
        else:
            self._keep, self._keep_current = self._kept(None, node.dv), self._kept(None, node.du + 1)

    def advance(self, state: NeuronState, drive: Array, threshold: Any) -> None:
        assert state.v is not None
        owed = self._owed(state, threshold)
        (current,) = state.traces
        self._leak(current, self._keep_current)
        self._add(current, drive)
        self._leak(state.v, self._keep)
        state.v += current
        self._repay(state, owed, threshold)
        self._settle(state, owed, threshold)


class _Alpha(_Layer):
    """The difference of two traces. A reset by subtraction, as snnTorch has it, does not lower the membrane itself."""

    num_traces = 2

    def __init__(self, node: AlphaLIF | IntegerAlphaLIF, fmt: IntegerFormat | None) -> None:
        super().__init__(node, fmt)
        self._tau: Array | float = 1.0
        if isinstance(node, AlphaLIF):
            self._keep_excitation, self._keep_inhibition = self._kept(node.alpha, None), self._kept(node.beta, None)
            self._tau = node.tau.astype(np.float64).ravel()
        else:
            self._keep_excitation, self._keep_inhibition = self._kept(None, node.du), self._kept(None, node.dv)

    def advance(self, state: NeuronState, drive: Array, threshold: Any) -> None:
        assert state.v is not None
        owed = self._owed(state, threshold)
        excitation, inhibition = state.traces
        before = inhibition.copy() if self._reset == "subtract" else inhibition
        self._leak(excitation, self._keep_excitation)
        self._leak(inhibition, self._keep_inhibition)
        gained = drive if self._own_bias is None else drive + self._own_bias
        excitation += gained
        inhibition -= gained
        self._clear(owed, excitation, inhibition)
        self._clip(state, excitation)
        self._clip(state, inhibition)
        np.multiply(excitation + inhibition, self._tau, out=state.v)
        if owed is not None and self._reset == "subtract":
            state.v += before * owed
            excitation -= owed * threshold
            inhibition[owed] = 0
        self._settle(state, owed, threshold)

    def _clear(self, owed: Array | None, *arrays: Array) -> None:
        if owed is not None and self._reset == "clear":
            for array in arrays:
                array[owed] = 0
