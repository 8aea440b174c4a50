"""Event counts of a run, plainly from what went in and what every neuron did; and what a chip must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from export.graph import Graph
from export.nodes import (
    DYNAMIC,
    PRODUCTS,
    Input,
    IntegerThreshold,
    Threshold,
)
from export.ranges import carries_spikes
from export.trace import Array, Trace
from hardware_profiles import arithmetic
from hardware_profiles.activity import FORMAT, Activity, LayerActivity

from .layers import COUNTED_PORT, controller_name, neurons, sends_messages
from .preconditions import NumberFormat
from .routing import in_lava_timing
from .synapses import LayerSynapses, Traffic, layer_synapses
from .target import Granularity
from .traffic import arriving, node_values, recorded_traffic

CAPABILITY_OF_RESET = {
    "zero": "hard_reset",
    "clear": "hard_reset",
    "subtract": "subtract_reset",
    "none": "no_reset",
}


@dataclass(frozen=True, kw_only=True)
class Events:
    """What changes from run to run in a `LayerActivity`; see there.

    `synops`: Σ over the messages that arrive at each synapse of the non-zero weights in that value's column, for
    products the pairs of non-zero factors, for windows over time the messages whose weight is not zero.
    `graded_messages` of a neuron layer: those between the nodes before it.
    """

    spikes: int = 0
    graded_messages: int = 0
    synops: int = 0
    dense_synops: int = 0
    saturations: int = 0


def required_capabilities(graph: Graph) -> tuple[str, ...]:
    """Return what a chip must be able to do to run the graph, in the words of `profile.CAPABILITIES`, sorted."""
    needs = {"binary_spikes"}
    if graph.longest_period > 1:
        needs.add("held_state")
    if any(_sends_graded(graph, name) for name in graph.nodes):
        needs.add("graded_spikes")
    for node in neurons(graph).values():
        if isinstance(node, DYNAMIC):  # its controller sends the threshold as a graded value
            needs |= {"dynamic_threshold", "graded_spikes", "hard_reset"}
        elif not isinstance(node, (Threshold, IntegerThreshold)):
            needs.add(CAPABILITY_OF_RESET[node.reset])
            if "threshold" in node.ports:
                needs.add("dynamic_threshold")
    return tuple(sorted(needs))


def _sends_graded(graph: Graph, name: str) -> bool:
    """Tell whether other nodes receive messages of more than one bit from a node."""
    node = graph.nodes[name]
    if isinstance(node, PRODUCTS) or (isinstance(node, Input) and node.kind == "graded"):
        return True
    return sends_messages(graph, name) and not carries_spikes(graph, name)


def run_activity(
    graph: Graph,
    layers: tuple[LayerActivity, ...],
    *,
    number_format: NumberFormat,
    granularity: Granularity,
    num_samples: int,
    num_steps: int,
) -> Activity:
    """Return what a run did, with what its graph asks of a chip.

    Its latency is given as 0 where a loop is too short for Lava's synapses.

    Args:
        graph: what ran, "model" timing.
        layers: its event counts.
        number_format: how it computed.
        granularity: on how many Processes.
        num_samples: N.
        num_steps: T.
    """
    timed, _ = in_lava_timing(graph)
    return Activity(
        format=FORMAT,
        number_format=number_format,
        granularity=granularity,
        num_samples=num_samples,
        num_steps=num_steps,
        latency_steps=0 if timed is None else timed.total_latency,
        requires=required_capabilities(graph),
        layers=layers,
    )


def layer_activities(
    graph: Graph, events: Mapping[str, Events], num_steps: int, batch: int
) -> tuple[LayerActivity, ...]:
    """Complete event counts by what follows from the graph alone.

    Args:
        graph: any dialect.
        events: layer name to its events: every input, neuron and controller (see `controller_name`).
        num_steps: T.
        batch: number of samples.

    Returns:
        Inputs first, then neurons in the order of computation, each followed by its controller.
    """
    layers = [_input_activity(name, node, events[name]) for name, node in graph.inputs().items()]
    for name, node in neurons(graph).items():
        driving = layer_synapses(graph, name)
        num_ticks = num_steps // graph.period[name]
        layers.append(
            LayerActivity(
                name=name,
                kind="dynamic_threshold_lif" if isinstance(node, DYNAMIC) else "lif",
                num_neurons=node.size,
                num_synapses=driving.num_synapses,
                fan_in=driving.fan_in,
                updates=node.size * num_ticks * batch,
                controller_updates=0,
                **vars(events[name]),
            )
        )
        if isinstance(node, DYNAMIC):
            layers.append(_controller_activity(graph, name, node.controller, events, num_ticks * batch))
    return tuple(layers)


def _input_activity(name: str, node: Input, events: Events) -> LayerActivity:
    return LayerActivity(
        name=name,
        kind="input",
        num_neurons=node.size,
        num_synapses=0,
        fan_in=0,
        updates=0,
        controller_updates=0,
        **vars(events),
    )


def _controller_activity(
    graph: Graph,
    neuron: str,
    controller: arithmetic.ThresholdController,
    events: Mapping[str, Events],
    num_updates: int,
) -> LayerActivity:
    """Its synapses are the ones that count: one per neuron of the population, into the neuron's group."""
    counting = layer_synapses(graph, neuron, (COUNTED_PORT,))
    return LayerActivity(
        name=controller_name(neuron),
        kind="threshold_controller",
        num_neurons=controller.num_groups,
        num_synapses=counting.num_synapses,
        fan_in=counting.fan_in,
        updates=controller.num_groups * num_updates,
        controller_updates=num_updates,
        **vars(events[controller_name(neuron)]),
    )


