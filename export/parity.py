"""Two worlds compared, per layer and per step; `hardware_profiles.rungs` says what each class of equality claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch

from hardware_profiles.rungs import LayerParity, Rung

from .graph import Graph
from .interpreters.float_interpreter import run_float
from .trace import Array, LayerTrace, Trace


def compare_exact(name: str, left: str, right: str, left_trace: Trace, right_trace: Trace) -> Rung:
    """Compare two worlds that must be equal: spikes, and membranes and thresholds where both record them."""
    layers = tuple(
        _layer_parity(node, left_trace[node], right_trace[node], membranes=True)
        for node in _common(left_trace, right_trace)
    )
    return Rung(name=name, left=left, right=right, exactness="exact", layers=layers)


def compare_bounded(
    name: str, left: str, right: str, left_trace: Trace, right_trace: Trace, graph: Graph, inputs: Mapping[str, Array]
) -> Rung:
    """Compare two float worlds of `graph` that may round differently.

    Each world's decisions are checked against the yardstick under its own spike history.
    """
    common = _common(left_trace, right_trace)
    unexplained = [count_unexplained(graph, inputs, trace) for trace in (left_trace, right_trace)]
    layers = tuple(
        dataclasses.replace(
            _layer_parity(node, left_trace[node], right_trace[node], membranes=False),
            unexplained=sum(counts[node] for counts in unexplained),
        )
        for node in common
    )
    return Rung(name=name, left=left, right=right, exactness="bounded", layers=layers)


def compare_quantised(name: str, left: str, right: str, left_trace: Trace, right_trace: Trace) -> Rung:
    """State how far an integer world departs from a float world: spikes that differ and rates."""
    layers = []
    for node in _common(left_trace, right_trace):
        parity = _layer_parity(node, left_trace[node], right_trace[node], membranes=False)
        left_rate, right_rate = left_trace[node].s.mean(), right_trace[node].s.mean()
        note = f"rate {left_rate:.4f} → {right_rate:.4f} spikes per neuron and step"
        layers.append(dataclasses.replace(parity, note=note))
    return Rung(name=name, left=left, right=right, exactness="quantised", layers=tuple(layers))


def count_unexplained(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> dict[str, int]:
    """Count, per layer, decisions that rounding cannot explain.

    A decision of `trace` may differ from the float64 yardstick under the same history only where
    |U − θ| is at most the rounding bound of that neuron and step.
    """
    forced = {name: layer for name, layer in trace.items() if name in graph.nodes}
    run = run_float(graph, inputs, dtype=torch.float64, forced=forced, with_bound=True)
    return {
        node: int(((run.trace[node].s != forced[node].s) & (np.abs(run.margin[node]) > run.rounding_bound[node])).sum())
        for node in forced
    }


def _common(left: Trace, right: Trace) -> list[str]:
    """Return the layers of both worlds; gates that the reader made of products are no modules of snnTorch's."""
    common = [name for name in left if name in right]
    assert common and len(common) == min(len(left), len(right)), "one world's layers are a part of the other's"
    return common


def _layer_parity(name: str, left: LayerTrace, right: LayerTrace, membranes: bool) -> LayerParity:
    assert left.s.shape == right.s.shape, f"{name}: {left.s.shape} against {right.s.shape}"
    spikes_per_neuron = left.s.sum(axis=(0, 1), dtype=np.int64)
    return LayerParity(
        name=name,
        compared=int(left.s.size),
        mismatches=int((left.s != right.s).sum()),
        membrane_mismatches=_state_mismatches(left, right) if membranes else None,
        unexplained=None,
        spikes=int(spikes_per_neuron.sum()),
        silent_neurons=int((spikes_per_neuron == 0).sum()),
        num_neurons=int(left.s.shape[2]),
    )


def _state_mismatches(left: LayerTrace, right: LayerTrace) -> int | None:
    assert (left.v is None) == (right.v is None), "both worlds record membranes, or neither"
    # snnTorch keeps θ inside its module; the other world's is proven by the spikes that it decides
    assert left.theta is None or right.theta is not None, "θ is recorded from the left world on"
    counts = []
    for a, b in ((left.v, right.v), (left.theta, right.theta)):
        if a is not None and b is not None:
            counts.append(int((a != b).sum()))
    return sum(counts) if counts else None
