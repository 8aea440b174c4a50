"""The fused arithmetic: a graph, one step at a time, for a batch of samples, on BLAS.

It shares no code with the interpreters, so that equality with them means something. Integers live in floats
that hold them exactly:

* synaptic sums: every partial sum is an integer below max_row Σ|w|; float32 is exact below 2^24, else float64;
  the shifts by `weight_exp` and `state_shift` scale by powers of two, which is exact;
* membranes: float64; |v|·(4096 − dv) < 2^36, so v·(4096 − dv)/4096 is exact and `trunc` is Loihi's rounding.

In floating point the same steps run in double precision, as Lava's own float models do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.graph import Graph
from export.nodes import (
    DYNAMIC,
    LIF,
    DynamicThresholdLIF,
    Input,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    Linear,
    Output,
)
from export.trace import Array
from hardware_profiles.arithmetic import IntegerFormat

from ..counts import Events
from ..layers import Neuron, controller_name, neurons, presynaptic, synapse_weight, synapses

FLOAT32_EXACT = 1 << (np.finfo(np.float32).nmant + 1)
"""Integers up to this magnitude are exact in float32."""
FLOAT64_BITS = np.finfo(np.float64).nmant + 1
"""Integers of so many bits are exact in float64."""


@dataclass
class NeuronState:
    """What one neuron layer holds and has counted since `Executor.reset`.

    Attributes:
        v: float64 [B, n], after the step.
        s: bool [B, n], spikes of the step.
        theta: int64 [B], threshold mantissa of the step; None where it is constant.
        spike_counts: int64 [B, n], over time.
        num_saturations: membranes clipped.
        num_group_messages: non-zero group counts that its controller received.
        num_context_messages: non-zero context values that its controller received.
    """

    v: Array
    s: Array
    spike_counts: Array
    theta: Array | None = None
    num_saturations: int = 0
    num_group_messages: int = 0
    num_context_messages: int = 0


class Executor:
    """Runs a verified graph of either dialect step by step.

    Attributes:
        states: neuron node to its state.
    """

    def __init__(self, graph: Graph) -> None:
        assert graph.fmt is None or graph.fmt.state_bits + graph.fmt.decay_bits <= FLOAT64_BITS
        self._graph = graph
        self._synapses = {name: _Synapse(node, graph.fmt) for name, node in synapses(graph).items()}
        self._neurons = {name: _Neuron(graph, name, node) for name, node in neurons(graph).items()}
        self._input_counts: dict[str, Array] = {}
        self.states: dict[str, NeuronState] = {}

    def reset(self, batch: int) -> None:
        """Start `batch` new samples: silence everywhere, all counts zero."""
        self._input_counts = {
            name: np.zeros((batch, node.size), dtype=np.int64) for name, node in self._graph.inputs().items()
        }
        self.states = {
            name: NeuronState(
                v=np.zeros((batch, neuron.size)),
                s=np.zeros((batch, neuron.size), dtype=bool),
                spike_counts=np.zeros((batch, neuron.size), dtype=np.int64),
            )
            for name, neuron in self._neurons.items()
        }

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Advance all samples by one time step.

        Args:
            inputs: name to [B, size].

        Returns:
            Output node to its spikes, bool [B, n].
        """
        values: dict[str, Array] = {}
        outputs: dict[str, Array] = {}
        for name in self._graph.order:
            node = self._graph.nodes[name]
            if isinstance(node, Input):
                values[name] = inputs[name]
                self._input_counts[name] += inputs[name] != 0
            elif isinstance(node, Output):
                outputs[name] = values[self._graph.sources(name)[0]] != 0
            elif name in self._synapses:
                values[name] = self._synapses[name](values[self._graph.sources(name)[0]])
            else:
                values[name] = self._neuron_step(name, values)
        return outputs

    def _neuron_step(self, name: str, values: Mapping[str, Array]) -> Array:
        neuron, state = self._neurons[name], self.states[name]
        threshold = neuron.threshold
        if neuron.controller is not None:
            context = [values[source] for source in self._graph.sources(name, "context")]
            threshold = neuron.control(state, values[self._graph.sources(name, "population")[0]], context)
        neuron.advance(state, values[self._graph.driving_synapse(name)], threshold)
        state.spike_counts += state.s
        return state.s

    def spike_counts(self, output: str) -> Array:
        """Return the spikes that left at an output node since `reset`, int64 [B, n]."""
        return self._emitted(self._graph.sources(output)[0])

    def _emitted(self, source: str) -> Array:
        return self._input_counts[source] if source in self._input_counts else self.states[source].spike_counts

    def events(self) -> dict[str, Events]:
        """Return the event counts since `reset` of every input, neuron and controller."""
        events: dict[str, Events] = {}
        for name, node in self._graph.inputs().items():
            num_nonzero = int(self._input_counts[name].sum())
            events[name] = Events(spikes=num_nonzero) if node.kind == "spike" else Events(graded_messages=num_nonzero)
        for name, state in self.states.items():
            arrived = self._emitted(presynaptic(self._graph, name)).sum(axis=0)
            events[name] = Events(
                spikes=int(state.spike_counts.sum()),
                synops=int(arrived @ self._neurons[name].nonzeros_per_column),
                dense_synops=int(arrived.sum()) * self._neurons[name].size,
                saturations=state.num_saturations,
            )
            controller = self._neurons[name].controller
            if controller is not None:
                counted = int(self._emitted(self._graph.sources(name, "population")[0]).sum())
                events[controller_name(name)] = Events(
                    graded_messages=state.num_group_messages + state.num_context_messages,
                    synops=counted,
                    dense_synops=counted * controller.num_groups,
                )
        return events


