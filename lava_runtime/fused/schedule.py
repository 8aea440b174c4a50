"""In which order a graph is computed, and how many time steps at once.

Without loops a node can run through all steps of a block before the next node begins: products of large matrices,
one call per node instead of one per node and step. The nodes of a loop take turns; a loop that waits d steps can be
computed d steps at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import networkx

from export.graph import Edge, Graph
from export.nodes import WINDOWS


@dataclass(frozen=True, kw_only=True)
class Part:
    """Nodes that are computed together.

    Attributes:
        nodes: in the order of computation.
        span: time steps that they can take at once; None if all of a block.
    """

    nodes: tuple[str, ...]
    span: int | None


def schedule(graph: Graph) -> tuple[Part, ...]:
    """Return the parts of a graph in "model" timing, sources before targets: loops, and single nodes."""
    network = networkx.DiGraph()
    network.add_nodes_from(graph.order)
    network.add_edges_from((edge.source, edge.target) for edge in graph.edges)
    loops = networkx.condensation(network)
    place = {name: index for index, name in enumerate(graph.order)}
    parts = (loops.nodes[part]["members"] for part in networkx.topological_sort(loops))
    return tuple(
        Part(nodes=tuple(sorted(members, key=place.__getitem__)), span=_span(graph.edges, members)) for members in parts
    )


def _span(edges: Iterable[Edge], members: set[str]) -> int | None:
    """Return the shortest wait within a loop: what was sent before it is known when the loop goes on."""
    inside = [edge.delay for edge in edges if edge.delay and edge.source in members and edge.target in members]
    return min(inside, default=None)


def longest_delays(graph: Graph) -> dict[str, int]:
    """Return how many steps back the values of each node are asked for, by delays and by windows."""
    longest = dict.fromkeys(graph.nodes, 0)
    for edge in graph.edges:
        target = graph.nodes[edge.target]
        back = (target.ratio - 1) * graph.arrival_period(edge.target) if isinstance(target, WINDOWS) else 0
        longest[edge.source] = max(longest[edge.source], edge.delay + back)
    return longest
