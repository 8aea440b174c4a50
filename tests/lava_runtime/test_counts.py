from dataclasses import replace

import numpy as np
import pytest

from export.graph import Edge, Graph
from export.integer_interpreter import run_integer
from export.nodes import Input, IntegerDynamicThresholdLIF, IntegerLIF, IntegerLinear, Output
from hardware_profiles.activity import LayerActivity
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import CAPABILITIES
from lava_runtime.counts import count_events, count_saturations, required_capabilities

from .random_graphs import FMT
from .test_layerwise import chain, saturating_graph


@pytest.fixture
def graph():
    """Two inputs onto two neurons, one of four weights zero; thresholds from the input spikes and a context."""
    controller = ThresholdController(
        population=2,
        num_groups=2,
        weight_count=0,
        weight_deviation=0,
        weight_context=(0,),
        bias=0,
        theta_0=5,
        amplitude=0,
        fraction_bits=8,
    )
    nodes = {
        "x": Input(size=2),
        "c": Input(size=1, kind="graded"),
        "w": IntegerLinear(weight_int8=np.array([[10, 0], [3, -4]]), weight_exp=0),
        "l": IntegerDynamicThresholdLIF(
            dv=np.array([4095, 4095]), bias_mant=np.zeros(2, int), bias_exp=0, theta_shift=0, controller=controller
        ),
        "y": Output(size=2),
    }
    edges = [("x", "w"), ("w", "l"), ("x", "l", "population"), ("c", "l", "context"), ("l", "y")]
    return Graph(nodes=nodes, edges=tuple(Edge(*e) for e in edges), dialect="integer", dt_s=1e-3, fmt=FMT)


def test_counts_by_hand(graph):
    inputs = {
        "x": np.array([[[1, 0]], [[1, 1]], [[0, 1]], [[0, 0]]]),
        "c": np.array([[[0]], [[7]], [[0]], [[-7]]]),
    }
    layers = {layer.name: layer for layer in count_events(graph, inputs, run_integer(graph, inputs))}
    nothing = dict.fromkeys(("synops", "dense_synops", "updates", "controller_updates", "saturations"), 0)
    assert layers["x"] == LayerActivity(
        name="x", kind="input", num_neurons=2, num_synapses=0, fan_in=0, spikes=4, graded_messages=0, **nothing
    )
    assert layers["c"].graded_messages == 2 and layers["c"].spikes == 0
    # input 0 spikes twice into two non-zero weights, input 1 twice into one
    assert layers["l"] == LayerActivity(
        name="l",
        kind="dynamic_threshold_lif",
        num_neurons=2,
        num_synapses=3,
        fan_in=2,
        spikes=2,
        graded_messages=0,
        synops=6,
        dense_synops=8,
        updates=8,
        controller_updates=0,
        saturations=0,
    )
    # four group counts are non-zero, two context values are
    assert layers["l.threshold"] == LayerActivity(
        name="l.threshold",
        kind="threshold_controller",
        num_neurons=2,
        num_synapses=2,
        fan_in=2,
        spikes=0,
        graded_messages=6,
        synops=4,
        dense_synops=8,
        updates=8,
        controller_updates=4,
        saturations=0,
    )
    assert list(layers) == ["x", "c", "l", "l.threshold"]


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_clips_are_found_in_a_trace_that_does_not_tell_them(reset):
    graph = saturating_graph(reset)
    inputs = {"x": np.ones((10, 2, 8), dtype=np.uint8)}
    told = run_integer(graph, inputs)
    untold = {name: replace(layer, saturations=0) for name, layer in told.items()}
    assert told["l0"].saturations > 5
    assert count_saturations(graph, inputs, untold)["l0"].saturations == told["l0"].saturations


@pytest.mark.parametrize(
    ("reset", "capability"), [("zero", "hard_reset"), ("subtract", "subtract_reset"), ("none", "no_reset")]
)
def test_capabilities_follow_from_the_neurons(graph, reset, capability):
    assert required_capabilities(saturating_graph(reset)) == tuple(sorted(("binary_spikes", capability)))
    needs = required_capabilities(graph)
    assert needs == ("binary_spikes", "dynamic_threshold", "graded_spikes", "hard_reset")
    assert set(needs) <= set(CAPABILITIES)


def test_capabilities_of_a_mixed_chain():
    layers = [
        (
            IntegerLinear(weight_int8=np.eye(2, dtype=np.int64), weight_exp=0),
            IntegerLIF(dv=np.zeros(2, int), vth=np.ones(2, int), bias_mant=np.zeros(2, int), bias_exp=0, reset=reset),
        )
        for reset in ("subtract", "none")
    ]
    assert required_capabilities(chain(layers, 2)) == ("binary_spikes", "no_reset", "subtract_reset")
