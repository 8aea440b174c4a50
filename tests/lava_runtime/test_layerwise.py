from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from export.errors import ExportError
from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    Input,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    Output,
)
from export.passes.balance_latency import balance_latency
from hardware_profiles.arithmetic import ThresholdController
from lava_runtime.compat import load_lava
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes
from lava_runtime.probes import every_probe
from lava_runtime.shared_memory import shared_array

from .comparing import assert_equal_traces
from .random_graphs import FMT


def chain(layers, size, fmt=FMT):
    """Input, then (synapse, neuron) pairs, then an output."""
    nodes, edges, last = {"x": Input(shape=(size,))}, [], "x"
    for depth, (synapse, neuron) in enumerate(layers):
        nodes |= {f"w{depth}": synapse, f"l{depth}": neuron}
        edges += [Edge(last, f"w{depth}"), Edge(f"w{depth}", f"l{depth}")]
        last = f"l{depth}"
    nodes["y"] = Output(shape=nodes[last].shape)
    edges.append(Edge(last, "y"))
    return Graph(nodes=nodes, edges=tuple(edges), dialect="integer", dt_s=1e-3, fmt=fmt)


def stock_chain(rng, sizes):
    layers = []
    for fan_in, size in pairwise(sizes):
        weight = np.clip(rng.integers(-90, 128, (size, fan_in)), -127, 127)
        neuron = IntegerLIF(
            dv=rng.integers(0, 1500, size),
            vth=rng.integers(200, 4000, size),
            bias_mant=rng.integers(-1000, 1000, size),
            bias_exp=5,
            reset="zero",
            reset_delay=False,
        )
        layers.append((IntegerLinear(weight_int8=weight, weight_exp=2), neuron))
    return chain(layers, sizes[0])


@pytest.mark.lava
def test_stock_lava_alone_witnesses_the_arithmetic():
    """No line of our arithmetic runs in these Processes; biases in a deep layer start at that layer's own offset."""
    load_lava()
    from lava.proc.dense.process import Dense
    from lava.proc.lif.process import LIFReset

    from lava_runtime.processes.network import build_network

    rng = np.random.default_rng(3)
    graph = stock_chain(rng, (24, 20, 16, 12))
    inputs = {"x": (rng.random((40, 3, 24)) < 0.2).astype(np.uint8)}
    network = build_network(balance_latency(graph), inputs, shared_array((1,), np.int64))
    kinds = {name: type(process) for name, process in network.processes.items() if name not in ("source", "sink")}
    assert kinds == {name: Dense if name[0] == "w" else LIFReset for name in graph.nodes if name[0] in "wl"}
    assert network.processes["l2"].proc_params["reset_offset"] == 4

    expected = run_integer(graph, inputs)
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)
    for layer in expected.values():
        assert layer.s.any() and (layer.s.sum(axis=(0, 1)) == 0).any() and (layer.v < 0).any()


@pytest.mark.lava
@pytest.mark.parametrize("weights", ["positive", "negative"])
def test_weights_of_one_sign_keep_their_odd_values(weights):
    """Lava guesses another weight format for matrices of one sign; ours must not depend on the guess."""
    load_lava()
    from lava.utils.weightutils import SignMode

    from lava_runtime.processes.network import build_network

    rng = np.random.default_rng(4)
    weight = rng.integers(0, 64, (6, 9)) * 2 + 1
    neuron = IntegerLIF(
        dv=np.full(6, 300),
        vth=np.full(6, 150),
        bias_mant=np.full(6, 40 if weights == "positive" else 900),
        bias_exp=4,
        reset="zero",
        reset_delay=False,
    )
    synapse = IntegerLinear(weight_int8=weight if weights == "positive" else -weight, weight_exp=0)
    graph = chain([(synapse, neuron)], 9)
    inputs = {"x": (rng.random((30, 2, 9)) < 0.15).astype(np.uint8)}
    expected = run_integer(graph, inputs)
    assert 0 < expected["l0"].s.mean() < 1
    dense = build_network(balance_latency(graph), inputs, shared_array((1,), np.int64)).processes["w0"]
    assert dense.proc_params["sign_mode"] is SignMode.MIXED
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)