class _Synapse:
    """One weight matrix, transposed and scaled, in the narrowest float that is exact."""

    def __init__(self, node: Linear | IntegerLinear, fmt: IntegerFormat | None) -> None:
        if isinstance(node, Linear):
            self._weight: Array = np.ascontiguousarray(node.weight.T, dtype=np.float64)
            return
        assert fmt is not None
        dtype = np.float32 if np.abs(node.weight_int8).sum(axis=1).max() < FLOAT32_EXACT else np.float64
        scale = 2.0 ** (node.weight_exp + fmt.state_shift)
        self._weight = np.ascontiguousarray(node.weight_int8.T * scale, dtype=dtype)

    def __call__(self, spikes: Array) -> Array:
        """[B, in] to what the membranes gain, [B, out]."""
        gained: Array = spikes.astype(self._weight.dtype) @ self._weight
        return gained


class _Neuron:
    """The constants of one neuron layer, and one step of it."""

    def __init__(self, graph: Graph, name: str, node: Neuron) -> None:
        self.size = node.size
        self.nonzeros_per_column = np.count_nonzero(synapse_weight(graph, name), axis=0)
        self.controller = node.controller if isinstance(node, DYNAMIC) else None
        self.threshold: Any = 0.0
        self._reset = "zero" if isinstance(node, DYNAMIC) else node.reset
        self._limit: int | None = None
        if isinstance(node, (LIF, DynamicThresholdLIF)):
            self._set_floats(node, graph.nodes[graph.driving_synapse(name)])
        else:
            assert graph.fmt is not None
            self._set_integers(node, graph.fmt)

    def _set_floats(self, node: LIF | DynamicThresholdLIF, synapse: object) -> None:
        assert isinstance(synapse, Linear)
        self._keep = node.beta.astype(np.float64)
        self._bias = np.zeros(node.size) if synapse.bias is None else synapse.bias.astype(np.float64)
        if isinstance(node, LIF):
            self.threshold = node.threshold.astype(np.float64)
        else:
            self._theta_scale = 2.0**-node.controller.fraction_bits

    def _set_integers(self, node: IntegerLIF | IntegerDynamicThresholdLIF, fmt: IntegerFormat) -> None:
        self._limit = fmt.state_max
        self._keep = (fmt.decay_unity - node.dv) / fmt.decay_unity
        self._bias = node.bias_mant * 2.0**node.bias_exp
        if isinstance(node, IntegerLIF):
            self.threshold = node.vth * 2.0**fmt.state_shift
        else:
            self._theta_scale = 2.0 ** (node.theta_shift + fmt.state_shift)

    def control(self, state: NeuronState, population: Array, context: list[Array]) -> Array:
        """Compute this step's threshold, [B, 1] in units of the membrane."""
        assert self.controller is not None
        counts = self.controller.group_counts(population)
        received = np.zeros((len(counts), self.controller.num_context), dtype=np.int64)
        for values in context:
            received += values.astype(np.int64)
        state.num_group_messages += int(np.count_nonzero(counts))
        state.num_context_messages += sum(int(np.count_nonzero(values)) for values in context)
        state.theta = self.controller.threshold(counts, received)
        scaled: Array = (state.theta * self._theta_scale)[:, None]
        return scaled

    def advance(self, state: NeuronState, gained: Array, threshold: Any) -> None:
        """Leak, integrate, saturate, compare, reset; in place."""
        v = state.v
        v *= self._keep
        if self._limit is not None:
            np.trunc(v, out=v)
        v += gained
        v += self._bias
        if self._reset == "subtract":
            v -= state.s * threshold
        if self._limit is not None and max(v.max(), -v.min()) > self._limit:
            state.num_saturations += int((np.abs(v) > self._limit).sum())
            np.clip(v, -self._limit, self._limit, out=v)
        np.greater(v, threshold, out=state.s)
        if self._reset == "zero":
            v[state.s] = 0
