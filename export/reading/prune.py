"""Nodes that drive nothing: what a forward computed and did not use."""

from __future__ import annotations

from ..graph import Graph
from ..nodes import NEURONS, Output, Threshold


def prune(graph: Graph) -> Graph:
    """Drop linear nodes that lead to no neuron and no output; neurons stay, a trace records them all."""
    kept = {
        name
        for name, node in graph.nodes.items()
        if isinstance(node, Output) or (isinstance(node, NEURONS) and not isinstance(node, Threshold))
    }
    pending = list(kept)
    while pending:
        name = pending.pop()
        for port in graph.nodes[name].ports:
            for source in graph.sources(name, port):
                if source not in kept:
                    kept.add(source)
                    pending.append(source)
    return Graph(
        nodes={name: node for name, node in graph.nodes.items() if name in kept},
        edges=tuple(edge for edge in graph.edges if edge.target in kept),
        dialect=graph.dialect,
        dt_s=graph.dt_s,
    )
