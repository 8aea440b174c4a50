"""Fold batch normalisation into the weights before it; float dialect in and out.

A normalisation is X = f ⊙ x + o per channel. Behind a Linear or Conv that drives nothing else: W' = f W, b' = f b + o.
An average pooling between them passes f and o through, since its windows' weights sum to one (without padding).
Folding rounds: the graph is then equal to the one that was read within the bound of `tracked`, not bit for bit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import ExportError
from ..graph import Edge, Graph
from ..nodes import Conv, Float, Linear, Node, Norm, Pool


def fold_norm(graph: Graph) -> Graph:
    """Return the graph without normalisations.

    Raises:
        ExportError: a normalisation has no layer of its own before it.
    """
    for name, node in graph.of_type(Norm).items():
        graph = _without(graph, name, node)
    return graph


def _without(graph: Graph, name: str, node: Norm) -> Graph:
    weighted = _weights_before(graph, name)
    changed = {**graph.nodes, weighted: _folded(graph.nodes[weighted], node)}
    del changed[name]
    (source,) = graph.sources(name)
    edges = tuple(
        replace(edge, source=source, delay=edge.delay + _delay_into(graph, name)) if edge.source == name else edge
        for edge in graph.edges
        if edge.target != name
    )
    return replace(graph, nodes=changed, edges=edges)


def _delay_into(graph: Graph, name: str) -> int:
    (edge,) = graph.incoming(name)
    return edge.delay


def _weights_before(graph: Graph, name: str) -> str:
    """Return the Linear or Conv that drives this normalisation alone."""
    at = name
    while True:
        incoming = graph.incoming(at)
        source = incoming[0].source if len(incoming) == 1 else ""
        node = graph.nodes.get(source)
        if len(graph.outgoing(source)) == 1 and _sees_rest(incoming[0]):
            if isinstance(node, (Linear, Conv)):
                return source
            if isinstance(node, Pool) and node.kind == "average" and not any(node.padding):
                at = source
                continue
        raise ExportError(
            f"node {name}: a BatchNorm is folded into the Linear or Conv before it, but "
            f"{source or 'a sum of several layers'} comes before; put it right behind a Linear or Conv of its own"
        )


def _sees_rest(edge: Edge) -> bool:
    """A delayed edge delivers zeros at first, not the layer's bias, so folding through it would be wrong."""
    return edge.delay == 0


def _folded(node: Node, norm: Norm) -> Node:
    factor, offset = norm.factor.astype(np.float64), norm.offset.astype(np.float64)
    assert isinstance(node, (Linear, Conv))
    weight = node.weight * factor.reshape(-1, *(1,) * (node.weight.ndim - 1))
    bias = offset if node.bias is None else node.bias * factor + offset
    return replace(node, weight=_float32(weight), bias=_float32(bias))


def _float32(array: npt.NDArray[np.float64]) -> Float:
    values: Float = array.astype(np.float32)
    return values
