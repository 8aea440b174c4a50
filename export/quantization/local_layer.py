"""One neuron layer cut out of its network, driven by recorded spikes: what it does without the errors before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..graph import Graph
from ..nodes import NEURONS, Input, Node
from ..trace import Array, Trace, on_ticks


def cut_out(graph: Graph, name: str) -> Graph:
    """Return the graph of one neuron layer: its synapses and all that lies between it and other neurons.

    The neurons that drive it become inputs of their own names and periods; loops through the layer alone stay.
    """
    nodes: dict[str, Node] = {}
    waiting = [name]
    for found in waiting:  # grows while it is walked
        node = graph.nodes[found]
        is_outside = isinstance(node, NEURONS) and found != name
        nodes[found] = Input(shape=node.shape, period=graph.period[found]) if is_outside else node
        if not is_outside:
            sources = {source for port in node.ports for source in graph.sources(found, port)}
            waiting += sorted(sources - set(waiting))
    inside = {found for found, node in nodes.items() if not isinstance(node, Input)}
    edges = tuple(edge for edge in graph.edges if edge.target in inside)
    ordered = {found: nodes[found] for found in graph.nodes if found in nodes}
    return replace(graph, nodes=ordered, edges=edges)


def recorded_inputs(local: Graph, inputs: Mapping[str, Array], trace: Trace) -> dict[str, Array]:
    """Return what drives a layer that was cut out: the network's inputs, and spikes that were recorded.

    A neuron that the trace lacks is one of `passes.drive_offsets`, which fires on every tick.
    """
    num_steps, batch = next(iter(trace.values())).s.shape[:2]
    driven = {}
    for name, node in local.inputs().items():
        always = on_ticks([np.ones((batch, node.size), dtype=np.uint8)] * (num_steps // node.period), node.period)
        driven[name] = inputs[name] if name in inputs else trace[name].s if name in trace else always
    return driven
