"""What both granularities and the counts ask of a graph: its layers, what feeds them, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable

from export.graph import Graph
from export.nodes import (
    LI,
    LIF,
    NEURONS,
    AlphaLIF,
    CubaLIF,
    DynamicThresholdLIF,
    Input,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerThreshold,
    Node,
    Output,
    Reshape,
    Threshold,
)

FloatNeuron = LIF | CubaLIF | AlphaLIF | Threshold | DynamicThresholdLIF
IntegerNeuron = IntegerLIF | IntegerCubaLIF | IntegerAlphaLIF | IntegerThreshold | IntegerDynamicThresholdLIF
Neuron = FloatNeuron | IntegerNeuron
CURRENT_PORTS = ("input", "recurrent", "threshold")
"""Ports at which synapses end."""
COUNTED_PORT = "population"
"""The port at which spikes are counted for a moving threshold."""


def neurons(graph: Graph) -> dict[str, Neuron]:
    """Return the spiking nodes in the order of computation."""
    return graph.of_type(NEURONS)


def sends_by_itself(node: Node) -> bool:
    """Tell whether a node's values are messages of its own (spikes, membranes, inputs), not sums on their way."""
    return isinstance(node, (*NEURONS, LI, Input))


def on_the_way(graph: Graph, layer: str, ports: Iterable[str] = CURRENT_PORTS) -> tuple[str, ...]:
    """Return the nodes between the senders before a neuron layer and its ports, in the order of computation."""
    waiting = [source for port in ports for source in graph.sources(layer, port)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found and not sends_by_itself(graph.nodes[name]):
            found.add(name)
            waiting += [source for port in graph.nodes[name].ports for source in graph.sources(name, port)]
    return tuple(name for name in graph.order if name in found)


def sends_messages(graph: Graph, name: str) -> bool:
    """Tell whether a node's values travel to further synapses, instead of ending in neurons as currents."""
    waiting, seen = [name], set()
    while waiting:
        for edge in graph.outgoing(waiting.pop()):
            target = graph.nodes[edge.target]
            if isinstance(target, Reshape) and edge.target not in seen:
                seen.add(edge.target)
                waiting.append(edge.target)
            elif not isinstance(target, (*NEURONS, LI, Output, Reshape)):
                return True
    return False


def controller_name(neuron: str) -> str:
    """Return the name of the layer that counts for the threshold of `neuron`."""
    return f"{neuron}.threshold"
