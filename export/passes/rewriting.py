"""What the passes that move weights share: a graph under reconstruction, in which a node may become a sum of pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import ExportError
from ..graph import Edge, Graph
from ..nodes import NEURONS, Conv, Input, Linear, Node, Output, Reshape, Scale

Synapse = Linear | Conv | Scale


@dataclass(frozen=True)
class Piece:
    """One term of what an old node sends: a new node's values, times a factor, some steps late.

    `scale` names the old Scale node that gave it its factor last, if one did.
    """

    name: str
    factor: float = 1.0
    delay: int = 0
    scale: str = ""


class Rewriting:
    """A new graph, grown node by node in the order of signals.

    Attributes:
        graph: the old graph.
        nodes: the new nodes.
        edges: the new edges.
        pieces: old node to the terms that replace it; a neuron or input stays itself.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.pieces: dict[str, tuple[Piece, ...]] = {}
        self._into: dict[str, list[Edge]] = {}
        self._origins = {name: name for name in graph.nodes}
        for name, node in graph.nodes.items():
            if isinstance(node, (Input, *NEURONS)):
                self.nodes[name] = node
                self.pieces[name] = (Piece(name),)

    def order(self) -> list[str]:
        """Return all nodes but inputs, neurons and outputs, sources first, delayed edges included.

        Raises:
            ExportError: a loop holds no spiking neuron.
        """
        inner = [name for name in self.graph.order if name not in self.pieces]
        waiting = {
            name: sum(edge.source not in self.pieces for port in node.ports for edge in self.graph.incoming(name, port))
            for name, node in ((name, self.graph.nodes[name]) for name in inner)
        }
        ready = [name for name in inner if not waiting[name]]
        for name in ready:  # grows while it is walked
            for edge in self.graph.outgoing(name):
                if edge.target in waiting:
                    waiting[edge.target] -= 1
                    if not waiting[edge.target]:
                        ready.append(edge.target)
        if len(ready) < len(inner):
            stuck = min(set(inner) - set(ready))
            raise ExportError(
                f"node {stuck}: lies in a loop without a spiking neuron, which integers cannot bound; "
                "close the loop through a neuron's spikes"
            )
        return [name for name in ready if not isinstance(self.graph.nodes[name], Output)]

    def arriving(self, name: str, port: str = "input") -> list[Piece]:
        """Return the terms that arrive at a port of an old node."""
        return [
            replace(piece, delay=piece.delay + edge.delay)
            for edge in self.graph.incoming(name, port)
            for piece in self.pieces[edge.source]
        ]

    def add(self, origin: str, node: Node, pieces: Iterable[Piece], port: str = "input") -> str:
        """Add a new node made from an old one, under its name if that is free, and return its name."""
        name, number = origin, 2
        while name in self.nodes or (name in self.graph.nodes and name != origin):
            name, number = f"{origin}.{number}", number + 1
        self.nodes[name] = node
        self._origins[name] = origin
        self.connect(name, pieces, port)
        return name

    def copy(self, name: str, pieces: Iterable[Piece]) -> str:
        """Add a second new node like one that is there, with its own sources."""
        return self.add(self._origins[name], self.nodes[name], pieces)

    def connect(self, name: str, pieces: Iterable[Piece], port: str) -> None:
        """Let pieces arrive at a port of a new node."""
        for piece in pieces:
            edge = Edge(piece.name, name, port, piece.delay)
            self.edges.append(edge)
            self._into.setdefault(name, []).append(edge)

    def synapse_behind(self, name: str) -> str | None:
        """Return the synapse whose sums a new node sends, reshaped at most; None where it sends integers."""
        while isinstance(self.nodes[name], Reshape):
            name = self._into[name][0].source
        return name if is_synapse(self.nodes[name]) else None

    def sources(self, name: str) -> list[Piece]:
        """Return what arrives at a new node with one port."""
        return [Piece(edge.source, delay=edge.delay) for edge in self._into[name]]

    def refuse_currents(self, name: str, pieces: Sequence[Piece]) -> None:
        """Raise an ExportError if a synaptic current arrives where only spikes and their sums may."""
        for piece in pieces:
            synapse = self.synapse_behind(piece.name)
            if synapse is not None:
                raise ExportError(
                    f"node {name}: takes the weighted sums of {synapse}, allowed in integers are spikes, their sums "
                    "and products; put a spiking neuron between them"
                )

    def finish(self) -> Graph:
        """Return the new graph without nodes that nothing uses any more."""
        users = Counter(edge.source for edge in self.edges)
        dead = [name for name, node in self.nodes.items() if not users[name] and not _ends(node)]
        gone: set[str] = set()
        for name in dead:  # grows while it is walked
            gone.add(name)
            for edge in self._into.get(name, ()):
                users[edge.source] -= 1
                if not users[edge.source] and not _ends(self.nodes[edge.source]):
                    dead.append(edge.source)
        places = {name: place for place, name in enumerate(self.graph.nodes)}
        order = sorted((name for name in self.nodes if name not in gone), key=lambda name: places[self._origins[name]])
        edges = tuple(edge for edge in self.edges if edge.target not in gone)
        return replace(self.graph, nodes={name: self.nodes[name] for name in order}, edges=edges)


def is_synapse(node: Node) -> bool:
    """Tell whether a node's weights differ from one another; a common factor only moves on."""
    return isinstance(node, (Linear, Conv)) or (isinstance(node, Scale) and common_factor(node) is None)


def common_factor(node: Scale) -> float | None:
    """Return the factor of a Scale whose weights are all the same."""
    first = float(node.weight.flat[0]) if node.weight.size else 1.0
    return first if (node.weight == first).all() else None


def _ends(node: Node) -> bool:
    return isinstance(node, (Input, Output, *NEURONS))
