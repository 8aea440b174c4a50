"""The messages of a recorded run, computed plainly from what went in and what every neuron did."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.graph import Edge, Graph
from export.interpreters.integer_steps import send
from export.nodes import (
    LI,
    NEURONS,
    PRODUCTS,
    WINDOWS,
    Conv,
    Input,
    IntegerConv,
    IntegerLinear,
    IntegerScale,
    Linear,
    MatMul,
    Node,
    Output,
    Product,
    window_weights,
)
from export.sparse_matrix import to_sparse
from export.trace import Array, Trace
from hardware_profiles.arithmetic import shift

from .synapses import Traffic, count_pairs


def recorded_traffic(graph: Graph, values: Mapping[str, Array]) -> Traffic:
    """Count the messages among what every node sent, see `node_values`."""
    pairs = {
        name: count_pairs(node, *(arriving(graph, name, port, values) for port in ("a", "b")))
        for name, node in graph.of_type(PRODUCTS).items()
    }
    return Traffic(
        arrived={edge: _messages(graph, edge, values).sum(axis=(0, 1)) for edge in graph.edges},
        pairs=pairs,
        windowed={name: _windowed(graph, name, values) for name in graph.of_type(WINDOWS)},
        sent={name: int(np.count_nonzero(array)) for name, array in values.items()},
    )


def _messages(graph: Graph, edge: Edge, values: Mapping[str, Array]) -> Array:
    """Tell where an edge delivers a message, bool [ticks of its target, B, size]; context between them is not sent."""
    period = graph.arrival_period(edge.target)
    return _delivered(edge, values)[period - 1 :: period].astype(bool)


def _windowed(graph: Graph, name: str, values: Mapping[str, Array]) -> tuple[int, int]:
    """Count what `Traffic.windowed` holds."""
    weights = window_weights(graph.nodes[name])
    per_tick = sum(_messages(graph, edge, values).sum(axis=(1, 2)) for edge in graph.incoming(name))
    per_weight = np.asarray(per_tick).reshape(-1, len(weights)).sum(axis=0)
    return int(per_weight[weights != 0].sum()), int(per_weight.sum())


def node_values(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> dict[str, Array]:
    """Return what every node sends, [T, B, size], when the neurons spike as recorded: int64 or float64.

    Zeros between the ticks of slower stages.
    """
    num_steps, batch = next(iter(inputs.values())).shape[:2]
    dtype = np.float64 if graph.fmt is None else np.int64
    values: dict[str, Array] = {
        name: np.zeros((num_steps, batch, node.size), dtype=dtype) for name, node in graph.nodes.items()
    }
    for name in graph.inputs():
        values[name][:] = inputs[name].reshape(num_steps, batch, -1)
    for name in graph.of_type(NEURONS):
        values[name][:] = trace[name].s
    steps = [
        (name, _Sender(graph.nodes[name]))
        for name in graph.order
        if not isinstance(graph.nodes[name], (Input, *NEURONS))
    ]
    for t in range(num_steps):
        for name, sender in steps:
            period = graph.period[name]
            if (t + 1) % period:
                continue
            if isinstance(graph.nodes[name], WINDOWS):
                values[name][t] = _window_sum(t, graph, name, values)
                continue
            ports = [_arriving_in(t, graph, name, port, values) for port in graph.nodes[name].ports]
            before = values[name][t - period] if t >= period else np.zeros_like(values[name][0])
            values[name][t] = sender(ports, before).reshape(batch, -1)
    return values


def _window_sum(step: int, graph: Graph, name: str, values: Mapping[str, Array]) -> Array:
    """Return what a window sends on a tick, [B, size]."""
    weights, period = window_weights(graph.nodes[name]), graph.arrival_period(name)
    first = step - (len(weights) - 1) * period
    total: Array = np.zeros_like(values[name][step])
    for place, weight in enumerate(weights.tolist()):
        total += weight * _arriving_in(first + place * period, graph, name, "input", values).reshape(total.shape)
    return total


def arriving(graph: Graph, name: str, port: str, values: Mapping[str, Array]) -> Array:
    """Return the sum of what the edges into a port deliver, [T, B, *shape]."""
    total: Array = np.sum([_delivered(edge, values) for edge in graph.incoming(name, port)], axis=0)
    return total.reshape(*total.shape[:2], *graph.nodes[name].ports[port])


def _delivered(edge: Edge, values: Mapping[str, Array]) -> Array:
    """Return what an edge delivers in every step, [T, B, size]."""
    sent = values[edge.source]
    if not edge.delay:
        return sent
    delivered = np.zeros_like(sent)
    delivered[edge.delay :] = sent[: -edge.delay]
    return delivered


def _arriving_in(step: int, graph: Graph, name: str, port: str, values: Mapping[str, Array]) -> Array:
    """Return the sum of what the edges into a port deliver in one step, [B, *shape]."""
    edges = graph.incoming(name, port)
    total: Array = np.zeros_like(values[edges[0].source][0])
    for edge in edges:
        if step >= edge.delay:
            total += values[edge.source][step - edge.delay]
    return total.reshape(len(total), *graph.nodes[name].ports[port])


class _Sender:
    """One step of a node that does not spike."""

    def __init__(self, node: Node) -> None:
        self._node = node
        unrolled = not isinstance(node, (Product, MatMul, LI, Output, IntegerConv, *WINDOWS))
        self._matrix = to_sparse(node) if unrolled else None

    def __call__(self, ports: list[Array], before: Array) -> Array:
        """Return what the node sends, from its ports [B, *shape] and what it sent on the tick before [B, size]."""
        node, batch = self._node, len(ports[0])
        if isinstance(node, Product):
            return ports[0] * ports[1]
        if isinstance(node, MatMul):
            return np.asarray(ports[0] @ ports[1])
        if isinstance(node, IntegerConv):  # unrolled, the one of a large image has more weights than memory
            return send(node, {"input": ports[0]}).reshape(batch, -1)
        x = ports[0].reshape(batch, -1)
        if isinstance(node, LI):
            return np.asarray(node.beta.ravel().astype(float) * before + x)
        if self._matrix is None:
            return x
        y = np.asarray((self._matrix @ x.T).T)
        if isinstance(node, (IntegerLinear, IntegerScale)):
            return np.asarray(shift(y, node.weight_exp))
        if isinstance(node, (Linear, Conv)) and node.bias is not None:
            y = y + bias_values(node)
        return np.asarray(y)


def bias_values(node: Linear | Conv) -> Array:
    """Return the bias of a synapse node for each value that it sends, float64 [size]; zeros if it has none."""
    if node.bias is None:
        return np.zeros(node.size)
    per_channel = node.bias.astype(float)
    if isinstance(node, Conv):
        per_channel = per_channel.reshape(-1, *(1 for _ in node.shape[1:]))
    return np.broadcast_to(per_channel, node.shape).ravel()
