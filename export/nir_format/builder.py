"""The NIR graph while it is written: names, layouts, and edges in the order in which they are summed."""

from __future__ import annotations

import json
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from ..graph import Edge, Graph
from ..nodes import Float, Reshape, Shape
from . import extension as nir_extension
from .layout import SHAPED_PORTS, shaped_nodes

Double = npt.NDArray[np.float64]

NOTES = "axonport"
"""Metadata key of a JSON text with what NIR has no field for; other readers need none of it."""
NAMED_PORTS = ("threshold", "population", "context", "a", "b")
"""Ports that the receiving node names itself, since a NIR edge would add to its input."""


class Builder:
    """The NIR graph so far.

    Attributes:
        graph: what is written.
        shaped: nodes whose values keep their axes, see `nir_format.layout`.
        nodes: NIR nodes by name.
        edges: NIR edges as keys, in the order in which they are summed.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shaped = graph, shaped_nodes(graph)
        self.nodes: dict[str, Any] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self._entries: dict[str, list[str]] = {}
        self._exits: dict[str, list[str]] = {}
        self._made: dict[str, str] = {}  # Flatten and Delay nodes, shared by all that want them
        self._taken = {name for name in graph.nodes if not self.is_alias(name)}

    def add(self, name: str, node: Any, **notes: object) -> None:
        """Add the one NIR node that stands for graph node `name`."""
        self.nodes[name] = noted(node, notes)

    def add_chain(self, name: str, first: Any, last: Any, suffix: str, **notes: object) -> None:
        """Add two NIR nodes in a row; the last one keeps the name, the first one the notes."""
        before = self._extra(f"{name}.{suffix}", noted(first, notes))
        self.nodes[name] = last
        self.edges[before, name] = None
        self._entries[name] = [before]

    def add_parallel(self, name: str, parts: list[tuple[Any, dict[str, object]]]) -> None:
        """Add NIR nodes side by side, whose outputs are summed by whoever receives them."""
        names = [name, *(self._extra(f"{name}.{k}", None) for k in range(1, len(parts)))]
        self.nodes |= {part: noted(node, notes) for part, (node, notes) in zip(names, parts, strict=True)}
        self._entries[name] = self._exits[name] = names

    def shape(self, name: str) -> Shape:
        """Return the shape in which a node's values travel."""
        node = self.graph.nodes[name]
        return node.shape if name in self.shaped else (node.size,)

    def step_s(self, name: str) -> float:
        """Return a node's own time step in seconds."""
        return self.graph.dt_s * self.graph.period[name]

    def laid_out(self, name: str, values: Float) -> Double:
        """Return per-neuron values in the node's layout."""
        full = np.broadcast_to(values.astype(np.float64), self.graph.nodes[name].shape)
        return np.ascontiguousarray(full.reshape(self.shape(name)))

    def connect(self, edge: Edge) -> None:
        """Write one edge of the graph, unless its target names its source itself."""
        if edge.port in NAMED_PORTS or self.is_alias(edge.target):
            return
        if edge.port == "recurrent" and isinstance(self.nodes[edge.target], nir_extension.EXTENSIONS):
            return  # written with the node, see `port_source`
        for entry in self._entries.get(edge.target, [edge.target]):
            for source in self._senders(edge, edge.target in self.shaped):
                sender = self._link(source, entry, self.shape(edge.source))
                if edge.port == "recurrent":
                    self._note_recurrent(entry, sender)

    def name_sources(self, name: str) -> None:
        """Tell an extension node the nodes that send to its ports; the recurrent one sends along an edge, too."""
        node = self.nodes.get(name)
        if not isinstance(node, nir_extension.EXTENSIONS):
            return
        for port in (*NAMED_PORTS, "recurrent"):
            if hasattr(node, f"{port}_source"):
                shaped = name in self.shaped and port in SHAPED_PORTS
                source = self._port_source(name, port, shaped=shaped)
                if source and port == "recurrent":
                    source = self._link(source, name, self.shape(name))
                setattr(node, f"{port}_source", source)

    def _port_source(self, name: str, port: str, *, shaped: bool) -> str:
        """Return the one NIR node that sends to a port; a sum gets a node of its own."""
        edges = self.graph.incoming(name, port)
        senders = [sender for edge in edges for sender in self._senders(edge, shaped)]
        if len(senders) <= 1:
            return senders[0] if senders else ""
        shape = self._sent_shape(edges[0].source, shaped)
        total = self._extra(f"{name}.{port}", _copy(shape))
        for sender in senders:
            self._link(sender, total, shape)
        return total

    def _senders(self, edge: Edge, shaped: bool) -> list[str]:
        senders = self._exit(edge.source, shaped)
        return [self._delayed(sender, edge, shaped) for sender in senders] if edge.delay else senders

    def _exit(self, name: str, shaped: bool) -> list[str]:
        """Return the NIR nodes that send a node's values, behind a Flatten if the receiver wants them flat."""
        if self.is_alias(name):
            return self._exit(self.graph.sources(name)[0], shaped)
        if shaped or name not in self.shaped:
            return self._exits.get(name, [name])
        flat = f"{name}.flat"
        if flat not in self._made:
            inner = self._exits.get(name, [name])
            made = self._extra(
                flat, nir.Flatten(input_type={"input": np.array(self.shape(name))}, start_dim=0, end_dim=-1)
            )
            self.edges |= {(sender, made): None for sender in inner}
            self._made[flat] = made
        return [self._made[flat]]

    def is_alias(self, name: str) -> bool:
        """Tell a Reshape that needs no node: its one source is sent on as it is."""
        edges = self.graph.incoming(name)
        return isinstance(self.graph.nodes[name], Reshape) and len(edges) == 1 and not edges[0].delay

    def _delayed(self, sender: str, edge: Edge, shaped: bool) -> str:
        key = f"{sender}.delay{edge.delay}"
        if key not in self._made:
            seconds = np.full(self._sent_shape(edge.source, shaped), edge.delay * self.graph.dt_s)
            self._made[key] = self._extra(key, nir.Delay(delay=seconds))
            self.edges[sender, self._made[key]] = None
        return self._made[key]

    def _sent_shape(self, name: str, shaped: bool) -> Shape:
        return self.graph.nodes[name].shape if shaped else (self.graph.nodes[name].size,)

    def _link(self, sender: str, receiver: str, shape: Shape) -> str:
        """Add an edge; NIR has no second one between the same nodes, so a copy of the sender stands in."""
        if (sender, receiver) in self.edges:
            copy = self._extra(f"{sender}.again", _copy(shape))
            self.edges[sender, copy] = None
            sender = copy
        self.edges[sender, receiver] = None
        return sender

    def _note_recurrent(self, entry: str, sender: str) -> None:
        notes = json.loads(self.nodes[entry].metadata.get(NOTES, "{}"))
        notes.setdefault("recurrent", []).append(sender)
        self.nodes[entry].metadata[NOTES] = json.dumps(notes)

    def _extra(self, wanted: str, node: Any) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}{count}"
        self._taken.add(name)
        self.nodes[name] = node
        return name


def _copy(shape: Shape) -> Any:
    """A node that only passes on, where NIR's edges do not suffice."""
    return noted(nir.Scale(scale=np.ones(shape)), {"type": "Copy"})


def noted(node: Any, notes: dict[str, object]) -> Any:
    """Return the NIR node with notes in its metadata, if there are any."""
    if notes:
        node.metadata[NOTES] = json.dumps(notes)
    return node
