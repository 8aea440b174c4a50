"""Event counts of a run, plainly from what went in and what every neuron did; and what a chip must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from export.graph import Graph
from export.nodes import (
    DYNAMIC,
    LIF,
    DynamicThresholdLIF,
    Input,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
)
from export.trace import Array, LayerTrace, Trace
from hardware_profiles import arithmetic
from hardware_profiles.activity import LayerActivity

from .layers import controller_name, neurons, presynaptic, synapse_weight

CAPABILITY_OF_RESET = {"zero": "hard_reset", "subtract": "subtract_reset", "none": "no_reset"}


@dataclass(frozen=True, kw_only=True)
class Events:
    """What changes from run to run in a `LayerActivity`; see there."""

    spikes: int = 0
    graded_messages: int = 0
    synops: int = 0
    dense_synops: int = 0
    saturations: int = 0


def required_capabilities(graph: Graph) -> tuple[str, ...]:
    """Return what a chip must be able to do to run the graph, in the words of `profile.CAPABILITIES`, sorted."""
    needs = {"binary_spikes"}
    if any(node.kind == "graded" for node in graph.inputs().values()):
        needs.add("graded_spikes")
    for node in neurons(graph).values():
        if isinstance(node, (LIF, IntegerLIF)):
            needs.add(CAPABILITY_OF_RESET[node.reset])
        else:  # its controller sends the threshold as a graded value
            needs |= {"dynamic_threshold", "graded_spikes", "hard_reset"}
    return tuple(sorted(needs))


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
        weight = synapse_weight(graph, name)
        layers.append(
            LayerActivity(
                name=name,
                kind="dynamic_threshold_lif" if isinstance(node, DYNAMIC) else "lif",
                num_neurons=node.size,
                num_synapses=int(np.count_nonzero(weight)),
                fan_in=int(weight.shape[1]),
                updates=node.size * num_steps * batch,
                controller_updates=0,
                **vars(events[name]),
            )
        )
        if isinstance(node, DYNAMIC):
            layers.append(_controller_activity(name, node.controller, events, num_steps * batch))
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
    neuron: str, controller: arithmetic.ThresholdController, events: Mapping[str, Events], num_updates: int
) -> LayerActivity:
    """Its synapses are the ones that count: one per neuron of the population, into the neuron's group."""
    return LayerActivity(
        name=controller_name(neuron),
        kind="threshold_controller",
        num_neurons=controller.num_groups,
        num_synapses=controller.population,
        fan_in=controller.population,
        updates=controller.num_groups * num_updates,
        controller_updates=num_updates,
        **vars(events[controller_name(neuron)]),
    )


def count_events(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> tuple[LayerActivity, ...]:
    """Count the events of a recorded run.

    Args:
        graph: any dialect.
        inputs: name to [T, B, size].
        trace: of every neuron node.
    """
    num_steps, batch = next(iter(inputs.values())).shape[:2]
    sent = {**inputs, **{name: layer.s for name, layer in trace.items()}}
    events = {name: _input_events(node, inputs[name]) for name, node in graph.inputs().items()}
    for name, node in neurons(graph).items():
        arrived = sent[presynaptic(graph, name)].astype(np.int64)
        nonzero = (synapse_weight(graph, name) != 0).astype(np.int64)
        events[name] = Events(
            spikes=int(trace[name].s.sum(dtype=np.int64)),
            synops=int((arrived @ nonzero.T).sum()),
            dense_synops=int(arrived.sum()) * node.size,
            saturations=trace[name].saturations,
        )
        if isinstance(node, DYNAMIC):
            events[controller_name(name)] = _controller_events(graph, name, node, sent)
    return layer_activities(graph, events, num_steps, batch)


def _input_events(node: Input, values: Array) -> Events:
    num_nonzero = int(np.count_nonzero(values))
    return Events(spikes=num_nonzero) if node.kind == "spike" else Events(graded_messages=num_nonzero)


def _controller_events(
    graph: Graph, name: str, node: DynamicThresholdLIF | IntegerDynamicThresholdLIF, sent: Mapping[str, Array]
) -> Events:
    (population,) = graph.sources(name, "population")
    counts = node.controller.group_counts(sent[population].astype(np.int64))
    context = sum(int(np.count_nonzero(sent[source])) for source in graph.sources(name, "context"))
    num_spikes = int(counts.sum())
    return Events(
        graded_messages=int(np.count_nonzero(counts)) + context,
        synops=num_spikes,
        dense_synops=num_spikes * node.controller.num_groups,
    )


def count_saturations(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> Trace:
    """Add the number of clipped membranes to a trace whose source clips silently, as Lava does.

    The membrane before the clip follows from the recorded membrane of the step before and the recorded spikes.
    """
    if graph.fmt is None:
        return trace
    sent = {**inputs, **{name: layer.s for name, layer in trace.items()}}
    return {
        name: replace(layer, saturations=_saturations(graph, name, sent, layer, graph.fmt))
        for name, layer in trace.items()
    }


def _saturations(
    graph: Graph, name: str, sent: Mapping[str, Array], layer: LayerTrace, fmt: arithmetic.IntegerFormat
) -> int:
    node, synapse = graph.nodes[name], graph.nodes[graph.driving_synapse(name)]
    assert isinstance(node, (IntegerLIF, IntegerDynamicThresholdLIF)) and isinstance(synapse, IntegerLinear)
    arrived = sent[presynaptic(graph, name)]
    bias = node.bias_mant << node.bias_exp
    num_saturated, v, s = 0, np.zeros(layer.s.shape[1:], dtype=np.int64), np.zeros(layer.s.shape[1:], dtype=np.int64)
    assert layer.v is not None
    for t in range(len(layer.s)):
        arriving = arithmetic.shift(arrived[t].astype(np.int64) @ synapse.weight_int8.T, synapse.weight_exp)
        u = arithmetic.integrate(v, arriving, node.dv, bias, fmt)
        if isinstance(node, IntegerLIF) and node.reset == "subtract":
            u = u - s * (node.vth << fmt.state_shift)
        num_saturated += int((np.abs(u) > fmt.state_max).sum())
        v, s = layer.v[t].astype(np.int64), layer.s[t].astype(np.int64)
    return num_saturated
