"""All passes on random networks: on dyadic numbers nothing may change, in the float world or as integers."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import torch

from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import NEURONS, Conv, IntegerConv, IntegerLinear, IntegerScale, Linear, Norm, Pool, Reshape, Scale
from export.passes.balance_latency import balance_latency
from export.pipeline import fold, lower
from export.trace import Trace
from export.verify import verify
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format

from .random_float_graphs import random_float_graph
from .random_integer_graphs import random_inputs

FMT = integer_format()
NUM_GRAPHS = 2000 if os.environ.get("AXONPORT_FULL") else 250
NUM_STEPS = 6  # so few that halved membranes are still exact in integers


def assert_equal(left: Trace, right: Trace, seed: int, *, membranes: bool) -> None:
    assert set(right) - set(left) <= {"always"} and set(left) <= set(right)  # drives the offsets of thresholds
    for name, layer in left.items():
        assert np.array_equal(layer.s, right[name].s), (seed, name)
        v = right[name].v
        if membranes and layer.v is not None:
            assert v is not None and np.array_equal(layer.v, v), (seed, name)


def assert_folded(graph: Graph) -> None:
    """Between spikes and weights there are integers; nothing follows a weight but a neuron."""
    verify(graph, "float")
    assert not graph.of_type(Norm)
    assert all(pool.kind == "sum" for pool in graph.of_type(Pool).values())
    for name in graph.of_type((Linear, Conv, Scale)):
        (edge,) = graph.outgoing(name)
        while isinstance(graph.nodes[edge.target], Reshape):
            (edge,) = graph.outgoing(edge.target)
        assert isinstance(graph.nodes[edge.target], NEURONS)


def is_rounded(folded: Graph, integer: Graph) -> bool:
    """Whether some weight has more bits than a mantissa: then spikes may differ."""
    for name, node in folded.of_type((Linear, Conv, Scale)).items():
        mantissas = integer.nodes[name].weight_int8
        weight = np.broadcast_to(node.weight, mantissas.shape).astype(np.float64)
        ratio = mantissas[weight != 0] / weight[weight != 0]
        if mantissas[weight == 0].any() or np.unique(ratio).size > 1:
            return True
    return False


def test_nothing_changes_on_dyadic_numbers() -> None:
    seen: Counter[str] = Counter()
    for seed in range(NUM_GRAPHS):
        graph = random_float_graph(seed)
        inputs = random_inputs(graph, seed, num_steps=NUM_STEPS)
        expected = run_float(graph, inputs, dtype=torch.float64).trace
        folded = fold(graph, FMT)
        assert_folded(folded)
        assert_equal(expected, run_float(folded, inputs, dtype=torch.float64).trace, seed, membranes=True)
        try:
            integer = lower(graph, FMT)
        except RangeError:
            seen["refused"] += 1
            continue
        if is_rounded(folded, integer):
            seen["rounded"] += 1
            continue
        given = run_integer(integer, inputs)
        if any(layer.saturations for layer in given.values()):  # the chip's membranes end where a float goes on
            seen["saturated"] += 1
            continue
        assert_equal(expected, given, seed, membranes=False)
        assert_equal(given, run_integer(balance_latency(integer), inputs), seed, membranes=True)
        seen["offsets"] += "always" in given
        for name, layer in ((name, layer) for name, layer in given.items() if name in graph.nodes):
            seen[f"{type(graph.nodes[name]).__name__}: spikes"] += int(layer.s.sum())
            seen[f"{type(graph.nodes[name]).__name__}: silence"] += int((layer.s == 0).sum())
        seen.update(type(node).__name__ for node in integer.nodes.values())
    for kind in ("LIF", "CubaLIF", "AlphaLIF", "Threshold", "DynamicThresholdLIF"):
        assert min(seen[f"{kind}: spikes"], seen[f"{kind}: silence"]) > 300, seen
    assert seen["offsets"] > 5, seen
    for node in (IntegerLinear, IntegerConv, IntegerScale):
        assert seen[node.__name__] > 50, seen
    assert seen["refused"] + seen["rounded"] + seen["saturated"] < NUM_GRAPHS / 5, seen
