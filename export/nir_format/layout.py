"""In which layout a node's values travel in a NIR file: shaped among convolutions, flattened everywhere else.

NIR flattens but never restores a shape, so what stands behind anything flat is flat.
"""

from __future__ import annotations

from ..graph import Graph
from ..nodes import (
    LI,
    LIF,
    AlphaLIF,
    Conv,
    CubaLIF,
    DynamicThresholdLIF,
    Gather,
    Input,
    Output,
    Pool,
    Scale,
    Threshold,
    WindowSum,
)
from .forms import shift_form

ELEMENTWISE = (LIF, CubaLIF, AlphaLIF, LI, Threshold, DynamicThresholdLIF, Scale, WindowSum, Output)
"""Nodes whose input and output have one layout."""
SHAPED_PORTS = ("input", "recurrent", "threshold")
"""Ports at which the layout matters; others only count values or say their shape themselves."""


def shaped_nodes(graph: Graph) -> frozenset[str]:
    """Return the nodes that receive and send their values in the graph's own shape, of several axes."""
    needed = _needed(graph)
    shaped = {name for name in graph.nodes if len(graph.nodes[name].shape) > 1 and _can_be_shaped(graph, name, needed)}
    pending = list(graph.nodes)
    while pending:
        demoted = [
            name
            for name in pending
            if name in shaped
            and any(source not in shaped for port in SHAPED_PORTS for source in graph.sources(name, port))
        ]
        shaped.difference_update(demoted)
        pending = [edge.target for name in demoted for edge in graph.outgoing(name)]
    return frozenset(shaped)


def _can_be_shaped(graph: Graph, name: str, needed: set[str]) -> bool:
    node = graph.nodes[name]
    if isinstance(node, Gather):
        return name in needed and shift_form(node) is not None
    return isinstance(node, (Input, Conv, Pool, *ELEMENTWISE))


def _needed(graph: Graph) -> set[str]:
    """Return the nodes whose values reach a convolution or pooling with nothing but elementwise nodes between."""
    needed: set[str] = set()
    pending = list(graph.of_type((Conv, Pool)))
    while pending:
        name = pending.pop()
        sources = {source for port in SHAPED_PORTS for source in graph.sources(name, port)} - needed
        needed |= sources
        pending += [source for source in sources if isinstance(graph.nodes[source], (Gather, *ELEMENTWISE))]
    return needed
