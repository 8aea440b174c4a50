"""Structures beyond chains: convolutions on stock Lava, recurrent loops over sample boundaries, other outputs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from export.errors import ExportError
from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    LI,
    LIF,
    Convolution,
    Input,
    IntegerConv,
    IntegerCubaLIF,
    IntegerLIF,
    IntegerLinear,
    Linear,
    Norm,
    Output,
    Pool,
    Reshape,
)
from export.passes.balance_latency import balance_latency
from lava_runtime.compat import load_lava
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes
from lava_runtime.probes import every_probe
from lava_runtime.routing import is_stock
from lava_runtime.shared_memory import shared_array

from .comparing import assert_equal_traces
from .random_graphs import FMT
from .test_layerwise import stock_chain


def stock_convolutional_graph(rng):
    """Convolution, pooling and synaptic currents: all of it stock."""
    conv = IntegerConv(
        weight_int8=rng.integers(-60, 127, (4, 1, 3, 3)),
        weight_exp=3,
        geometry=Convolution(input_shape=(2, 6, 6), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=2),
    )
    hidden = IntegerCubaLIF(
        du=rng.integers(1500, 4096, (4, 6, 6)),
        dv=rng.integers(0, 2000, (4, 6, 6)),
        vth=rng.integers(500, 4000, (4, 6, 6)),
        bias_mant=np.zeros((4, 6, 6), dtype=int),
        bias_exp=0,
        reset="clear",
        reset_delay=False,
    )
    last = IntegerLIF(
        dv=np.full(5, 300),
        vth=np.array([700, 900, 1200, 1500, 60000]),
        bias_mant=np.full(5, 70),
        bias_exp=3,
        reset="clear",
        reset_delay=False,
    )
    nodes = {
        "x": Input(shape=(2, 6, 6)),
        "conv": conv,
        "hidden": hidden,
        "pool": Pool(input_shape=(4, 6, 6), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
        "flat": Reshape(input_shape=(4, 3, 3), shape=(36,)),
        "w": IntegerLinear(weight_int8=rng.integers(-90, 127, (5, 36)), weight_exp=1),
        "last": last,
        "y": Output(shape=(5,)),
    }
    names = list(nodes)
    edges = tuple(Edge(*pair) for pair in pairwise(names))
    return Graph(nodes=nodes, edges=edges, dialect="integer", dt_s=1e-3, fmt=FMT)


@pytest.mark.lava
def test_stock_lava_alone_witnesses_convolution_pooling_and_synaptic_currents():
    load_lava()
    from lava.proc.dense.process import Dense
    from lava.proc.lif.process import LIFReset
    from lava.proc.sparse.process import Sparse

    from lava_runtime.processes.network import build_network

    rng = np.random.default_rng(11)
    graph = stock_convolutional_graph(rng)
    timed = balance_latency(graph)
    inputs = {"x": (rng.random((15, 3, 2, 6, 6)) < 0.2).astype(np.uint8)}
    processes = build_network(timed, inputs, shared_array((1,), np.int64)).processes
    kinds = {name: type(process) for name, process in processes.items() if name not in ("source", "sink")}
    assert kinds == {"conv": Sparse, "hidden": LIFReset, "pool": Sparse, "w": Dense, "last": LIFReset}
    assert is_stock(timed) and timed.latency["last"] == 3
    expected = run_integer(graph, inputs)
    for layer in expected.values():
        assert 0.02 < layer.s.mean() < 0.9 and (layer.s.sum(axis=(0, 1)) == 0).any() and (layer.v < 0).any()
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)


def recurrent_graph(delay):
    """A stock neuron layer that drives itself."""
    rng = np.random.default_rng(12)
    graph = stock_chain(rng, (8, 6))
    loud = replace(graph.nodes["l0"], bias_mant=np.full(6, 600), vth=np.full(6, 1200))
    nodes = {
        **graph.nodes,
        "l0": loud,
        "back": IntegerLinear(weight_int8=rng.integers(-127, 128, (6, 6)), weight_exp=2),
    }
    edges = (*graph.edges, Edge("l0", "back", delay=delay), Edge("back", "l0", "recurrent"))
    return replace(graph, nodes=nodes, edges=edges)


@pytest.mark.lava
@pytest.mark.parametrize("delay", [1, 2, 4])
def test_recurrent_spikes_do_not_reach_the_next_sample(delay, monkeypatch):
    """Where the delay line were not silent at the start of a sample, spikes of the sample before would count."""
    load_lava()
    from lava_runtime.processes import network

    graph = recurrent_graph(delay)
    inputs = {"x": (np.random.default_rng(13).random((9, 4, 8)) < 0.4).astype(np.uint8)}
    expected = run_integer(graph, inputs)
    assert expected["l0"].s[-delay:].any() and not expected["l0"].s.all()
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)
    run = run_fused(graph, inputs, number_format="fixed_pt", batch_size=2, probes=every_probe(graph))
    assert_equal_traces(run.trace, expected)

    route = network.route
    monkeypatch.setattr(network, "route", lambda graph, edge: replace(route(graph, edge), silent=0))
    leaking = run_processes(graph, inputs, number_format="fixed_pt")
    assert not np.array_equal(leaking["l0"].s[:, 1:], expected["l0"].s[:, 1:])


def short_loop_graph():
    """A loop through two layers of neurons, and so two of synapses, that waits one step only."""
    graph = stock_chain(np.random.default_rng(14), (8, 6, 4))
    weight = np.random.default_rng(15).integers(-90, 128, (6, 4))
    nodes = {**graph.nodes, "back": IntegerLinear(weight_int8=weight, weight_exp=3)}
    edges = (*graph.edges, Edge("l1", "back", delay=1), Edge("back", "l0", "recurrent"))
    return replace(graph, nodes=nodes, edges=edges)


@pytest.mark.lava
def test_a_loop_that_is_too_short_for_lavas_synapses_is_refused_and_fused_runs_it():
    graph = short_loop_graph()
    inputs = {"x": (np.random.default_rng(16).random((20, 3, 8)) < 0.4).astype(np.uint8)}
    with pytest.raises(ExportError, match="run it with granularity 'fused'"):
        run_processes(graph, inputs, number_format="fixed_pt")
    expected = run_integer(graph, inputs)
    silent = graph.with_nodes({"back": replace(graph.nodes["back"], weight_int8=np.zeros((6, 4), dtype=int))})
    assert not np.array_equal(run_integer(silent, inputs)["l0"].s, expected["l0"].s)
    run = run_fused(graph, inputs, number_format="fixed_pt", probes=every_probe(graph))
    assert_equal_traces(run.trace, expected)


def test_what_stock_lava_expresses():
    stock = stock_chain(np.random.default_rng(17), (8, 6, 4))
    assert is_stock(balance_latency(stock))
    for changes in ({"reset": "subtract"}, {"reset_delay": True}, {"inhibition": True}):
        other = stock.with_nodes({"l0": replace(stock.nodes["l0"], **changes)})
        assert not is_stock(balance_latency(other))
    assert not is_stock(balance_latency(recurrent_graph(1)))
    cuba = stock_convolutional_graph(np.random.default_rng(18))
    biased = replace(cuba.nodes["hidden"], bias_mant=np.ones((4, 6, 6), dtype=int))
    assert not is_stock(balance_latency(cuba.with_nodes({"hidden": biased})))


def test_batch_normalisation_is_folded_before():
    ones = np.ones(4, dtype=np.float32)
    nodes = {
        "x": Input(shape=(4,)),
        "norm": Norm(mean=ones, variance=ones, weight=None, bias=None, epsilon=1e-5, shape=(4,)),
        "l": LIF(beta=ones, threshold=ones, reset="none"),
    }
    graph = Graph(nodes=nodes, edges=(Edge("x", "norm"), Edge("norm", "l")), dialect="float", dt_s=1e-3)
    for run in (run_processes, run_fused):
        with pytest.raises(LavaRuntimeError, match="node norm: is Norm, allowed are weights; fold it"):
            run(graph, {"x": np.ones((2, 1, 4), dtype=np.uint8)}, number_format="floating_pt")


@pytest.mark.lava
def test_membranes_that_leave_the_graph_are_summed():
    ones = np.ones(2, dtype=np.float32)
    nodes = {
        "x": Input(shape=(2,)),
        "w": Linear(weight=np.array([[0.5, 0.25], [-1.0, 2.0]], dtype=np.float32), bias=ones / 8),
        "l": LIF(beta=ones / 2, threshold=ones, reset="subtract"),
        "li": LI(beta=ones / 2),
        "y": Output(shape=(2,)),
    }
    edges = (Edge("x", "w"), Edge("w", "l"), Edge("w", "li"), Edge("li", "y"))
    graph = Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3)
    x = np.array([[[1, 0]], [[0, 1]], [[1, 1]]], dtype=np.uint8)
    run = run_fused(graph, {"x": x}, number_format="floating_pt")
    membrane, total = np.zeros(2), np.zeros(2)
    for step in x[:, 0]:
        membrane = membrane / 2 + nodes["w"].weight @ step + 0.125
        total += membrane
    assert np.array_equal(run.output_counts["y"], total[None])
