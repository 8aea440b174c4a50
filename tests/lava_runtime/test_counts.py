from dataclasses import replace

import numpy as np
import pytest

from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    Convolution,
    Input,
    IntegerConv,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    Output,
    Pool,
    Product,
    Reshape,
)
from export.sparse_matrix import to_sparse
from hardware_profiles.activity import LayerActivity
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import CAPABILITIES
from lava_runtime.counts import count_events, required_capabilities
from lava_runtime.saturations import count_saturations
from lava_runtime.synapses import column_counts

from .random_graphs import FMT, Case, integer_graph
from .test_layerwise import SATURATING, chain, saturating_graph


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
        "x": Input(shape=(2,)),
        "c": Input(shape=(1,), kind="graded"),
        "w": IntegerLinear(weight_int8=np.array([[10, 0], [3, -4]]), weight_exp=0),
        "l": IntegerDynamicThresholdLIF(
            dv=np.array([4095, 4095]), bias_mant=np.zeros(2, int), bias_exp=0, theta_shift=0, controller=controller
        ),
        "y": Output(shape=(2,)),
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


@pytest.mark.parametrize("kind", SATURATING)
def test_clips_are_found_in_a_trace_that_does_not_tell_them(kind):
    graph = saturating_graph(kind)
    inputs = {"x": np.ones((10, 2, 8), dtype=np.uint8)}
    told = run_integer(graph, inputs)
    untold = {name: replace(layer, saturations=0) for name, layer in told.items()}
    assert told["l0"].saturations > 5
    assert count_saturations(graph, inputs, untold)["l0"].saturations == told["l0"].saturations


@pytest.mark.parametrize(
    ("kind", "capability"),
    [("zero", "hard_reset"), ("clear", "hard_reset"), ("subtract", "subtract_reset"), ("none", "no_reset")],
)
def test_capabilities_follow_from_the_neurons(graph, kind, capability):
    assert required_capabilities(saturating_graph(kind)) == tuple(sorted(("binary_spikes", capability)))
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


def test_capabilities_of_products_pools_and_moving_thresholds():
    for name in ("product", "matmul", "pool"):
        graph = integer_graph(Case(layers=((name, "memoryless"),), num_steps=1, batch=1, seed=3))
        assert required_capabilities(graph) == ("binary_spikes", "graded_spikes")
    for name in ("linear", "conv2d", "concat", "direct", "recurrent", "reduce"):
        graph = integer_graph(Case(layers=((name, "memoryless"),), num_steps=1, batch=1, seed=3))
        assert required_capabilities(graph) == ("binary_spikes",), name
    moving = integer_graph(Case(layers=(("linear", "moving"),), num_steps=1, batch=1, seed=3))
    assert "dynamic_threshold" in required_capabilities(moving)
    assert "graded_spikes" not in required_capabilities(moving)


def test_columns_are_those_of_the_unrolled_matrix():
    """Counted without unrolling: a convolution of a real network has too many connections to list."""
    rng = np.random.default_rng(19)
    weight = rng.integers(-2, 3, (6, 2, 3, 2))
    geometry = Convolution(input_shape=(4, 5, 7), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    nodes = [
        IntegerConv(weight_int8=weight, weight_exp=0, geometry=geometry),
        IntegerLinear(weight_int8=rng.integers(-1, 2, (5, 6)), weight_exp=0, positions=(2, 3)),
        IntegerScale(weight_int8=rng.integers(-1, 2, (4, 3)), weight_exp=0),
    ]
    for node in nodes:
        nonzero, every = column_counts(node)
        unrolled = to_sparse(node).toarray()
        assert np.array_equal(nonzero, np.count_nonzero(unrolled, axis=0))
        dense = to_sparse(replace(node, weight_int8=np.ones_like(node.weight_int8))).toarray()
        assert np.array_equal(every, np.count_nonzero(dense, axis=0)) and not np.array_equal(nonzero, every)


def grid_graph():
    """Two spike trains of four: their product summed in pairs, pooled spikes, and a late synapse onto one neuron."""
    nodes = {
        "x": Input(shape=(1, 4)),
        "z": Input(shape=(1, 4)),
        "ab": Product(shape=(1, 4)),
        "pool": Pool(input_shape=(1, 4), kernel=(2,), stride=(2,), padding=(0,)),
        "flat": Reshape(input_shape=(1, 2), shape=(2,)),
        "w": IntegerLinear(weight_int8=np.array([[10, 0], [3, -4]]), weight_exp=0),
        "late": IntegerLinear(weight_int8=np.array([[1, 0, 1, 1], [0, 0, 1, 1]]), weight_exp=1),
        "shape": Reshape(input_shape=(1, 4), shape=(4,)),
        "l": IntegerLIF(dv=np.zeros(2, int), vth=np.full(2, 5), bias_mant=np.zeros(2, int), bias_exp=0, reset="none"),
    }
    edges = [("x", "ab", "a"), ("z", "ab", "b"), ("ab", "pool"), ("pool", "flat"), ("flat", "w"), ("w", "l")]
    edges += [("x", "shape"), ("late", "l")]
    late = Edge("shape", "late", delay=2)
    return Graph(nodes=nodes, edges=(*(Edge(*e) for e in edges), late), dialect="integer", dt_s=1e-3, fmt=FMT)


def test_products_pools_and_late_messages_by_hand():
    graph = grid_graph()
    x = np.array([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]).reshape(3, 1, 1, 4)
    z = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]]).reshape(3, 1, 1, 4)
    layer = count_events(graph, {"x": x, "z": z}, run_integer(graph, {"x": x, "z": z}))[-1]
    assert layer.name == "l" and layer.kind == "lif" and layer.updates == 6
    # non-zero weights: 4 products, 4 of the pool, 3 of w, 5 of late
    assert layer.num_synapses == 4 + 4 + 3 + 5
    # x, z, and the values of ab and pool that synapses receive
    assert layer.fan_in == 4 + 4 + 4 + 2
    # products are 1100, 0011, 1000: five pairs, five messages into the pool; sums (2,0), (0,2), (1,0) into w, whose
    # columns hold 2 and 1 weights; of x only the first step's 1101 arrives two steps late, into columns of 1, 0, 2, 2
    assert layer.synops == 5 + 5 + (2 + 1 + 2) + (1 + 0 + 2)
    # all ten spikes of x meet a partner; w and late have two weights per column
    assert layer.dense_synops == 10 + 5 + 3 * 2 + 3 * 2
    # ab sends five messages, the pool three
    assert layer.graded_messages == 5 + 3