SATURATING = {
    "stock": partial(IntegerLIF, reset="zero", reset_delay=False),
    "zero": partial(IntegerLIF, reset="zero"),
    "subtract": partial(IntegerLIF, reset="subtract"),
    "subtract at once": partial(IntegerLIF, reset="subtract", reset_delay=False),
    "none": partial(IntegerLIF, reset="none"),
    "clear": partial(IntegerLIF, reset="clear"),
    "alpha": partial(IntegerAlphaLIF, du=np.full(3, 3000), reset="clear"),
    "stock cuba": partial(IntegerCubaLIF, du=np.full(3, 4095), reset="clear", reset_delay=False),
    "cuba": partial(IntegerCubaLIF, du=np.full(3, 4000), reset="subtract"),
}


def saturating_graph(kind):
    """One neuron driven up, one driven down, one in between, with the largest weights and biases there are."""
    weight = np.array([[127] * 8, [-127] * 8, [127, -127] * 4])
    has_bias = not kind.endswith("cuba")  # a synaptic current must not wrap
    neuron = SATURATING[kind](
        dv=np.array([0, 0, 100]),
        vth=np.full(3, 1000 if kind == "alpha" else FMT.threshold_max),
        bias_mant=np.array([4000, -4000, 10]) * has_bias,
        bias_exp=7,
    )
    return chain([(IntegerLinear(weight_int8=weight, weight_exp=7 if has_bias else 6), neuron)], 8)


@pytest.mark.lava
@pytest.mark.parametrize("kind", SATURATING)
def test_membranes_saturate_alike(kind):
    graph = saturating_graph(kind)
    inputs = {"x": np.ones((10, 2, 8), dtype=np.uint8)}
    inputs["x"][4] = 0
    expected = run_integer(graph, inputs)
    assert expected["l0"].saturations > 5
    assert kind == "alpha" or expected["l0"].v.min() == -FMT.state_max  # an alpha neuron's traces clip first
    assert expected["l0"].s.any()
    assert kind not in ("subtract", "none") or expected["l0"].v.max() == FMT.state_max
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)
    run = run_fused(graph, inputs, number_format="fixed_pt", probes=every_probe(graph))
    assert_equal_traces(run.trace, expected)


def tying_graph():
    """Four neurons with three inputs of weight 1 and threshold 2 that forget all at once: sums of 2 are ties."""
    common = {"dv": np.array([4095]), "bias_mant": np.array([0]), "bias_exp": 0}
    constant = ThresholdController(
        population=3,
        num_groups=1,
        weight_count=0,
        weight_deviation=0,
        weight_context=(),
        bias=0,
        theta_0=1,
        amplitude=0,
        fraction_bits=8,
    )
    neurons = {
        reset: IntegerLIF(**common, vth=np.array([2]), reset=reset, reset_delay=reset != "zero")
        for reset in ("zero", "subtract", "none")
    }
    neurons["dynamic"] = IntegerDynamicThresholdLIF(**common, theta_shift=1, controller=constant)
    synapse = IntegerLinear(weight_int8=np.ones((1, 3), dtype=np.int64), weight_exp=0)
    edges = [Edge("x", "w"), Edge("x", "dynamic", "population"), *(Edge("w", name) for name in neurons)]
    nodes = {"x": Input(shape=(3,)), "w": synapse, **neurons}
    return Graph(nodes=nodes, edges=tuple(edges), dialect="integer", dt_s=1e-3, fmt=FMT)


@pytest.mark.lava
def test_a_membrane_at_its_threshold_does_not_fire():
    graph = tying_graph()
    inputs = {"x": (np.random.default_rng(2).random((40, 2, 3)) < 0.7).astype(np.uint8)}
    sums = inputs["x"].sum(axis=2, keepdims=True)
    expected = run_integer(graph, inputs)
    for name in ("zero", "none", "dynamic"):
        assert np.array_equal(expected[name].s, sums > 2)
    assert (sums == 2).sum() > 10 < (sums == 3).sum()
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)
    run = run_fused(graph, inputs, number_format="fixed_pt", probes=every_probe(graph))
    assert_equal_traces(run.trace, expected)


