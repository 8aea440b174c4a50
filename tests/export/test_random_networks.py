"""Random networks that mix all layers, neurons and connections: the graph equals snnTorch, and so does what follows."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import HealthCheck, given, settings

from export.interpreters.float_interpreter import run_float
from export.nodes import Input
from export.parity import count_unexplained
from export.reader import trace_network
from export.torch_reference import run_torch

from .carried import assert_equal, spikes
from .random_networks import Outline, RandomNetwork, outlines

EXAMPLES = 600 if os.environ.get("AXONPORT_FULL") else 60
STEPS, BATCH = 100, 2
slow = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
SEEN = {"spikes": 0, "silent": 0, "compared": 0}


@slow
@given(outlines)
def test_random_networks_are_carried(outline: Outline) -> None:
    network = RandomNetwork(outline).eval()
    inputs = {"x": spikes(*network.input_shape, steps=STEPS, batch=BATCH, seed=outline.seed)}
    traced = trace_network(network, inputs={"x": Input(shape=network.input_shape)})
    expected = run_torch(network, traced, inputs)
    assert_equal(expected, run_float(traced.graph, inputs).trace)
    assert not any(count_unexplained(traced.graph, inputs, expected).values())
    for layer in expected.values():
        per_neuron = layer.s.sum(axis=(0, 1), dtype=np.int64)
        SEEN["spikes"] += int(per_neuron.sum())
        SEEN["silent"] += int((per_neuron == 0).sum())
        SEEN["compared"] += layer.s.size


def test_the_random_networks_spike_and_some_neurons_are_silent() -> None:
    assert SEEN["compared"] > 0.1 * SEEN["spikes"] > 0 and SEEN["silent"] > 0
    assert 0.01 < SEEN["spikes"] / SEEN["compared"] < 0.9
