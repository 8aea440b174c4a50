"""Integrators that are neurons in disguise become LIF: `LI -> Threshold`, the standard-NIR form of snnTorch's Leaky.

U[t] = β U[t−1] + X[t], S[t] = 1(U[t] > θ) is LIF without reset; with −θ S[t−1] fed back into the integrator it is
LIF with the delayed subtract. Exact in both dialects. A chip sends no membranes, so any other LI ends here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat

from ..errors import ExportError
from ..graph import Edge, Graph
from ..nodes import LI, LIF, Node, Scale, Threshold


def recognise_integrators(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Replace every integrator and the Threshold behind it by one LIF of the Threshold's name; float in and out.

    Raises:
        ExportError: an integrator's membrane goes elsewhere.
    """
    for name, node in graph.of_type(LI).items():
        graph = _fused(graph, name, node)
    return graph


def _fused(graph: Graph, name: str, node: LI) -> Graph:
    neuron, threshold = _reader(graph, name)
    feedback = [scale for scale in graph.sources(name) if _subtracts(graph, name, scale, neuron, threshold)]
    gone = {name, *feedback[:1]}
    fused = LIF(beta=node.beta, threshold=threshold.threshold, reset="subtract" if feedback else "none")
    edges = tuple(
        replace(edge, target=neuron) if edge.target == name else edge
        for edge in graph.edges
        if edge.source not in gone and edge.target not in feedback[:1]
    )
    nodes: dict[str, Node] = {kept: other for kept, other in graph.nodes.items() if kept not in gone}
    return replace(graph, nodes={**nodes, neuron: fused}, edges=edges)


def _reader(graph: Graph, name: str) -> tuple[str, Threshold]:
    """Return the one Threshold that reads an integrator's membrane, and reads nothing else."""
    readers = graph.outgoing(name)
    if len(readers) == 1:
        (edge,) = readers
        node = graph.nodes[edge.target]
        if isinstance(node, Threshold) and edge.delay == 0 and graph.sources(edge.target) == (name,):
            return edge.target, node
    told = ", ".join(edge.target for edge in readers) or "nothing"
    raise ExportError(
        f"node {name}: its membrane goes to {told}, allowed in integers is one Threshold that reads it alone; "
        "take spikes, from a neuron instead of the integrator"
    )


def _subtracts(graph: Graph, name: str, scale: str, neuron: str, threshold: Threshold) -> bool:
    """Tell whether a Scale feeds −θ S[t−1] back into the integrator, and does nothing else."""
    node = graph.nodes[scale]
    into, out = graph.incoming(scale), graph.outgoing(scale)
    if not (isinstance(node, Scale) and len(into) == len(out) == 1 and into[0].source == neuron):
        return False
    loop: tuple[Edge, Edge] = (into[0], out[0])
    return sum(edge.delay for edge in loop) == 1 and np.array_equal(
        np.broadcast_to(node.weight, node.shape), -threshold.threshold
    )
