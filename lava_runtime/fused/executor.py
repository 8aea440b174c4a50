"""The fused arithmetic: a graph in model timing, one step at a time, for a batch of samples, on BLAS."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from export.graph import Edge, Graph
from export.nodes import (
    DYNAMIC,
    LI,
    NEURONS,
    PRODUCTS,
    REARRANGEMENTS,
    SYNAPSES,
    DynamicThresholdLIF,
    IntegerDynamicThresholdLIF,
    Output,
    Reshape,
)
from export.ranges import value_bounds
from export.trace import Array
from hardware_profiles.arithmetic import ThresholdController

from ..counts import Events
from ..layers import COUNTED_PORT, CURRENT_PORTS, neurons
from .counting import Counters
from .maps import FLOAT64_BITS, FusedMap, fused_map, narrowest_exact
from .neurons import FusedNeuron, NeuronState, fused_neuron

MAPS = (*SYNAPSES, *REARRANGEMENTS, *PRODUCTS, Reshape)
"""Nodes without memory."""


_Send = Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True, kw_only=True)
class _Feed:
    """What one edge brings: `source`'s value of `delay` steps ago, times `gain`."""

    source: str
    delay: int
    gain: float


class Executor:
    """Runs a verified graph of either dialect step by step.

    Attributes:
        states: neuron node to its state.
    """

    def __init__(self, graph: Graph) -> None:
        assert graph.timing == "model"
        assert graph.fmt is None or graph.fmt.state_bits + graph.fmt.decay_bits <= FLOAT64_BITS
        self._graph = graph
        self._unit = 1.0 if graph.fmt is None else 2.0**graph.fmt.state_shift
        self._in_membrane_units = {name for name in graph.of_type(MAPS) if _ends_in_neurons(graph, name)}
        self._maps = self._make_maps()
        self._neurons: dict[str, FusedNeuron] = {
            name: fused_neuron(graph, node) for name, node in neurons(graph).items()
        }
        self._betas = {name: node.beta.astype(np.float64).ravel() for name, node in graph.of_type(LI).items()}
        self._feeds = {
            (name, port): self._feeds_of(name, port)
            for name, node in graph.nodes.items()
            for port in node.ports
            if graph.sources(name, port)
        }
        self._longest_delay = _longest_delays(graph.edges)
        self._outputs = tuple(graph.of_type(Output))
        self._plan = [(name, self._sender(name)) for name in graph.order if name not in graph.inputs()]
        self._counters = Counters(graph)
        self.states: dict[str, NeuronState] = {}
        self._integrators: dict[str, Array] = {}
        self._history: dict[str, deque[Array]] = {}
        self._batch = 0

    def _make_maps(self) -> dict[str, FusedMap]:
        bounds = {} if self._graph.fmt is None else value_bounds(self._graph)
        maps: dict[str, FusedMap] = {}
        for name, node in self._graph.of_type(MAPS).items():
            exponent: int = getattr(node, "weight_exp", 0)
            dtype: Any = narrowest_exact(bounds[name] >> exponent) if bounds else np.float64
            maps[name] = fused_map(node, dtype, self._unit if name in self._in_membrane_units else 1.0)
        return maps

    def _feeds_of(self, name: str, port: str) -> tuple[_Feed, ...]:
        is_neuron = isinstance(self._graph.nodes[name], NEURONS) and port in CURRENT_PORTS
        return tuple(
            _Feed(
                source=edge.source,
                delay=edge.delay,
                gain=self._unit if is_neuron and edge.source not in self._in_membrane_units else 1.0,
            )
            for edge in self._graph.incoming(name, port)
        )

    def reset(self, batch: int) -> None:
        """Start `batch` new samples: silence everywhere, all counts zero."""
        self._batch = batch
        self._counters.reset(batch)
        self.states = {name: neuron.at_rest(batch) for name, neuron in self._neurons.items()}
        self._integrators = {name: np.zeros((batch, len(beta))) for name, beta in self._betas.items()}
        self._history = {name: deque(maxlen=delay) for name, delay in self._longest_delay.items()}

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Advance all samples by one time step.

        Args:
            inputs: name to [B, size].

        Returns:
            Output node to what leaves there, [B, size]: spikes, or float64 where the node passes other values.
        """
        values = dict(inputs)
        for name, send in self._plan:
            values[name] = send(values)
        self._counters.see(values)
        for name, past in self._history.items():
            past.append(values[name].copy())
        return {name: values[name] for name in self._outputs}

    def _sender(self, name: str) -> _Send:
        """Return what computes a node's values from those before it."""
        if name in self._neurons:
            return partial(self._neuron_step, name)
        if name in self._betas:
            return partial(self._integrate, name)
        if name in self._maps:
            return partial(self._map, name, self._maps[name], tuple(self._graph.nodes[name].ports))
        return partial(self._arriving, name, "input")

    def _map(self, name: str, apply: FusedMap, ports: tuple[str, ...], values: Mapping[str, Array]) -> Array:
        arriving = [self._arriving(name, port, values) for port in ports]
        if len(ports) > 1:
            self._counters.see_factors(name, arriving)
        return apply(*arriving)

    def _integrate(self, name: str, values: Mapping[str, Array]) -> Array:
        state: Array = self._integrators[name] * self._betas[name] + self._arriving(name, "input", values)
        self._integrators[name] = state
        return state

    def _arriving(self, name: str, port: str, values: Mapping[str, Array]) -> Array:
        """Return the sum of what the edges into a port bring, [B, size]; never to be changed in place."""
        feeds = self._feeds[name, port]
        first = self._delivered(feeds[0], values)
        if len(feeds) == 1:
            return first if feeds[0].gain == 1 else first * feeds[0].gain
        total: Array = first * feeds[0].gain
        total = total.astype(np.float64, copy=False)
        for feed in feeds[1:]:
            total += self._delivered(feed, values) * feed.gain
        return total

    def _delivered(self, feed: _Feed, values: Mapping[str, Array]) -> Array:
        if not feed.delay:
            return values[feed.source]
        past = self._history[feed.source]
        if len(past) < feed.delay:
            return np.zeros((self._batch, self._graph.nodes[feed.source].size))
        return past[-feed.delay]

    def _neuron_step(self, name: str, values: Mapping[str, Array]) -> Array:
        neuron, state, node = self._neurons[name], self.states[name], self._graph.nodes[name]
        threshold = neuron.threshold
        if isinstance(node, DYNAMIC):
            self._control(name, node.controller, values)
            assert state.theta is not None
            threshold = (state.theta * (self._unit * 2.0 ** theta_exponent(node)))[:, None]
        elif threshold is None:
            threshold = self._arriving(name, "threshold", values)
        drive = self._arriving(name, "input", values)
        if (name, "recurrent") in self._feeds:
            drive = np.add(drive, self._arriving(name, "recurrent", values), dtype=np.float64)
        neuron.advance(state, drive, threshold)
        state.spike_counts += state.s
        return state.s

    def _control(self, name: str, controller: ThresholdController, values: Mapping[str, Array]) -> None:
        """Compute this step's threshold mantissa."""
        state = self.states[name]
        counts = controller.group_counts(self._arriving(name, COUNTED_PORT, values).astype(np.int64))
        context = np.zeros((len(counts), controller.num_context), dtype=np.int64)
        if controller.num_context:
            context = self._arriving(name, "context", values).astype(np.int64)
        state.num_group_messages += int(np.count_nonzero(counts))
        state.theta = controller.threshold(counts, context)

    def output_sums(self, output: str) -> Array:
        """Return what left at an output node since `reset`, summed over time: int64 spikes or float64 [B, size]."""
        return self._counters.output_sums[output]

    def events(self) -> dict[str, Events]:
        """Return the event counts since `reset` of every input, neuron and controller."""
        return self._counters.events(self.states, self._history)


def theta_exponent(node: DynamicThresholdLIF | IntegerDynamicThresholdLIF) -> int:
    """Return by which power of two a threshold mantissa counts."""
    return -node.controller.fraction_bits if isinstance(node, DynamicThresholdLIF) else node.theta_shift


def _ends_in_neurons(graph: Graph, name: str) -> bool:
    """Tell whether all that a node sends ends at neurons as current or threshold."""
    edges = graph.outgoing(name)
    return bool(edges) and all(
        isinstance(graph.nodes[edge.target], NEURONS) and edge.port in CURRENT_PORTS for edge in edges
    )


def _longest_delays(edges: Iterable[Edge]) -> dict[str, int]:
    longest: dict[str, int] = {}
    for edge in edges:
        if edge.delay:
            longest[edge.source] = max(longest.get(edge.source, 0), edge.delay)
    return longest