def count_events(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> tuple[LayerActivity, ...]:
    """Count the events of a recorded run.

    Args:
        graph: any dialect, model timing.
        inputs: name to [T, B, *shape].
        trace: of every neuron node.
    """
    values = node_values(graph, inputs, trace)
    traffic = recorded_traffic(graph, values)
    events = {name: input_events(node, traffic.sent[name]) for name, node in graph.inputs().items()}
    for name, node in neurons(graph).items():
        events[name] = neuron_events(layer_synapses(graph, name), traffic, traffic.sent[name], trace[name].saturations)
        if isinstance(node, DYNAMIC):
            counts = node.controller.group_counts(arriving(graph, name, COUNTED_PORT, values).astype(np.int64))
            events[controller_name(name)] = controller_events(graph, name, traffic, int(np.count_nonzero(counts)))
    num_steps, batch = next(iter(values.values())).shape[:2]
    return layer_activities(graph, events, num_steps, batch)


def input_events(node: Input, num_nonzero: int) -> Events:
    """Return the events of an input that sent so many values other than zero."""
    return Events(spikes=num_nonzero) if node.kind == "spike" else Events(graded_messages=num_nonzero)


def neuron_events(driving: LayerSynapses, traffic: Traffic, num_spikes: int, num_saturations: int) -> Events:
    """Return the events of a neuron layer and of everything between it and the senders before it."""
    synops, dense_synops = driving.synops(traffic)
    return Events(
        spikes=num_spikes,
        graded_messages=driving.graded_messages(traffic),
        synops=synops,
        dense_synops=dense_synops,
        saturations=num_saturations,
    )


def controller_events(graph: Graph, neuron: str, traffic: Traffic, num_group_messages: int) -> Events:
    """Return the events of a threshold controller that received so many group counts other than zero."""
    synops, dense_synops = layer_synapses(graph, neuron, (COUNTED_PORT,)).synops(traffic)
    num_context_messages = sum(int(traffic.arrived[edge].sum()) for edge in graph.incoming(neuron, "context"))
    return Events(graded_messages=num_group_messages + num_context_messages, synops=synops, dense_synops=dense_synops)
