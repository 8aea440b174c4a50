"""Fold batch normalisation into the weights before it; float dialect in and out.

A normalisation is X = f ⊙ x + o per channel. Behind a Linear or Conv that drives nothing else: W' = f W, b' = f b + o.
An average pooling between them passes f and o through, since its windows' weights sum to one (without padding).
Elsewhere it becomes a layer of its own: a convolution of one tap per channel, a diagonal matrix for a vector.
Folding rounds: the graph is then equal to the one that was read within the bound of `tracked`, not bit for bit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import ExportError
from ..graph import Graph
from ..nodes import Conv, Linear, Node, Norm, Pool
from .composition import as_convolution, compose_alike

MAX_DIAGONAL = 4096
"""Length of a vector whose normalisation may become a matrix: 64 MiB of float32."""


def fold_norm(graph: Graph) -> Graph:
    """Return the graph without normalisations.

    Raises:
        ExportError: a normalisation of a long vector has no layer of its own before it.
    """
    for name, node in graph.of_type(Norm).items():
        weighted = _weights_before(graph, name)
        folded = None if weighted is None else compose_alike(_synapse(graph.nodes[weighted]), as_convolution(node))
        if weighted is not None and folded is not None:
            graph = _without(graph.with_nodes({weighted: folded}), name)
        else:
            graph = graph.with_nodes({name: _as_layer(name, node)})
    return graph


def _synapse(node: Node) -> Linear | Conv:
    assert isinstance(node, (Linear, Conv))
    return node


def _without(graph: Graph, name: str) -> Graph:
    """Drop a node of one source, which takes its place."""
    (source,) = graph.sources(name)
    edges = tuple(
        replace(edge, source=source) if edge.source == name else edge for edge in graph.edges if edge.target != name
    )
    nodes = {other: node for other, node in graph.nodes.items() if other != name}
    return replace(graph, nodes=nodes, edges=edges)


def _weights_before(graph: Graph, name: str) -> str | None:
    """Return the Linear or Conv that drives this normalisation alone, if there is one."""
    at = name
    while True:
        incoming = graph.incoming(at)
        # a delayed edge delivers zeros at first, not the layer's bias, so folding through it would be wrong
        if len(incoming) != 1 or incoming[0].delay or len(graph.outgoing(incoming[0].source)) != 1:
            return None
        source = incoming[0].source
        node = graph.nodes[source]
        if isinstance(node, (Linear, Conv)):
            return source
        if not isinstance(node, Pool) or node.kind != "average" or any(node.padding):
            return None
        at = source


def _as_layer(name: str, node: Norm) -> Node:
    if len(node.shape) in (2, 3):
        return as_convolution(node)
    if len(node.shape) != 1 or node.shape[0] > MAX_DIAGONAL:
        raise ExportError(
            f"node {name}: a BatchNorm over {node.shape} without a Linear or Conv of its own before it, allowed are "
            f"channels and space, or up to {MAX_DIAGONAL} values; put it right behind a layer"
        )
    return Linear(weight=np.diag(node.factor), bias=node.offset)