def controlled_graph(context_source):
    """Two layers; the second has a moving threshold whose context comes from `context_source`."""
    rng = np.random.default_rng(8)
    graph = stock_chain(rng, (8, 6, 4))
    first = graph.nodes["l1"]
    controller = ThresholdController(
        population=6,
        num_groups=3,
        weight_count=1 << 20,
        weight_deviation=1 << 18,
        weight_context=(1 << 12,) * 4,
        bias=0,
        theta_0=500,
        amplitude=300,
        fraction_bits=8,
    )
    nodes = {
        **graph.nodes,
        "c": Input(shape=(4,), kind="graded"),
        "l1": IntegerDynamicThresholdLIF(
            dv=first.dv, bias_mant=first.bias_mant, bias_exp=5, theta_shift=1, controller=controller
        ),
        "v": IntegerLinear(weight_int8=rng.integers(-90, 127, (4, 8)), weight_exp=2),
        "b": IntegerLIF(dv=first.dv, vth=np.full(4, 900), bias_mant=first.bias_mant, bias_exp=5, reset="zero"),
    }
    edges = (*graph.edges, Edge("x", "v"), Edge("v", "b"), Edge("l0", "l1", "population"))
    return replace(graph, nodes=nodes, edges=(*edges, Edge(context_source, "l1", "context")))


@pytest.mark.lava
def test_context_is_sent_when_the_layer_needs_it():
    graph = controlled_graph("c")
    rng = np.random.default_rng(9)
    inputs = {"x": (rng.random((25, 3, 8)) < 0.3).astype(np.uint8), "c": rng.integers(-800, 800, (25, 3, 4))}
    expected = run_integer(graph, inputs)
    assert len(np.unique(expected["l1"].theta)) > 20
    late = {**inputs, "c": np.roll(inputs["c"], 1, axis=0)}
    assert not np.array_equal(run_integer(graph, late)["l1"].s, expected["l1"].s)
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)


@pytest.mark.parametrize("source", ["b", "v"])
def test_context_from_the_chip_is_refused(source):
    graph = controlled_graph(source)
    inputs = {"x": np.ones((5, 1, 8), dtype=np.uint8), "c": np.zeros((5, 1, 4), dtype=np.int16)}
    for run in (run_processes, run_fused):
        with pytest.raises(ExportError, match=f"node l1: context comes from {source}"):
            run(graph, inputs, number_format="fixed_pt")


@pytest.mark.lava
def test_other_widths_than_lavas_are_refused_and_fused_runs_them():
    graph = saturating_graph("stock")
    narrow = replace(graph, fmt=replace(FMT, state_bits=25))
    inputs = {"x": np.ones((6, 1, 8), dtype=np.uint8)}
    with pytest.raises(LavaRuntimeError, match="use granularity 'fused'"):
        run_processes(narrow, inputs, number_format="fixed_pt")
    run = run_fused(narrow, inputs, number_format="fixed_pt", probes=every_probe(narrow))
    assert_equal_traces(run.trace, run_integer(narrow, inputs))


def test_the_number_format_must_fit_the_dialect():
    graph = saturating_graph("stock")
    inputs = {"x": np.ones((6, 1, 8), dtype=np.uint8)}
    with pytest.raises(ExportError, match="is in dialect 'integer', allowed here is 'float'"):
        run_processes(graph, inputs, number_format="floating_pt")
    for run in (run_processes, run_fused):
        with pytest.raises(LavaRuntimeError, match="is in 'lava' timing, allowed is 'model'"):
            run(balance_latency(graph), inputs, number_format="fixed_pt")
    with pytest.raises(LavaRuntimeError, match="number format: is 'bfloat16'"):
        run_fused(graph, inputs, number_format="bfloat16")
