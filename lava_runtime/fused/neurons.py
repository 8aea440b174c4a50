"""The neuron layers, fused: constants in the graph's types, state, and a block of steps for a batch.

It shares no code with the interpreters, so that equality with them means something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from export.graph import Graph
from export.nodes import (
    DYNAMIC,
    AlphaLIF,
    CubaLIF,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerThreshold,
    Threshold,
)
from export.trace import Array
from hardware_profiles.arithmetic import IntegerFormat

from ..layers import FloatNeuron, Neuron
from .kernels import neurons as kernels
from .number import Numbers

RESETS = {"none": kernels.NONE, "zero": kernels.ZERO, "subtract": kernels.SUBTRACT, "clear": kernels.CLEAR}


@dataclass
class NeuronState:
    """What one neuron layer holds and has counted since `Executor.reset`.

    Attributes:
        v: [B, n], after the last step; None where nothing is kept.
        traces: the [B, n] before the membrane: synaptic current, or the two traces of an alpha neuron.
        num_saturations: states clipped.
        num_group_messages: non-zero group counts that its controller received.
    """

    v: Array | None
    traces: tuple[Array, ...]
    num_saturations: int = 0
    num_group_messages: int = 0


class FusedNeuron:
    """A neuron layer's constants, and its step.

    Attributes:
        heights: its own threshold in units of the membrane, [1, 1, n]; None where that moves.
    """

    def __init__(self, graph: Graph, node: Neuron, numbers: Numbers) -> None:
        self._node, self._word, fmt = node, numbers.word, graph.fmt
        self._shift = 0 if fmt is None else fmt.state_shift
        self._bits = 0 if fmt is None else fmt.decay_bits
        self._limit = numbers.word(0 if fmt is None else fmt.state_max)
        self._bias = self._array(0 if isinstance(node, FloatNeuron) else node.bias_mant << node.bias_exp)
        self._keep = tuple(map(self._array, _kept(node, fmt)))
        self._tau = self._array(node.tau if isinstance(node, AlphaLIF) else 1)
        self.heights = self._own_heights()
        self._at_once = isinstance(node, DYNAMIC) or not getattr(node, "reset_delay", True)
        self._inhibits = bool(getattr(node, "inhibition", False))
        self._reset = self._own_reset()

    def _array(self, values: Any) -> Array:
        return np.ascontiguousarray(np.broadcast_to(values, self._node.shape).ravel().astype(self._word))

    def _own_heights(self) -> Array | None:
        node = self._node
        if isinstance(node, DYNAMIC):
            return None
        own = node.threshold if isinstance(node, FloatNeuron) else node.vth
        return None if own is None else self.lifted(self._array(own))[None, None]

    def _own_reset(self) -> int:
        if isinstance(self._node, DYNAMIC):
            return kernels.FORGET
        reset = getattr(self._node, "reset", "none")
        # what a hard reset has just zeroed does not lie above a constant threshold, which is positive
        never_owes = self._at_once and not self._inhibits and self.heights is not None
        return kernels.FORGET if never_owes and reset in ("zero", "clear") else RESETS[reset]

    def lifted(self, values: Array) -> Array:
        """Return threshold mantissas or synaptic sums in units of the membrane."""
        values = values.astype(self._word, copy=False)
        return values << self._shift if self._shift else values

    def at_rest(self, batch: int) -> NeuronState:
        """Return the state before the first step."""
        silent = [np.zeros((batch, self._node.size), self._word) for _ in self._keep]
        if isinstance(self._node, (AlphaLIF, IntegerAlphaLIF)):
            silent.append(np.zeros_like(silent[0]))
        return NeuronState(v=silent[0] if silent else None, traces=tuple(silent[1:]))

    def advance(self, state: NeuronState, drive: Array, heights: Array, spikes: Array, membranes: Array) -> None:
        """Take a block of steps.

        Args:
            state: changed in place.
            drive: synaptic sums, [T, B, n].
            heights: thresholds in units of the membrane, [T or 1, B or 1, n], contiguous.
            spikes: uint8 [T, B, n], overwritten.
            membranes: [T, B, n] to be recorded into, or [0, B, n].
        """
        drive = np.ascontiguousarray(drive, dtype=self._word)
        if state.v is None:
            kernels.memoryless(drive, heights, self._bias, self._shift, spikes)
            return
        shared: tuple[Any, ...] = (
            self._bias, self._limit, self._shift, self._bits, self._reset, self._at_once, self._inhibits,
        )  # fmt: skip
        step: Any = kernels.lif
        if isinstance(self._node, (AlphaLIF, IntegerAlphaLIF)):
            step, shared = kernels.alpha_lif, (self._tau, *shared)
        elif state.traces:
            step = kernels.cuba_lif
        num_clipped = step(drive, heights, state.v, *state.traces, spikes, membranes, *self._keep, *shared)
        state.num_saturations += num_clipped


def _kept(node: Neuron, fmt: IntegerFormat | None) -> tuple[Any, ...]:
    """Return the share of each state that a step keeps: β as it is, or 2^decay_bits − decay; membrane first.

    For alpha neurons the shares of excitation and inhibition, since the membrane is their sum.
    """
    if isinstance(node, (Threshold, IntegerThreshold)):
        return ()
    if isinstance(node, FloatNeuron):
        if isinstance(node, AlphaLIF):
            return (node.alpha, node.beta)
        return (node.beta, node.alpha) if isinstance(node, CubaLIF) else (node.beta,)
    assert fmt is not None
    unity = fmt.decay_unity
    if isinstance(node, IntegerAlphaLIF):
        return (unity - node.du, unity - node.dv)
    # as on the chip, the synaptic decay counts from one
    return (unity - node.dv, unity - (node.du + 1)) if isinstance(node, IntegerCubaLIF) else (unity - node.dv,)
