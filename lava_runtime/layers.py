"""What both granularities and the counts ask of a graph: its neurons, its synapses, and the names of its layers."""

from __future__ import annotations

from export.graph import Graph
from export.nodes import (
    LIF,
    NEURONS,
    SYNAPSES,
    DynamicThresholdLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    Linear,
)
from export.trace import Array

Neuron = LIF | DynamicThresholdLIF | IntegerLIF | IntegerDynamicThresholdLIF
Synapse = Linear | IntegerLinear


def neurons(graph: Graph) -> dict[str, Neuron]:
    """Return the neuron nodes in the order of computation."""
    return {name: node for name in graph.order if isinstance(node := graph.nodes[name], NEURONS)}


def synapses(graph: Graph) -> dict[str, Synapse]:
    """Return the synapse nodes in the order of computation."""
    return {name: node for name in graph.order if isinstance(node := graph.nodes[name], SYNAPSES)}


def synapse_weight(graph: Graph, neuron: str) -> Array:
    """Return the weights [n, fan_in] that drive a neuron node."""
    synapse = synapses(graph)[graph.driving_synapse(neuron)]
    return synapse.weight if isinstance(synapse, Linear) else synapse.weight_int8


def presynaptic(graph: Graph, neuron: str) -> str:
    """Return the node whose spikes a neuron node receives through its synapses."""
    (source,) = graph.sources(graph.driving_synapse(neuron))
    return source


def controller_name(neuron: str) -> str:
    """Return the name of the layer that counts for the threshold of `neuron`."""
    return f"{neuron}.threshold"
