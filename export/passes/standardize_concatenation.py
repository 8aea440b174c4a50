"""Concatenated features split between the weights that read them; float dialect in and out, and back.

NIR sums what arrives, and has no concatenation: as a matrix of 0 and 1 it would be larger than the weights behind it.
W [a; b] is W₁ a + W₂ b, so the layer is written as one layer per part. Summed in this order floats may round
differently; our own reader therefore joins the parts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..errors import NirFileError
from ..graph import Edge, Graph
from ..nodes import Gather, Linear, Node

MAX_JOIN_WORK = 20_000_000
"""Layers in parts times nodes and edges; a file from a stranger must not take minutes."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of which layer a part holds.

    Attributes:
        of: name of the layer; its first part keeps it.
        gather: name of the node that put the part in its place.
        start: first column.
        width: columns of the whole layer.
    """

    of: str
    gather: str
    start: int
    width: int

    @property
    def fields(self) -> dict[str, object]:
        """Plain JSON, with a type."""
        return {"type": "Columns", **asdict(self)}


def split_concatenations(graph: Graph) -> tuple[Graph, dict[str, Columns]]:
    """Return the graph with one Linear per concatenated part, and what each part was."""
    columns: dict[str, Columns] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, Linear) and not node.positions:
            parts = _parts(graph, name, node.weight.shape[1])
            if len(parts) > 1:
                graph = _split(graph, name, node, parts)
                columns |= parts
    return graph, columns


def _parts(graph: Graph, name: str, width: int) -> dict[str, Columns]:
    """Return the parts' names and columns if everything that arrives is a block put in its place, else nothing."""
    parts: dict[str, Columns] = {}
    for edge in graph.incoming(name):
        gather = graph.nodes[edge.source]
        if not isinstance(gather, Gather) or edge.delay or len(graph.outgoing(edge.source)) != 1:
            return {}
        inside = np.flatnonzero(gather.index >= 0)
        size = int(np.prod(gather.input_shape))
        if len(gather.input_shape) != 1 or len(inside) != size or len(graph.incoming(edge.source)) != 1:
            return {}
        start = int(inside[0])
        if not np.array_equal(gather.index[start : start + size], np.arange(size)):
            return {}
        part = name if not parts else f"{name}.{edge.source}"
        if part in graph.nodes and part != name:
            return {}
        parts[part] = Columns(of=name, gather=edge.source, start=start, width=width)
    return parts


def _split(graph: Graph, name: str, node: Linear, parts: Mapping[str, Columns]) -> Graph:
    gathers = {column.gather: part for part, column in parts.items()}
    nodes = {key: value for key, value in graph.nodes.items() if key not in gathers}
    for part, column in parts.items():
        gather = graph.nodes[column.gather]
        assert isinstance(gather, Gather)
        taken = node.weight[:, column.start : column.start + gather.input_shape[0]]
        nodes[part] = Linear(weight=np.ascontiguousarray(taken), bias=node.bias if part == name else None)
    edges: list[Edge] = []
    for edge in graph.edges:
        if edge.target in gathers:
            edges.append(replace(edge, target=gathers[edge.target]))
        elif edge.source == name:
            edges += [replace(edge, source=part) for part in parts]
        elif edge.target != name:
            edges.append(edge)
    return replace(graph, nodes=nodes, edges=tuple(edges))


def join_concatenations(graph: Graph, columns: Mapping[str, Columns]) -> Graph:
    """Undo `split_concatenations`.

    Raises:
        NirFileError: the parts do not fit each other.
    """
    layers: dict[str, dict[str, Columns]] = {}
    for part, column in columns.items():
        layers.setdefault(column.of, {})[part] = column
    if len(layers) * (len(graph.nodes) + len(graph.edges)) > MAX_JOIN_WORK:
        raise NirFileError(f"{len(layers)} layers in parts, in {len(graph.nodes)} nodes; too large to read")
    for name, parts in layers.items():
        graph = _join(graph, name, dict(sorted(parts.items(), key=lambda item: item[1].start)))
    return graph


def _join(graph: Graph, name: str, parts: dict[str, Columns]) -> Graph:
    layers = [graph.nodes[part] for part in parts]
    whole = [layer.weight for layer in layers if isinstance(layer, Linear) and not layer.positions]
    biased = [part for part in parts if getattr(graph.nodes[part], "bias", None) is not None]
    targets = [[(edge.target, edge.port, edge.delay) for edge in graph.outgoing(part)] for part in parts]
    begins = np.cumsum([0, *(weight.shape[1] for weight in whole)]).tolist()
    if (
        name not in parts
        or len(whole) != len(layers)
        or len({len(weight) for weight in whole}) != 1
        or begins != [*(column.start for column in parts.values()), next(iter(parts.values())).width]
        or not set(biased) <= {name}
        or any(target != targets[0] for target in targets)
        or len({column.gather for column in parts.values()} - set(graph.nodes)) != len(parts)
    ):
        raise NirFileError(f"node {name}: its notes contradict its arrays; write the file again")
    nodes: dict[str, Node] = {key: value for key, value in graph.nodes.items() if key not in parts or key == name}
    bias: Any = getattr(graph.nodes[name], "bias", None)
    nodes[name] = Linear(weight=np.concatenate(whole, axis=1), bias=bias)
    for column, weight in zip(parts.values(), whole, strict=True):
        index = np.full(begins[-1], -1, dtype=np.int64)
        index[column.start : column.start + weight.shape[1]] = np.arange(weight.shape[1])
        nodes[column.gather] = Gather(index=index, input_shape=(weight.shape[1],))
    kept = [
        replace(edge, target=parts[edge.target].gather) if edge.target in parts else edge
        for edge in graph.edges
        if edge.source not in parts or edge.source == name
    ]
    return replace(graph, nodes=nodes, edges=(*kept, *(Edge(column.gather, name) for column in parts.values())))
