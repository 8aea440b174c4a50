"""Every neuron layer's synapses, unrolled: which presynaptic value reaches how many weights.

A layer owns all synapses between it and the senders before it: those of synapse nodes (a convolution's as many as it
connects), those of Pool, Gather and Reduce (weight one), one per value and non-zero weight of a window over time (of
which a message meets one, that of its tick), and one per value that reaches it directly. Two layers that share a node
each own a copy, as they would on a chip; so do two edges into one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from math import prod

import numpy as np

from export.graph import Edge, Graph
from export.nodes import (
    DYNAMIC,
    PRODUCTS,
    REARRANGEMENTS,
    SYNAPSES,
    WINDOWS,
    Conv,
    IntegerConv,
    IntegerLinear,
    IntegerScale,
    Linear,
    MatMul,
    Product,
    Reshape,
    Scale,
    window_weights,
)
from export.ranges import carries_spikes
from export.sparse_matrix import to_sparse, window_index
from export.trace import Array

from .layers import COUNTED_PORT, CURRENT_PORTS, on_the_way, sends_by_itself, sends_messages


@dataclass(frozen=True, eq=False, kw_only=True)
class Connection:
    """The synapses behind one edge.

    Attributes:
        edge: what brings the messages.
        nonzero: int64 [source size], synapses of each value with a weight other than zero.
        every: int64 [source size], all synapses of each value, zero weights included.
    """

    edge: Edge
    nonzero: Array
    every: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Traffic:
    """Messages of a run, over all steps and samples; a message is a value other than zero.

    Attributes:
        arrived: edge to messages that it delivered, int64 [source size].
        pairs: product node to (pairs of non-zero factors that met, non-zero left factors times their partners).
        sent: node on the way to the number of messages that it sent.
        windowed: window to (messages whose weight is not zero, messages), those of all its edges together.
    """

    arrived: Mapping[Edge, Array]
    pairs: Mapping[str, tuple[int, int]]
    sent: Mapping[str, int]
    windowed: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerSynapses:
    """What drives one neuron layer.

    Attributes:
        connections: its synapses, by edge.
        products: product nodes on the way to it.
        windows: windows over time on the way to it.
        relays: nodes on the way whose values travel on as graded messages.
        num_synapses: non-zero weights, and one per pair of factors that a product multiplies.
        fan_in: presynaptic values; a source that arrives over several edges counts once.
    """

    connections: tuple[Connection, ...]
    products: tuple[str, ...]
    windows: tuple[str, ...]
    relays: tuple[str, ...]
    num_synapses: int
    fan_in: int

    def synops(self, traffic: Traffic) -> tuple[int, int]:
        """Return (operations on non-zero weights, on all weights); a product's weights are its right factors."""
        counts = np.zeros(2, dtype=np.int64)
        for connection in self.connections:
            arrived = traffic.arrived[connection.edge]
            counts += (arrived @ connection.nonzero, arrived @ connection.every)
        for name in self.products:
            counts += traffic.pairs[name]
        for name in self.windows:
            counts += traffic.windowed[name]
        return int(counts[0]), int(counts[1])

    def graded_messages(self, traffic: Traffic) -> int:
        """Return how many graded messages travelled on the way to the layer."""
        return sum(traffic.sent[name] for name in self.relays)


def layer_synapses(graph: Graph, layer: str, ports: Iterable[str] = CURRENT_PORTS) -> LayerSynapses:
    """Unroll everything between the senders and the named ports of a neuron layer."""
    ports = tuple(ports)
    way = on_the_way(graph, layer, ports)
    connections = [
        Connection(edge=edge, nonzero=nonzero, every=every)
        for name in way
        if isinstance(graph.nodes[name], (*SYNAPSES, *REARRANGEMENTS))
        for nonzero, every in [column_counts(graph.nodes[name])]
        for edge in graph.incoming(name)
    ]
    for port in ports:
        for edge in graph.incoming(layer, port):
            if port == COUNTED_PORT or not _is_current(graph, edge.source, frozenset()):
                connections.append(_unit_connection(graph, edge))
    products = tuple(name for name in way if isinstance(graph.nodes[name], PRODUCTS))
    windows = tuple(name for name in way if isinstance(graph.nodes[name], WINDOWS))
    others = [
        source
        for name in (*products, *windows)
        for port in graph.nodes[name].ports
        for source in graph.sources(name, port)
    ]
    sources = {_unshaped(graph, name) for name in [*(connection.edge.source for connection in connections), *others]}
    return LayerSynapses(
        connections=tuple(connections),
        products=products,
        windows=windows,
        relays=tuple(name for name in way if _relays(graph, name)),
        num_synapses=sum(int(connection.nonzero.sum()) for connection in connections)
        + sum(num_pairs(graph.nodes[name]) for name in products)
        + sum(num_taps(graph.nodes[name]) * len(graph.incoming(name)) for name in windows),
        fan_in=sum(graph.nodes[source].size for source in sources),
    )


