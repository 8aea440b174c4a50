"""Inputs in the shape in which they are read: NIR cannot give a flat input the shape of an image; float dialect."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Edge, Graph
from ..nodes import Input, Reshape, Shape


def shape_inputs(graph: Graph) -> Graph:
    """Return the graph with inputs that everyone reshapes alike already in that shape; the values are the same."""
    shapes = {name: shape for name in graph.inputs() if (shape := _wanted(graph, name)) is not None}
    dropped = {edge.target: name for name in shapes for edge in graph.outgoing(name)}
    nodes = {
        name: replace(node, shape=shapes[name]) if isinstance(node, Input) and name in shapes else node
        for name, node in graph.nodes.items()
        if name not in dropped
    }
    edges = tuple(
        Edge(dropped.get(edge.source, edge.source), edge.target, edge.port, edge.delay)
        for edge in graph.edges
        if edge.target not in dropped
    )
    return replace(graph, nodes=nodes, edges=edges)


def _wanted(graph: Graph, name: str) -> Shape | None:
    """Return the one shape of several axes that every reader gives an input first, or None."""
    edges = graph.outgoing(name)
    readers = [graph.nodes[edge.target] for edge in edges]
    shapes = {reader.shape for reader in readers if isinstance(reader, Reshape)}
    alone = all(isinstance(reader, Reshape) for reader in readers) and not any(edge.delay for edge in edges)
    if not alone or len(shapes) != 1 or any(len(graph.incoming(edge.target)) > 1 for edge in edges):
        return None
    (shape,) = shapes
    return shape if len(shape) > 1 else None
