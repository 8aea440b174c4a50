"""Offsets of moving thresholds become spikes: θ[t] = W s[t] + b gets b from a neuron that fires on every tick.

Where thresholds arrive, a chip's neuron has no field for a constant. One neuron per period, driven by a constant bias
alone, fires always; its synapses carry b in two parts, so that b is as fine as a constant threshold: the first in the
mantissas of one synapse layer, what that leaves over in those of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hardware_profiles.arithmetic import IntegerFormat

from ..graph import Edge, Graph
from ..nodes import NEURONS, Input, Linear, Node, Reshape, Threshold, WindowSum
from .composition import bias_of, without_bias
from .quantize_weights import scaled_to_integers
from .scale import largest_mantissa_bits


def drive_offsets(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Move every bias at a moving threshold into the synapses of neurons that always fire; float in and out.

    The graph is one that `fold_scales` returned: each port has synapses of its own.
    """
    moving = [name for name, node in graph.of_type(NEURONS).items() if "threshold" in node.ports]
    offsets = {name: found for name in moving if (found := _offsets(graph, name))}
    if not offsets:
        return graph
    stripped = {synapse: without_bias(graph.nodes[synapse]) for found in offsets.values() for synapse in found}
    always: dict[int, str] = {}
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    for name, found in offsets.items():
        period = graph.period[name]
        if period not in always:
            always[period], made, links = _always(graph, period)
            nodes |= made
            edges += links
        for delay in sorted({late for late, _ in found.values()}):
            total = sum((bias for late, bias in found.values() if late == delay), np.zeros(graph.nodes[name].shape))
            for part, weight in enumerate(_parts(total, fmt)):
                synapse = _free(graph.nodes, f"{name} offset {delay}.{part}")
                made, links = _constant(synapse, weight, always[period], name, delay)
                nodes |= made
                edges += links
    return replace(graph.with_nodes(stripped | nodes), edges=(*graph.edges, *edges))


def _offsets(graph: Graph, name: str) -> dict[str, tuple[int, npt.NDArray[np.float64]]]:
    """Return the synapses with a bias at a neuron's threshold: steps that it comes late, and its values."""
    found = {}
    for edge in graph.incoming(name, "threshold"):
        source, delay = edge.source, edge.delay
        while isinstance(graph.nodes[source], Reshape):
            (before,) = graph.incoming(source)
            source, delay = before.source, delay + before.delay
        bias = bias_of(graph.nodes[source])
        if bias is not None:
            found[source] = delay, bias.reshape(graph.nodes[name].shape).astype(np.float64)
    return found


def _always(graph: Graph, period: int) -> tuple[str, dict[str, Node], list[Edge]]:
    """Make the neuron that fires on every tick of a period: its drive is 1 whatever arrives, its threshold 1/2.

    What arrives comes from an input or window: a stage begins with one, so nothing of it can close a loop.
    """
    name = _free(graph.nodes, "always" if period == 1 else f"always.{period}")
    starts = graph.of_type((Input, WindowSum)).items()
    source, outside = next((start, node) for start, node in starts if graph.period[start] == period)
    flat = Reshape(input_shape=outside.shape, shape=(outside.size,))
    drive = Linear(weight=np.zeros((1, outside.size), dtype=np.float32), bias=np.ones(1, dtype=np.float32))
    neuron = Threshold(threshold=np.full(1, 0.5, dtype=np.float32))
    nodes: dict[str, Node] = {f"{name} input": flat, f"{name} drive": drive, name: neuron}
    names = [source, *nodes]
    return name, nodes, [Edge(before, after) for before, after in pairwise(names)]


def _parts(offset: npt.NDArray[np.float64], fmt: IntegerFormat) -> Iterable[npt.NDArray[np.float32]]:
    """Split an offset into what mantissas of its own size hold, and the rest."""
    bits = largest_mantissa_bits(offset.astype(np.float32), fmt)
    coarse = np.ldexp(scaled_to_integers(offset, bits).astype(np.float64), -bits)
    return [part.astype(np.float32) for part in (coarse, offset - coarse) if part.any()]


def _constant(
    name: str, weight: npt.NDArray[np.float32], always: str, neuron: str, delay: int
) -> tuple[dict[str, Node], list[Edge]]:
    """Make a synapse layer from the neuron that always fires to a neuron's threshold."""
    nodes: dict[str, Node] = {name: Linear(weight=weight.reshape(-1, 1))}
    edges, last = [Edge(always, name)], name
    if weight.ndim != 1:
        last = f"{name} shape"
        nodes[last] = Reshape(input_shape=(weight.size,), shape=weight.shape)
        edges.append(Edge(name, last))
    return nodes, [*edges, Edge(last, neuron, "threshold", delay)]


def _free(taken: Mapping[str, Node], name: str) -> str:
    """Return a name that no node has or begins with: what belongs to the new node is called after it."""
    while any(f"{other} ".startswith(f"{name} ") for other in taken):
        name += "_"
    return name
