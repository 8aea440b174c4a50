"""What a fused run counts on the way: messages of every node, so that events follow without a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from export.graph import Edge, Graph
from export.nodes import DYNAMIC, NEURONS, PRODUCTS, WINDOWS, Output
from export.ranges import carries_spikes
from export.trace import Array

from ..counts import Events, controller_events, input_events, neuron_events
from ..layers import COUNTED_PORT, controller_name, neurons
from ..synapses import Traffic, count_pairs, layer_synapses
from .kernels.synapses import add_steps, count_messages
from .neurons import NeuronState


class Counters:
    """Counts since `reset`.

    Attributes:
        output_sums: output node to what left there, summed over time: int64 spikes or float64 [B, size].
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._driving = {name: layer_synapses(graph, name) for name in neurons(graph)}
        edges = {connection.edge for driving in self._driving.values() for connection in driving.connections}
        edges |= {edge for name in graph.of_type(DYNAMIC) for edge in graph.incoming(name, COUNTED_PORT)}
        self._read_edges = [edge for name in graph.of_type(DYNAMIC) for edge in graph.incoming(name, "context")]
        relays = {name for driving in self._driving.values() for name in driving.relays}
        self._edges = tuple(edges)
        senders = {edge.source for edge in edges} | relays | set(graph.inputs()) | set(graph.of_type(NEURONS))
        self._counted = tuple(sorted(senders))
        self._outputs = graph.of_type(Output)
        self._nonzero: dict[str, Array] = {}
        self._pairs: dict[str, tuple[int, int]] = {}
        self._windowed: dict[str, tuple[int, int]] = {}
        self._read: dict[Edge, Array] = {}
        self.output_sums: dict[str, Array] = {}

    def reset(self, batch: int) -> None:
        """Forget everything."""
        graph = self._graph
        self._nonzero = {name: np.zeros(graph.nodes[name].size, dtype=np.int64) for name in self._counted}
        self._pairs = dict.fromkeys(graph.of_type(PRODUCTS), (0, 0))
        self._windowed = dict.fromkeys(graph.of_type(WINDOWS), (0, 0))
        self._read = {edge: np.zeros(graph.nodes[edge.source].size, np.int64) for edge in self._read_edges}
        self.output_sums = {
            name: np.zeros((batch, node.size), dtype=output_dtype(graph, name)) for name, node in self._outputs.items()
        }

    def see(self, values: Mapping[str, Array]) -> None:
        """Count what every node sent in a block, [T, B, size]."""
        for name, nonzero in self._nonzero.items():
            count_messages(values[name].reshape(-1, len(nonzero)), nonzero)
        for name, sums in self.output_sums.items():
            add_steps(values[name], sums)

    def see_factors(self, name: str, factors: Sequence[Array]) -> None:
        """Count the factors [rows, size] that met in a product."""
        node = self._graph.nodes[name]
        shaped = (x.reshape(-1, *shape) for x, shape in zip(factors, node.ports.values(), strict=True))
        met, offered = count_pairs(node, *shaped)
        self._pairs[name] = (self._pairs[name][0] + met, self._pairs[name][1] + offered)

    def see_window(self, name: str, weight: float, delivered: Sequence[Array]) -> None:
        """Count the messages [T, B, size] of all edges into a window that meet one of its weights."""
        num_messages = sum(int(np.count_nonzero(values)) for values in delivered)
        weighed, met = self._windowed[name]
        self._windowed[name] = (weighed + num_messages * bool(weight), met + num_messages)

    def see_read(self, edge: Edge, values: Array) -> None:
        """Count the context values [T, B, size] that a controller reads, on its ticks."""
        self._read[edge] += np.count_nonzero(values, axis=(0, 1))

    def events(self, states: Mapping[str, NeuronState], tails: Mapping[str, Array]) -> dict[str, Events]:
        """Return the event counts of every input, neuron and controller.

        Args:
            states: neuron node to its state.
            tails: source of delayed edges to its last values, [steps, B, size]: some are still under way.
        """
        graph, sent = self._graph, self._nonzero
        traffic = Traffic(
            arrived={edge: sent[edge.source] - _under_way(edge, tails) for edge in self._edges} | self._read,
            pairs=self._pairs,
            windowed=self._windowed,
            sent={name: int(counts.sum()) for name, counts in sent.items()},
        )
        events = {name: input_events(node, traffic.sent[name]) for name, node in graph.inputs().items()}
        for name, state in states.items():
            events[name] = neuron_events(self._driving[name], traffic, traffic.sent[name], state.num_saturations)
            if isinstance(graph.nodes[name], DYNAMIC):
                events[controller_name(name)] = controller_events(graph, name, traffic, state.num_group_messages)
        return events


def output_dtype(graph: Graph, output: str) -> type:
    """Return the type in which an output is summed: spikes are counted, other values added."""
    return np.int64 if carries_spikes(graph, graph.sources(output)[0]) else np.float64


def _under_way(edge: Edge, tails: Mapping[str, Array]) -> Array | int:
    """Return how many messages an edge has not delivered yet, [size]."""
    if not edge.delay:
        return 0
    late: Array = np.count_nonzero(tails[edge.source][-edge.delay :], axis=(0, 1))
    return late
