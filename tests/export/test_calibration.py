from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import LIF, CubaLIF, Input, Output, Reshape
from export.passes.scale import ScaleChoice
from export.pipeline import lower
from export.quantization.calibration import calibrate, count_differences
from export.quantization.local_layer import cut_out, recorded_inputs
from export.verify import verify
from hardware_profiles.profile import integer_format

from .passes.graphs import conv, full, graph_of, linear

FMT = integer_format()


def network(seed: int = 0, *, outlier: float = 8.0) -> Graph:
    """A convolution, a recurrent layer and a synaptic one; one weight per layer is far larger than the others."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int, gain: float) -> np.ndarray:
        drawn = rng.normal(0, gain, shape).astype(np.float32)
        drawn.flat[0] = outlier or drawn.flat[0]
        return drawn

    first = conv(weights(2, 1, 3, 3, gain=0.4), (1, 8, 8), rng.normal(0, 0.05, 2), stride=(2, 2))
    nodes = {
        "x": Input(shape=(1, 8, 8)),
        "conv": first,
        "lif1": LIF(beta=full(first.shape, 0.93), threshold=full(first.shape, 1), reset="subtract"),
        "flat": Reshape(input_shape=first.shape, shape=(18,)),
        "fc2": linear(weights(20, 18, gain=0.5), rng.normal(0, 0.1, 20)),
        "rec2": linear(weights(20, 20, gain=0.1)),
        "lif2": LIF(beta=full((20,), 0.87), threshold=full((20,), 1), reset="subtract"),
        "fc3": linear(weights(10, 20, gain=0.4)),
        "lif3": CubaLIF(alpha=full((10,), 0.7), beta=full((10,), 0.9), threshold=full((10,), 1.3), reset="subtract"),
        "out": Output(shape=(10,)),
    }
    edges: list[Any] = [
        ("x", "conv"), ("conv", "lif1"), ("lif1", "flat"), ("flat", "fc2"), ("fc2", "lif2"),
        ("lif2", "rec2", "input", 1), ("rec2", "lif2", "recurrent"), ("lif2", "fc3"), ("fc3", "lif3"), ("lif3", "out"),
    ]  # fmt: skip
    graph = graph_of(nodes, edges)
    verify(graph, "float")
    return graph


def data(seed: int, num_steps: int = 40, batch: int = 8) -> dict[str, np.ndarray]:
    return {"x": (np.random.default_rng(seed).random((num_steps, batch, 1, 8, 8)) < 0.25).astype(np.uint8)}


def test_calibration_lowers_what_quantisation_costs_also_on_other_data() -> None:
    graph, seen, unseen = network(), data(1), data(2)
    calibration = calibrate(graph, seen, FMT)
    assert set(calibration.choices) == {"lif1", "lif2", "lif3"}
    assert any(choice.extra_bits for choice in calibration.choices.values())  # the outliers are clipped
    assert calibration.num_decisions == 40 * 8 * 48
    assert 0 < calibration.differ_with < calibration.differ_without
    reference = run_float(graph, unseen).trace
    without = count_differences(run_integer(lower(graph, FMT), unseen), reference)
    with_it = count_differences(run_integer(lower(graph, FMT, calibration), unseen), reference)
    assert with_it < without and 0.02 < np.mean([layer.s.mean() for layer in reference.values()]) < 0.6


def test_its_numbers_are_those_of_the_lowered_network() -> None:
    graph, inputs = network(), data(1)
    calibration, reference = calibrate(graph, inputs, FMT), run_float(graph, inputs).trace
    for choices, differ in ((None, calibration.differ_without), (calibration, calibration.differ_with)):
        assert count_differences(run_integer(lower(graph, FMT, choices), inputs), reference) == differ


@pytest.mark.parametrize("seed", range(6))
def test_never_worse_and_always_the_same(seed: int) -> None:
    graph, inputs = network(seed, outlier=seed % 2 * 6.0), data(seed + 10, num_steps=15, batch=3)
    calibration, again = calibrate(graph, inputs, FMT), calibrate(graph, inputs, FMT)
    assert calibration.differ_with <= calibration.differ_without
    assert dict(calibration.choices) == dict(again.choices)


def test_where_nothing_can_be_won_nothing_is_chosen() -> None:
    """Dyadic weights on few bits are exact already."""
    graph = graph_of(
        {
            "x": Input(shape=(4,)),
            "fc": linear(np.random.default_rng(0).integers(-2, 4, (3, 4)) / 4),
            "lif": LIF(beta=full((3,), 0.5), threshold=full((3,), 0.5), reset="none"),
            "out": Output(shape=(3,)),
        },
        [("x", "fc"), ("fc", "lif"), ("lif", "out")],
    )
    x = np.random.default_rng(1).integers(0, 2, (8, 4, 4))
    calibration = calibrate(graph, {"x": x}, FMT)
    assert (dict(calibration.choices), calibration.differ_without) == ({}, 0)
    assert run_float(graph, {"x": x}).trace["lif"].s.any()


def test_a_layer_alone_repeats_itself_from_recorded_spikes() -> None:
    """Cut out and driven by its own network's spikes, a layer does what it did there; in both dialects."""
    graph, inputs = network(), data(3)
    trace = run_float(graph, inputs).trace
    for name in ("lif1", "lif2", "lif3"):
        local = cut_out(graph, name)
        alone = run_float(local, recorded_inputs(local, inputs, trace)).trace
        assert set(alone) == {name} and np.array_equal(alone[name].s, trace[name].s)
    assert set(cut_out(graph, "lif2").nodes) == {"lif1", "flat", "fc2", "rec2", "lif2"}
    integer = lower(graph, FMT)
    integer_trace = run_integer(integer, inputs)
    local = cut_out(integer, "lif2")
    alone = run_integer(local, recorded_inputs(local, inputs, integer_trace))
    assert np.array_equal(alone["lif2"].v, integer_trace["lif2"].v)


def test_a_choice_that_does_not_fit_is_never_made() -> None:
    """A fan-in so large that the ranges leave one scale only."""
    rng = np.random.default_rng(0)
    graph = graph_of(
        {
            "x": Input(shape=(2000,)),
            "fc": linear(rng.normal(0, 0.5, (2, 2000))),
            "lif": LIF(beta=full((2,), 0.9), threshold=full((2,), 3), reset="subtract"),
            "out": Output(shape=(2,)),
        },
        [("x", "fc"), ("fc", "lif"), ("lif", "out")],
    )
    calibration = calibrate(graph, {"x": (rng.random((20, 3, 2000)) < 0.1).astype(np.uint8)}, FMT)
    integer = lower(graph, FMT, calibration)
    verify(integer, "integer")
    assert all(isinstance(choice, ScaleChoice) for choice in calibration.choices.values())
