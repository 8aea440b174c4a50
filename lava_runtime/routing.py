"""How values travel between Lava Processes: what waits where, and what stock Processes can express. Needs no Lava."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.errors import ExportError
from export.graph import Edge, Graph, is_sent_late, physical_delay
from export.nodes import (
    LI,
    LIF,
    PRODUCTS,
    WINDOWS,
    Conv,
    CubaLIF,
    Input,
    IntegerCubaLIF,
    IntegerLIF,
    Linear,
    Node,
    Reshape,
)
from export.passes.balance_latency import balance_latency
from export.trace import Array

from .layers import neurons
from .traffic import bias_values


@dataclass(frozen=True, kw_only=True)
class Route:
    """The way of one edge of a graph in "lava" timing.

    Attributes:
        origin: the node whose Process sends; reshaping needs none.
        wait: time steps between sending and arriving.
        silent: steps at the start of every sample in which zeros arrive, because the model delays the edge: what the
            source sent at the end of the sample before must not.
        lag: time steps by which the arriving values lag the model.
    """

    origin: str
    wait: int
    silent: int
    lag: int

    @property
    def is_direct(self) -> bool:
        """Whether the Processes can be connected without anything between them."""
        return not self.wait and not self.silent


def route(graph: Graph, edge: Edge) -> Route:
    """Return the way of an edge."""
    if is_sent_late(graph, edge):
        return Route(origin=edge.source, wait=0, silent=edge.delay, lag=graph.latency[edge.target])
    lag = graph.latency[edge.target] - physical_delay(graph, edge)
    silent = edge.delay - (lag - graph.latency[edge.source])
    return Route(origin=origin(graph, edge.source), wait=edge.delay, silent=silent, lag=lag)


def origin(graph: Graph, name: str) -> str:
    """Return the node whose Process sends what `name` sends: a Reshape passes on its only source."""
    while is_passed_on(graph, name):
        (edge,) = graph.incoming(name)
        name = edge.source
    return name


def is_passed_on(graph: Graph, name: str) -> bool:
    """Tell whether a node needs no Process: it reshapes one source that does not wait."""
    edges = graph.incoming(name)
    return (
        isinstance(graph.nodes[name], Reshape)
        and len(edges) == 1
        and not edges[0].delay
        and not _silent(graph, edges[0])
    )


def _silent(graph: Graph, edge: Edge) -> int:
    return edge.delay - (graph.latency[edge.target] - physical_delay(graph, edge) - graph.latency[edge.source])


def own_bias(node: Node) -> Array | None:
    """Return the constant that a float synapse adds to all that it sends, float64 [size]."""
    return bias_values(node) if isinstance(node, (Linear, Conv)) and node.bias is not None else None


def is_folded(graph: Graph, edge: Edge) -> bool:
    """Tell whether the bias of an edge's source is added by the neurons at its end, as stock LIF does it."""
    return edge.target in neurons(graph) and edge.port in ("input", "recurrent") and not route(graph, edge).silent


def folded_bias(graph: Graph, neuron: str) -> Array:
    """Return the sum of the biases that float synapses bring to a neuron layer, float64 [n]."""
    total = np.zeros(graph.nodes[neuron].size)
    for port in ("input", "recurrent"):
        for edge in graph.incoming(neuron, port):
            bias = own_bias(graph.nodes[origin(graph, edge.source)])
            if bias is not None and is_folded(graph, edge):
                total += bias
    return total


def is_stock_neuron(graph: Graph, name: str) -> bool:
    """Tell whether Lava's own `LIFReset` is this neuron: hard reset, at once, under a constant threshold.

    It leaks in every step, so it cannot hold the state of a slower stage.
    """
    node = graph.nodes[name]
    if graph.period[name] > 1:
        return False
    if not isinstance(node, (LIF, IntegerLIF, CubaLIF, IntegerCubaLIF)) or "threshold" in node.ports:
        return False
    if node.reset not in ("zero", "clear") or node.reset_delay or node.inhibition:
        return False
    if isinstance(node, IntegerCubaLIF):  # Lava adds the bias behind the synaptic current
        return not node.bias_mant.any()
    return not (isinstance(node, CubaLIF) and folded_bias(graph, name).any())


def is_stock(graph: Graph) -> bool:
    """Tell whether Lava's own Processes express every node and edge of a graph in "lava" timing."""
    return not not_stock(graph)


def not_stock(graph: Graph) -> tuple[str, ...]:
    """Return what no Process of Lava's own expresses, of a graph in "lava" timing: nodes, and edges as `a → b`."""
    ours = list(graph.of_type((*PRODUCTS, *WINDOWS, LI)))
    ours += [name for name in neurons(graph) if not is_stock_neuron(graph, name)]
    ours += [name for name in graph.of_type(Reshape) if not is_passed_on(graph, name)]
    waiting = [
        f"{edge.source} → {edge.target}"
        for edge in graph.edges
        if not isinstance(graph.nodes[edge.source], Input) and not route(graph, edge).is_direct
    ]
    return (*ours, *waiting)


def is_stock_alone(graph: Graph) -> bool:
    """Tell whether Lava's own Processes express every node and edge of a graph in "model" timing."""
    timed, _ = in_lava_timing(graph)
    return timed is not None and is_stock(timed)


def in_lava_timing(graph: Graph) -> tuple[Graph | None, str]:
    """Return the graph in "lava" timing, or None and why a loop of it is too short for Lava's synapses."""
    try:
        return balance_latency(graph), ""
    except ExportError as error:
        return None, str(error)
