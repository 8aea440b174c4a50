"""Weights directly after weights become one synapse: a chip multiplies once between two neurons.

Linear after Linear, a normalisation's Scale after a convolution, pooling of currents, a slice of a projection. What
remains is, at every neuron, a sum of synapses (each reshaped at most) and of integer values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hardware_profiles.arithmetic import IntegerFormat

from ..errors import ExportError
from ..graph import Graph
from ..nodes import NEURONS, Conv, Gather, Linear, Node, Norm, Output, Pool, Reduce, Reshape, Scale, Shape
from .composition import (
    as_convolution,
    bias_of,
    compose_alike,
    compose_dense,
    input_shape,
    num_dense_weights,
    without_bias,
)
from .rewriting import Piece, Rewriting, Synapse

MAX_DENSE_WEIGHTS = 1 << 24
"""A pair of maps that only a full matrix can join may have so many weights: 64 MiB of float32."""
LINEAR_MAPS = (Linear, Conv, Scale, Norm, Pool, Gather, Reshape, Reduce)


def compose_linear(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Join every synapse with the linear maps behind it; float dialect in and out.

    Raises:
        ExportError: a pair is too large to be joined, or currents meet where only spikes may.
    """
    new = Rewriting(graph)
    for name in new.order():
        node = graph.nodes[name]
        if isinstance(node, LINEAR_MAPS):
            new.pieces[name] = tuple(_linear_pieces(new, name, node))
        else:
            for port in node.ports:
                new.refuse_currents(name, new.arriving(name, port))
            copy = new.add(name, node, ())
            for port in node.ports:
                new.connect(copy, new.arriving(name, port), port)
            new.pieces[name] = (Piece(copy),)
    for name, node in graph.nodes.items():
        if isinstance(node, (Output, *NEURONS)):
            if isinstance(node, Output):
                new.add(name, node, ())
            for port in node.ports:
                new.connect(name, new.arriving(name, port), port)
    return new.finish()


def _linear_pieces(new: Rewriting, name: str, node: Node) -> list[Piece]:
    """Split a linear map: one copy for all integer values that arrive, one composite per synapse; bias counts once."""
    arriving = new.arriving(name)
    then = as_convolution(node) if isinstance(node, Norm) else node
    plain = [piece for piece in arriving if new.synapse_behind(piece.name) is None]
    pieces = []
    if plain:
        taken = _reshaped(new, name, plain, node.shape, input_shape(then)) if then is not node else plain
        copy = Piece(new.add(name, then, taken))
        pieces += _reshaped(new, name, [copy], then.shape, node.shape)
    for piece in arriving:
        if piece not in plain:
            pieces += _behind(new, name, without_bias(then) if pieces else then, node.shape, piece)
    return pieces


def _behind(new: Rewriting, name: str, then: Node, shape: Shape, piece: Piece) -> list[Piece]:
    """Add `then` after the synapse that sends `piece`; what leaves has the given shape."""
    root = new.synapse_behind(piece.name)
    assert root is not None
    first = new.nodes[root]
    assert isinstance(first, (Linear, Conv, Scale))
    if piece.delay and bias_of(first) is not None:
        raise ExportError(
            f"node {root}: its bias arrives {piece.delay} steps late at {name}, allowed is a constant bias; "
            "delay the connection before the layer instead"
        )
    if isinstance(then, Reshape):
        return [Piece(new.add(name, then, [piece]))]
    sources = [replace(source, delay=source.delay + piece.delay) for source in new.sources(root)]
    composite = compose_alike(first, then)
    if composite is None:
        _check_dense(root, name, first, then)
        flat = (math.prod(input_shape(first)),)
        sources = _reshaped(new, name, sources, input_shape(first), flat)
        composite = compose_dense(first, then)
    return _reshaped(new, name, [Piece(new.add(name, composite, sources))], composite.shape, shape)


def _reshaped(new: Rewriting, name: str, pieces: Sequence[Piece], before: Shape, after: Shape) -> list[Piece]:
    """Return the pieces' sum in another shape, or the pieces themselves where they have it."""
    if before == after:
        return list(pieces)
    return [Piece(new.add(name, Reshape(input_shape=before, shape=after), pieces))]


def _check_dense(root: str, name: str, first: Synapse, node: Node) -> None:
    num_weights = num_dense_weights(first, node)
    if num_weights > max(MAX_DENSE_WEIGHTS, first.weight.size):
        raise ExportError(
            f"node {name}: {type(node).__name__} follows {type(first).__name__} {root} without a neuron between, and "
            f"as one layer they need {num_weights} weights, allowed are {MAX_DENSE_WEIGHTS}; put a neuron between them"
        )
