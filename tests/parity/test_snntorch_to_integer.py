"""The ladder from snnTorch to integers: equality where it is claimed, and proof that the claim could fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nir_file import read_nir, write_nir
from export.nodes import NEURONS
from export.parity import compare_bounded, compare_exact, compare_quantised, count_unexplained
from export.pipeline import lower
from export.reader import trace_network
from export.torch_reference import run_torch
from export.trace import LayerTrace, Trace
from hardware_profiles.profile import integer_format

from ..networks import NUM_INPUTS, make_dyadic, mixed_inputs, mixed_network


def without_theta(trace: Trace) -> Trace:
    return {name: LayerTrace(s=layer.s, v=layer.v) for name, layer in trace.items()}


@pytest.mark.parametrize("seed", range(6))
def test_snntorch_equals_float_interpreter_on_trained_weights(seed: int, tmp_path: Path) -> None:
    network, inputs = mixed_network(seed), mixed_inputs(num_steps=100, seed=seed)
    traced = trace_network(network)
    write_nir(traced.graph, tmp_path / "model.nir")
    graph = read_nir(tmp_path / "model.nir")
    rung = compare_exact("", "", "", run_torch(network, traced, inputs), without_theta(run_float(graph, inputs).trace))
    assert rung.holds
    for layer in rung.layers:
        assert layer.mismatches == 0 and layer.membrane_mismatches == 0
        assert layer.spikes > 50, "silence would make equality worthless"
        assert layer.spikes < layer.compared, "so would constant firing"


def test_some_neurons_stay_silent() -> None:
    inputs = mixed_inputs()
    trace = run_float(trace_network(mixed_network()).graph, inputs).trace
    assert any((layer.s.sum(axis=(0, 1)) == 0).any() for layer in trace.values())


def test_dyadic_weights_are_equal_even_in_float64() -> None:
    network, inputs = make_dyadic(mixed_network()), mixed_inputs(num_steps=20)
    graph = trace_network(network).graph
    single, double = (run_float(graph, inputs, dtype=dtype).trace for dtype in (torch.float32, torch.float64))
    for name in single:
        assert np.array_equal(single[name].s, double[name].s)
        assert single[name].s.any() and not single[name].s.all()


def test_rounding_worlds_are_bounded_and_explained() -> None:
    network, inputs = mixed_network(3), mixed_inputs(num_steps=100)
    graph = trace_network(network).graph
    left = run_float(graph, inputs).trace
    right = run_float(graph, inputs, dtype=torch.float64).trace
    rung = compare_bounded("", "", "", left, right, graph, inputs)
    assert rung.holds and all(layer.unexplained == 0 for layer in rung.layers)


def test_a_wrong_spike_is_not_explained_by_rounding() -> None:
    inputs = mixed_inputs()
    graph = trace_network(mixed_network()).graph
    run = run_float(graph, inputs)
    spikes = run.trace["lif3"].s.copy()
    index = np.unravel_index(np.abs(run.margin["lif3"]).argmax(), spikes.shape)
    spikes[index] ^= 1
    forged = {**run.trace, "lif3": LayerTrace(s=spikes, v=run.trace["lif3"].v)}
    assert count_unexplained(graph, inputs, forged)["lif3"] == 1


def test_a_changed_threshold_is_noticed() -> None:
    network, inputs = mixed_network(), mixed_inputs()
    traced = trace_network(network)
    with torch.no_grad():
        network.lif2.threshold *= 1.01
    rung = compare_exact(
        "", "", "", run_torch(network, traced, inputs), without_theta(run_float(traced.graph, inputs).trace)
    )
    assert not rung.holds


def test_integers_stay_close_and_thresholds_move() -> None:
    inputs = mixed_inputs(num_steps=100)
    graph = trace_network(mixed_network()).graph
    float_trace = run_float(graph, inputs).trace
    integer_trace = run_integer(lower(graph, integer_format()), inputs)
    rung = compare_quantised("", "", "", float_trace, integer_trace)
    for layer in rung.layers:
        rate_change = (
            abs(float_trace[layer.name].s.mean() - integer_trace[layer.name].s.mean())
            / float_trace[layer.name].s.mean()
        )
        assert rate_change < 0.1, f"{layer.name}: {layer.note}"
    theta = integer_trace["lif1"].theta
    assert theta is not None
    assert np.ptp(theta, axis=0).min() > 0, "θ varies over time in every sample"
    assert np.ptp(theta, axis=1).min() > 0, "θ varies over samples in every step"
    # the first layer sees the same spikes in both worlds, so its thresholds are the same integers
    assert np.array_equal(theta, float_trace["lif1"].theta)


def test_freezing_the_threshold_changes_spikes() -> None:
    inputs = mixed_inputs()
    network = mixed_network()
    moving = run_float(trace_network(network).graph, inputs).trace["lif1"].s
    block = network.lif1.threshold_block
    with torch.no_grad():
        for weight in (block.weight_count, block.weight_deviation, block.weight_context, block.bias):
            weight.zero_()
    frozen = run_float(trace_network(network).graph, inputs).trace["lif1"]
    assert frozen.theta is not None and np.ptp(frozen.theta) == 0
    assert (moving != frozen.s).sum() > 100


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("init_hidden", [True, False])
def test_every_reset_and_state_style(reset: str, init_hidden: bool) -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = (
                nn.Linear(NUM_INPUTS, 20),
                snn.Leaky(0.9, reset_mechanism=reset, init_hidden=init_hidden, learn_threshold=True),
            )

        def forward(self, x: torch.Tensor, mem: torch.Tensor | None = None) -> object:
            return self.lif(self.fc(x)) if init_hidden else self.lif(self.fc(x), mem)

    torch.manual_seed(1)
    network = Step().eval()
    with torch.no_grad():
        network.fc.weight *= 3
    inputs = {"x": mixed_inputs(num_steps=120)["x"]}
    traced = trace_network(network)
    rung = compare_exact("", "", "", run_torch(network, traced, inputs), run_float(traced.graph, inputs).trace)
    assert rung.holds and rung.layers[0].spikes > 100
    assert list(traced.graph.of_type(NEURONS)) == ["lif"]
