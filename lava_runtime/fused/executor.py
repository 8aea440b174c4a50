"""The fused arithmetic: a graph in model timing, a block of time steps at once, for a batch of samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

import numpy as np

from export.graph import Edge, Graph
from export.nodes import (
    DYNAMIC,
    LI,
    PRODUCTS,
    REARRANGEMENTS,
    SYNAPSES,
    DynamicThresholdLIF,
    IntegerDynamicThresholdLIF,
    Reshape,
)
from export.ranges import carries_spikes
from export.trace import Array
from hardware_profiles.arithmetic import ThresholdController

from ..counts import Events
from ..errors import LavaRuntimeError
from ..layers import COUNTED_PORT, neurons
from ..probes import Probe
from .counting import Counters
from .kernels.neurons import integrate
from .maps import FusedMap, fused_map
from .neurons import FusedNeuron, NeuronState
from .number import numbers_of
from .schedule import Part, schedule

MAPS = (*SYNAPSES, *REARRANGEMENTS, *PRODUCTS, Reshape)
"""Nodes without memory."""
_Advance = Callable[[int, int], None]


class Executor:
    """Runs a verified graph of either dialect, block after block.

    Within a block, `start` and `stop` bound the time steps that a node takes at once.

    Attributes:
        states: neuron node to its state.
    """

    def __init__(self, graph: Graph, probes: Collection[Probe] = ()) -> None:
        """Prepare a graph; nothing is computed yet.

        Args:
            graph: either dialect, "model" timing.
            probes: what `recorded` is going to be asked for.
        """
        assert graph.timing == "model"
        self._graph = graph
        self._numbers = numbers = numbers_of(graph)
        self._maps = {name: fused_map(node, name, numbers) for name, node in graph.of_type(MAPS).items()}
        self._neurons = {name: FusedNeuron(graph, node, numbers) for name, node in neurons(graph).items()}
        self._betas = {name: node.beta.astype(np.float64).ravel() for name, node in graph.of_type(LI).items()}
        self._dtypes = {name: np.uint8 if carries_spikes(graph, name) else numbers.word for name in graph.nodes}
        self._longest_delay = dict.fromkeys(graph.nodes, 0) | _longest_delays(graph.edges)
        self._parts: list[tuple[Part, list[tuple[str, _Advance]]]] = [
            (part, [(name, self._advancer(name)) for name in part.nodes if name not in graph.inputs()])
            for part in schedule(graph)
        ]
        self._probes = tuple(probes)
        self._counters = Counters(graph)
        self._batch, self._num_steps, self._steps_before = 0, 0, 0
        self.states: dict[str, NeuronState] = {}
        self._integrators: dict[str, Array] = {}
        self._tails: dict[str, Array] = {}
        self._sent: dict[str, Array] = {}
        self._records: dict[Probe, Array] = {}

    def compile(self) -> None:
        """Compile every loop that a run needs, by a silent step: once, before Lava forks."""
        self.reset(1)
        self.run({name: np.zeros((1, 1, node.size), np.uint8) for name, node in self._graph.inputs().items()})
        self.reset(1)

    def reset(self, batch: int) -> None:
        """Start `batch` new samples: silence everywhere, all counts zero."""
        graph = self._graph
        self._batch, self._steps_before = batch, 0
        self._counters.reset(batch)
        self.states = {name: neuron.at_rest(batch) for name, neuron in self._neurons.items()}
        self._integrators = {name: np.zeros((batch, len(beta))) for name, beta in self._betas.items()}
        self._tails = {
            name: np.zeros((delay, batch, graph.nodes[name].size), self._dtypes[name])
            for name, delay in self._longest_delay.items()
        }

    def run(self, inputs: Mapping[str, Array]) -> None:
        """Advance all samples by a block of time steps.

        Args:
            inputs: name to [T, B, size] or [T, B, *shape].

        Raises:
            LavaRuntimeError: a node failed; names it and the steps.
        """
        self._num_steps = len(next(iter(inputs.values())))
        self._records = {probe: self._empty_record(probe) for probe in self._probes if probe.variable != "s"}
        self._sent = {name: self._empty(name) for name in self._graph.nodes}
        for name, values in inputs.items():
            own = self._own(name)
            own[:] = values.reshape(own.shape)
        for part, nodes in self._parts:
            span = part.span or self._num_steps
            for start in range(0, self._num_steps, span):
                self._advance(nodes, start, min(start + span, self._num_steps))
        self._tails = {name: self._sent[name][-delay:].copy() for name, delay in self._longest_delay.items() if delay}
        self._counters.see({name: self._own(name) for name in self._graph.nodes})
        self._steps_before += self._num_steps

    def _advance(self, nodes: Iterable[tuple[str, _Advance]], start: int, stop: int) -> None:
        for name, advance in nodes:
            try:
                advance(start, stop)
            except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
                first, last = self._steps_before + start + 1, self._steps_before + stop
                raise LavaRuntimeError(
                    f"node {name}: failed in steps {first} to {last} ({type(error).__name__}: {error})"
                ) from error

    def sent(self, name: str) -> Array:
        """Return what a node sent in the last block, [T, B, size]."""
        return self._own(name)

    def recorded(self, probe: Probe) -> Array:
        """Return what a probe saw in the last block: `s`, `v` [T, B, n], `theta` int64 [T, B]."""
        return self._own(probe.layer) if probe.variable == "s" else self._records[probe]

    def output_sums(self, output: str) -> Array:
        """Return what left at an output node since `reset`, summed over time: int64 spikes or float64 [B, size]."""
        return self._counters.output_sums[output]

    def events(self) -> dict[str, Events]:
        """Return the event counts since `reset` of every input, neuron and controller."""
        return self._counters.events(self.states, self._tails)

    def _empty(self, name: str) -> Array:
        """Return room for what a node sends in a block, behind what may still be under way."""
        tail = self._tails.get(name)
        shape = (self._longest_delay[name] + self._num_steps, self._batch, self._graph.nodes[name].size)
        room = np.empty(shape, self._dtypes[name])
        if tail is not None and len(tail):
            room[: len(tail)] = tail
        return room

    def _empty_record(self, probe: Probe) -> Array:
        shape: tuple[int, ...] = (self._num_steps, self._batch)
        if probe.variable == "theta":
            return np.empty(shape, np.int64)
        return np.empty(
            (*shape, self._graph.nodes[probe.layer].size) if probe.variable == "v" else 0, self._numbers.word
        )

    def _own(self, name: str) -> Array:
        """Return what a node sends in this block, without what it sent before."""
        return self._sent[name][self._longest_delay[name] :]

    def _delivered(self, edge: Edge, start: int, stop: int) -> Array:
        first = self._longest_delay[edge.source] - edge.delay
        return self._sent[edge.source][first + start : first + stop]

    def _arriving(self, name: str, port: str, start: int, stop: int) -> Array:
        """Return the sum of what the edges into a port deliver, [T, B, size]; never to be changed in place."""
        edges = self._graph.incoming(name, port)
        total = self._delivered(edges[0], start, stop)
        if len(edges) > 1:
            total = total.astype(self._numbers.word)
            for edge in edges[1:]:
                total += self._delivered(edge, start, stop)
        return total

    def _advancer(self, name: str) -> _Advance:
        """Return what computes a node's values from those before it."""
        if name in self._neurons:
            return partial(self._fire, name, self._neurons[name])
        if name in self._betas:
            return partial(self._integrate, name)
        if name in self._maps:
            return partial(self._map, name, self._maps[name], tuple(self._graph.nodes[name].ports))
        return partial(self._pass_on, name)

    def _pass_on(self, name: str, start: int, stop: int) -> None:
        self._own(name)[start:stop] = self._arriving(name, "input", start, stop)

    def _map(self, name: str, apply: FusedMap, ports: tuple[str, ...], start: int, stop: int) -> None:
        arriving = [_rows(self._arriving(name, port, start, stop)) for port in ports]
        if len(ports) > 1:
            self._counters.see_factors(name, arriving)
        room = self._sent[name]
        sent = apply(*arriving).reshape(stop - start, *room.shape[1:])
        if sent.shape == room.shape and sent.dtype == room.dtype:  # all of a block, and nothing is sent late
            self._sent[name] = sent
        else:
            self._own(name)[start:stop] = sent

    def _integrate(self, name: str, start: int, stop: int) -> None:
        drive = np.ascontiguousarray(self._arriving(name, "input", start, stop), dtype=np.float64)
        integrate(drive, self._betas[name], self._integrators[name], self._own(name)[start:stop])

    def _fire(self, name: str, neuron: FusedNeuron, start: int, stop: int) -> None:
        heights = neuron.heights
        if heights is None:
            heights = self._moving_heights(name, neuron, start, stop)
        drive = self._arriving(name, "input", start, stop)
        if self._graph.incoming(name, "recurrent"):
            recurrent = self._arriving(name, "recurrent", start, stop)
            drive = np.add(drive, recurrent, dtype=self._numbers.word)
        state = self.states[name]
        membranes = self._records.get(Probe(name, "v"), np.empty((0, self._batch, drive.shape[2]), self._numbers.word))
        neuron.advance(state, drive, heights, self._own(name)[start:stop], membranes[start:stop])

    def _moving_heights(self, name: str, neuron: FusedNeuron, start: int, stop: int) -> Array:
        """Return thresholds in units of the membrane, [T, B, n], contiguous."""
        node = self._graph.nodes[name]
        if not isinstance(node, DYNAMIC):
            return np.ascontiguousarray(neuron.lifted(self._arriving(name, "threshold", start, stop)))
        theta = self._control(name, node.controller, start, stop)
        if (record := self._records.get(Probe(name, "theta"))) is not None:
            record[start:stop] = theta
        return np.repeat(neuron.lifted(_mantissa(node, theta))[:, :, None], node.size, axis=2)

    def _control(self, name: str, controller: ThresholdController, start: int, stop: int) -> Array:
        """Return the threshold mantissas, int64 [T, B]."""
        counts = controller.group_counts(self._arriving(name, COUNTED_PORT, start, stop))
        context = np.zeros((stop - start, self._batch, 0), dtype=np.int64)
        if controller.num_context:
            context = self._arriving(name, "context", start, stop).astype(np.int64)
        self.states[name].num_group_messages += int(np.count_nonzero(counts))
        return controller.threshold(counts, context)


def _mantissa(node: DynamicThresholdLIF | IntegerDynamicThresholdLIF, theta: Array) -> Array:
    """Return θ as a float threshold, or in the units of other integer thresholds."""
    if isinstance(node, DynamicThresholdLIF):
        return theta * 2.0**-node.controller.fraction_bits
    return theta << node.theta_shift


def _rows(values: Array) -> Array:
    """[T, B, size] to [T · B, size]."""
    return values.reshape(-1, values.shape[2])


def _longest_delays(edges: Iterable[Edge]) -> dict[str, int]:
    longest: dict[str, int] = {}
    for edge in edges:
        longest[edge.source] = max(longest.get(edge.source, 0), edge.delay)
    return longest
