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
    WINDOWS,
    DynamicThresholdLIF,
    IntegerDynamicThresholdLIF,
    Reshape,
    window_weights,
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
from .schedule import Part, longest_delays, schedule
from .ticks import Ticks, ticks_between

MAPS = (*SYNAPSES, *REARRANGEMENTS, *PRODUCTS, Reshape)
"""Nodes without memory."""
_Advance = Callable[[Ticks], None]


class Executor:
    """Runs a verified graph of either dialect, block after block.

    Slower stages (`export.periods`) send zeros between their ticks, and hold what they keep.

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
        self._longest_delay = longest_delays(graph)
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
        self._thetas: dict[str, Array] = {}

    @property
    def bytes_per_row(self) -> int:
        """Memory that the values of all nodes take, of one sample in one time step."""
        return sum(node.size * np.dtype(self._dtypes[name]).itemsize for name, node in self._graph.nodes.items())

    def compile(self) -> None:
        """Compile every loop that a run needs, by silent steps up to the first tick of all: once, before Lava forks."""
        self.reset(1)
        num_steps = self._graph.longest_period
        self.run({name: np.zeros((num_steps, 1, node.size), np.uint8) for name, node in self._graph.inputs().items()})
        self.reset(1)

    def reset(self, batch: int) -> None:
        """Start `batch` new samples: silence everywhere, all counts zero."""
        graph = self._graph
        self._batch, self._steps_before = batch, 0
        self._counters.reset(batch)
        self.states = {name: neuron.at_rest(batch) for name, neuron in self._neurons.items()}
        self._integrators = {name: np.zeros((batch, len(beta))) for name, beta in self._betas.items()}
        self._thetas = {name: np.zeros(batch, np.int64) for name in graph.of_type(DYNAMIC)}
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
            ticks = self._ticks(name, start, stop)
            try:
                if ticks.first < stop:
                    advance(ticks)
                else:
                    self._rest(name, start, stop)
            except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
                first, last = self._steps_before + start + 1, self._steps_before + stop
                raise LavaRuntimeError(
                    f"node {name}: failed in steps {first} to {last} ({type(error).__name__}: {error})"
                ) from error

    def _ticks(self, name: str, start: int, stop: int) -> Ticks:
        """Return the steps in which a node ticks; what it sends in all others is zero."""
        period = self._graph.period[name]
        if period > 1:
            self._own(name)[start:stop] = 0
        return ticks_between(start, stop, period, self._steps_before)

    def _rest(self, name: str, start: int, stop: int) -> None:
        """Record what a node holds in steps without a tick."""
        if (record := self._records.get(Probe(name, "v"))) is not None:
            record[start:stop] = self.states[name].v
        if (record := self._records.get(Probe(name, "theta"))) is not None:
            record[start:stop] = self._thetas[name]

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
        return np.empty((*shape, self._graph.nodes[probe.layer].size), self._numbers.word)

    def _own(self, name: str) -> Array:
        """Return what a node sends in this block, without what it sent before."""
        return self._sent[name][self._longest_delay[name] :]

    def _delivered(self, edge: Edge, ticks: Ticks, ago: int) -> Array:
        return self._sent[edge.source][ticks.back(edge.delay + ago - self._longest_delay[edge.source])]

    def _arriving(self, name: str, port: str, ticks: Ticks, ago: int = 0) -> Array:
        """Return the sum of what the edges into a port deliver, [T, B, size]; never to be changed in place."""
        edges = self._graph.incoming(name, port)
        total = self._delivered(edges[0], ticks, ago)
        if len(edges) > 1:
            total = total.astype(self._numbers.word)
            for edge in edges[1:]:
                total += self._delivered(edge, ticks, ago)
        return total

    def _advancer(self, name: str) -> _Advance:
        """Return what computes a node's values from those before it."""
        if name in self._neurons:
            return partial(self._fire, name, self._neurons[name])
        if name in self._betas:
            return partial(self._integrate, name)
        node = self._graph.nodes[name]
        if isinstance(node, WINDOWS):
            return partial(self._sum_window, name, window_weights(node).astype(self._numbers.word))
        if name in self._maps:
            return partial(self._map, name, self._maps[name], tuple(node.ports))
        return partial(self._pass_on, name)

    def _pass_on(self, name: str, ticks: Ticks) -> None:
        self._put(name, ticks, self._arriving(name, "input", ticks))

    def _put(self, name: str, ticks: Ticks, sent: Array) -> None:
        """Keep what a node sends: as it is, if that is all of a block and nothing is asked for later."""
        room = self._sent[name]
        if sent.shape == room.shape and sent.dtype == room.dtype:
            self._sent[name] = sent
        else:
            self._own(name)[ticks.at] = sent

    def _map(self, name: str, apply: FusedMap, ports: tuple[str, ...], ticks: Ticks) -> None:
        arriving = [_rows(self._arriving(name, port, ticks)) for port in ports]
        if len(ports) > 1:
            self._counters.see_factors(name, arriving)
        self._put(name, ticks, apply(*arriving).reshape(-1, *self._sent[name].shape[1:]))

    def _sum_window(self, name: str, weights: Array, ticks: Ticks) -> None:
        """Send Σ_k weight[k] x[t − (r − 1 − k) p], added in this order."""
        period = self._graph.arrival_period(name)
        total = np.zeros_like(self._own(name)[ticks.at])
        for k, weight in enumerate(weights):
            ago = (len(weights) - 1 - k) * period
            total += weight * self._arriving(name, "input", ticks, ago)
            delivered = [self._delivered(edge, ticks, ago) for edge in self._graph.incoming(name)]
            self._counters.see_window(name, weight, delivered)
        self._own(name)[ticks.at] = total

    def _integrate(self, name: str, ticks: Ticks) -> None:
        drive = np.ascontiguousarray(self._arriving(name, "input", ticks), dtype=np.float64)
        sent = np.empty_like(drive)
        integrate(drive, self._betas[name], self._integrators[name], sent)
        self._own(name)[ticks.at] = sent

    def _fire(self, name: str, neuron: FusedNeuron, ticks: Ticks) -> None:
        heights = neuron.heights
        if heights is None:
            heights = self._moving_heights(name, neuron, ticks)
        drive = self._arriving(name, "input", ticks)
        if self._graph.incoming(name, "recurrent"):
            drive = np.add(drive, self._arriving(name, "recurrent", ticks), dtype=self._numbers.word)
        state, own, record = self.states[name], self._own(name)[ticks.at], self._records.get(Probe(name, "v"))
        if ticks.period == 1:
            nothing = np.empty((0, *own.shape[1:]), self._numbers.word)
            neuron.advance(state, drive, heights, own, nothing if record is None else record[ticks.at])
            return
        before = np.zeros(own.shape[1:]) if state.v is None else state.v.copy()
        spikes = np.empty(own.shape, np.uint8)
        membranes = np.empty((len(own) if record is not None else 0, *own.shape[1:]), self._numbers.word)
        neuron.advance(state, drive, heights, spikes, membranes)
        own[:] = spikes
        if record is not None:
            ticks.hold(record, before, membranes)

    def _moving_heights(self, name: str, neuron: FusedNeuron, ticks: Ticks) -> Array:
        """Return thresholds in units of the membrane, [T, B, n], contiguous."""
        node = self._graph.nodes[name]
        if not isinstance(node, DYNAMIC):
            return np.ascontiguousarray(neuron.lifted(self._arriving(name, "threshold", ticks)))
        theta = self._control(name, node.controller, ticks)
        if (record := self._records.get(Probe(name, "theta"))) is not None:
            ticks.hold(record, self._thetas[name], theta)
        self._thetas[name] = theta[-1]
        return np.repeat(neuron.lifted(_mantissa(node, theta))[:, :, None], node.size, axis=2)

    def _control(self, name: str, controller: ThresholdController, ticks: Ticks) -> Array:
        """Return the threshold mantissas, int64 [T, B]."""
        counts = controller.group_counts(self._arriving(name, COUNTED_PORT, ticks))
        context = np.zeros((*counts.shape[:2], 0), dtype=np.int64)
        if controller.num_context:
            context = self._arriving(name, "context", ticks).astype(np.int64)
        for edge in self._graph.incoming(name, "context"):
            self._counters.see_read(edge, self._delivered(edge, ticks, 0))
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