def _unshaped(graph: Graph, name: str) -> str:
    """Return the node whose values a node passes on in another shape."""
    seen: set[str] = set()
    while isinstance(graph.nodes[name], Reshape) and len(graph.sources(name)) == 1 and name not in seen:
        seen.add(name)
        (name,) = graph.sources(name)
    return name


def _unit_connection(graph: Graph, edge: Edge) -> Connection:
    """Return synapses of weight one; a spike that is counted has one among those to all groups."""
    ones, target = np.ones(graph.nodes[edge.source].size, dtype=np.int64), graph.nodes[edge.target]
    num_groups = target.controller.num_groups if isinstance(target, DYNAMIC) and edge.port == COUNTED_PORT else 1
    return Connection(edge=edge, nonzero=ones, every=ones * num_groups)


def num_pairs(node: object) -> int:
    """Return how many pairs of factors a product node multiplies."""
    if isinstance(node, MatMul):
        return prod(node.shape_a) * node.shape_b[-1]
    assert isinstance(node, Product)
    return node.size


def num_taps(node: object) -> int:
    """Return how many synapses an edge into a window has: one per value and non-zero weight."""
    assert isinstance(node, WINDOWS)
    weights = window_weights(node)
    return node.size * int(np.count_nonzero(weights))


def count_pairs(node: object, a: Array, b: Array) -> tuple[int, int]:
    """Count what `Traffic.pairs` holds, for factors [..., *shape]."""
    a, b = (a != 0).astype(np.int64), (b != 0).astype(np.int64)
    if isinstance(node, MatMul):
        return int((a.sum(axis=-2) * b.sum(axis=-1)).sum()), int(a.sum()) * node.shape_b[-1]
    return int((a * b).sum()), int(a.sum())


@singledispatch
def column_counts(node: object) -> tuple[Array, Array]:
    """Return the non-zero weights and all weights in each column of a linear node's matrix, int64 [input size]."""
    ones = np.asarray(to_sparse(node).getnnz(axis=0), dtype=np.int64)
    return ones, ones


@column_counts.register(Linear)
@column_counts.register(IntegerLinear)
def _(node: Linear | IntegerLinear) -> tuple[Array, Array]:
    weight = node.weight if isinstance(node, Linear) else node.weight_int8
    repeats = prod(node.positions)
    nonzero = np.tile(np.count_nonzero(weight, axis=0), repeats)
    return nonzero, np.full(nonzero.shape, len(weight), dtype=np.int64)


@column_counts.register(Conv)
@column_counts.register(IntegerConv)
def _(node: Conv | IntegerConv) -> tuple[Array, Array]:
    weight = node.weight if isinstance(node, Conv) else node.weight_int8
    geometry, spatial = node.geometry, node.geometry.input_shape[1:]
    taps = weight.reshape(geometry.groups, -1, weight.shape[1], prod(weight.shape[2:]))
    place = window_index(spatial, weight.shape[2:], geometry.stride, geometry.padding, geometry.dilation)
    meetings = np.zeros((len(place), prod(spatial)), dtype=np.int64)  # how often each tap sees each place
    tap, window = np.nonzero(place >= 0)
    np.add.at(meetings, (tap, place[tap, window]), 1)
    nonzero = np.count_nonzero(taps, axis=1).reshape(-1, len(place)) @ meetings
    every = np.full((weight.shape[1] * geometry.groups, len(place)), taps.shape[1]) @ meetings
    return nonzero.ravel(), every.ravel()


@column_counts.register(Scale)
@column_counts.register(IntegerScale)
def _(node: Scale | IntegerScale) -> tuple[Array, Array]:
    weight = node.weight if isinstance(node, Scale) else node.weight_int8
    nonzero = np.broadcast_to(weight != 0, node.shape).ravel().astype(np.int64)
    return nonzero, np.ones_like(nonzero)


def _is_current(graph: Graph, name: str, seen: frozenset[str]) -> bool:
    """Tell whether a node's values are synaptic sums, which reach a neuron without further synapses."""
    if isinstance(graph.nodes[name], Reshape) and name not in seen:
        return all(_is_current(graph, source, seen | {name}) for source in graph.sources(name))
    return not sends_by_itself(graph.nodes[name])


def _relays(graph: Graph, name: str) -> bool:
    is_reshape = isinstance(graph.nodes[name], Reshape)  # nothing happens there on a chip
    return not is_reshape and sends_messages(graph, name) and not carries_spikes(graph, name)
