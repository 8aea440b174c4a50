"""Membranes that Lava clipped without telling: found by replaying every tick from the recorded state before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from export.graph import Graph
from export.interpreters.integer_neurons import fire, initial_state
from export.nodes import IntegerDynamicThresholdLIF
from export.trace import Array, LayerTrace, Trace

from .layers import IntegerNeuron, neurons
from .traffic import arriving, node_values


def count_saturations(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> Trace:
    """Add the number of clipped states to a trace whose source clips silently, as Lava does.

    Args:
        graph: any dialect, model timing; floats never clip.
        inputs: name to [T, B, *shape].
        trace: of every neuron node, with membranes.
    """
    if graph.fmt is None:
        return trace
    values = node_values(graph, inputs, trace)
    return {
        name: replace(trace[name], saturations=_saturations(graph, name, node, values, trace[name]))
        for name, node in neurons(graph).items()
        if isinstance(node, IntegerNeuron)
    }


def _saturations(graph: Graph, name: str, node: IntegerNeuron, values: Mapping[str, Array], layer: LayerTrace) -> int:
    """Replay a layer: each tick starts from the recorded membrane; traces behind it follow from what arrived."""
    assert graph.fmt is not None
    num_steps, batch = layer.s.shape[:2]
    period = graph.period[name]
    total = arriving(graph, name, "input", values)
    if graph.sources(name, "recurrent"):
        total = total + arriving(graph, name, "recurrent", values)
    vth = _thresholds(graph, name, node, values, layer)
    state, num_saturated = initial_state(node, batch), 0
    for t in range(period - 1, num_steps, period):
        _, state, num_clipped = fire(node, state, total[t], vth[t], graph.fmt)
        num_saturated += num_clipped
        if layer.v is not None:
            state = (layer.v[t].astype(np.int64).reshape(batch, *node.shape), *state[1:])
    return num_saturated


def _thresholds(graph: Graph, name: str, node: IntegerNeuron, values: Mapping[str, Array], layer: LayerTrace) -> Array:
    """Return the threshold mantissas of every step, [T, B or 1, *shape]."""
    if isinstance(node, IntegerDynamicThresholdLIF):
        assert layer.theta is not None
        return (layer.theta << node.theta_shift).reshape(*layer.theta.shape, *(1 for _ in node.shape))
    if node.vth is None:
        return arriving(graph, name, "threshold", values)
    return np.broadcast_to(node.vth, (len(layer.s), 1, *node.shape))
