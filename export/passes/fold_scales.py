"""Scalar factors move forward into the next weights, so that everything between a spike and a weight is an integer.

A factor passes Gather, Reshape, Reduce, Pool (whose average is a sum times 1/area), WindowSum (whose weights become
integers times a factor, mostly 1/128), Product and MatMul; where signals with different factors meet, the node that
they enter is split into one copy per factor, for all of them are linear in each port. What reaches a neuron without a
weight gets one synapse per neuron. Every neuron then has its own synapses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat

from ..errors import ExportError
from ..graph import Graph
from ..nodes import NEURONS, PRODUCTS, Conv, Linear, Node, Output, Pool, Reshape, Scale, WindowSum
from .composition import scaled, without_bias
from .rewriting import Piece, Rewriting, common_factor, is_synapse
from .window_weights import window_mantissas

WEIGHTED_PORTS = ("input", "recurrent", "threshold")
"""Ports of neurons that receive synaptic sums."""


def fold_scales(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Move all scalar factors into weights; float dialect in and out, after `compose_linear`.

    Raises:
        ExportError: scaled values arrive where only spikes may.
    """
    new = Rewriting(graph)
    for name in new.order():
        new.pieces[name] = tuple(_pieces(new, name, graph.nodes[name]))
    taken: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, Output):
            new.add(name, node, ())
        if isinstance(node, (Output, *NEURONS)):
            for port in node.ports:
                _connect(new, name, port, taken)
    return new.finish()


def _pieces(new: Rewriting, name: str, node: Node) -> list[Piece]:
    if isinstance(node, PRODUCTS):
        return [
            Piece(_add_product(new, name, node, a, b), factor_a * factor_b)
            for factor_a, a in _by_factor(new.arriving(name, "a"))
            for factor_b, b in _by_factor(new.arriving(name, "b"))
        ]
    factor = common_factor(node) if isinstance(node, Scale) else None
    if factor is not None:
        return [replace(piece, factor=piece.factor * factor, scale=name) for piece in new.arriving(name)]
    if isinstance(node, Reshape):
        return _reshaped(new, name, node)
    pieces: list[Piece] = []
    for factor, group in _by_factor(new.arriving(name)):
        if isinstance(node, (Linear, Conv, Scale)):
            copy = without_bias(node) if pieces else node
            assert isinstance(copy, (Linear, Conv, Scale))
            pieces.append(Piece(new.add(name, _scaled_weights(copy, factor), group)))
        elif isinstance(node, Pool) and node.kind == "average":
            summed = new.add(name, replace(node, kind="sum"), group)
            pieces.append(Piece(summed, factor / math.prod(node.kernel)))
        elif isinstance(node, WindowSum):
            mantissas, unit = window_mantissas(node.weight)
            summed = new.add(name, replace(node, weight=mantissas.astype(np.float32)), group)
            pieces.append(Piece(summed, factor * unit))
        else:
            pieces.append(Piece(new.add(name, node, group), factor))
    return pieces


def _reshaped(new: Rewriting, name: str, node: Reshape) -> list[Piece]:
    """Keep currents, which are reshaped one by one, apart from integers."""
    arriving = new.arriving(name)
    currents = [piece for piece in arriving if new.synapse_behind(piece.name) is not None]
    integers = [piece for piece in arriving if piece not in currents]
    return [
        *(Piece(new.add(name, node, [piece])) for piece in currents),
        *(Piece(new.add(name, node, group), factor) for factor, group in _by_factor(integers)),
    ]


def _add_product(new: Rewriting, name: str, node: Node, a: Sequence[Piece], b: Sequence[Piece]) -> str:
    copy = new.add(name, node, a, "a")
    new.connect(copy, b, "b")
    return copy


def _by_factor(pieces: Sequence[Piece]) -> list[tuple[float, list[Piece]]]:
    groups: dict[float, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.factor, []).append(piece)
    return list(groups.items())


def _scaled_weights(node: Linear | Conv | Scale, factor: float) -> Linear | Conv | Scale:
    """Scale what arrives, hence the weights; the bias stays."""
    changed = scaled(node, factor)
    return changed if isinstance(node, Scale) or isinstance(changed, Scale) else replace(changed, bias=node.bias)


def _connect(new: Rewriting, name: str, port: str, taken: dict[str, tuple[str, str]]) -> None:
    """Connect a port of a neuron or output: synapses of its own, and one synapse per neuron for bare integers."""
    node, arriving = new.graph.nodes[name], new.arriving(name, port)
    if isinstance(node, Output) or port not in WEIGHTED_PORTS:
        new.refuse_currents(name, arriving)
        if any(piece.factor != 1 for piece in arriving):
            raise ExportError(
                f"node {name}: receives scaled values at port '{port}', allowed are spikes; "
                "put a spiking neuron before it"
            )
        new.connect(name, arriving, port)
        return
    currents = [piece for piece in arriving if new.synapse_behind(piece.name) is not None]
    for piece in currents:
        new.connect(name, [replace(piece, name=_own(new, piece.name, (name, port), taken))], port)
    for factor, group in _by_factor([piece for piece in arriving if piece not in currents]):
        weight = np.full(node.shape, factor, dtype=np.float32)
        synapse = new.add(group[0].scale or name, Scale(weight=weight, shape=node.shape), group)
        new.connect(name, [Piece(synapse)], port)


def _own(new: Rewriting, source: str, user: tuple[str, str], taken: dict[str, tuple[str, str]]) -> str:
    """Return a synapse (or what reshapes its sums) that serves this neuron's port alone; scales differ by neuron."""
    chain = [source]
    while not is_synapse(new.nodes[chain[-1]]):
        (before,) = new.sources(chain[-1])
        chain.append(before.name)
    if all(taken.get(link, user) == user for link in chain):
        taken.update(dict.fromkeys(chain, user))
        return source
    copy = new.copy(chain[-1], new.sources(chain[-1]))
    for link in reversed(chain[:-1]):
        copy = new.copy(link, [replace(piece, name=copy) for piece in new.sources(link)])
    return copy
