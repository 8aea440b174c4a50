from dataclasses import replace

import numpy as np
import pytest

from export.interpreters.integer_interpreter import run_integer
from export.nodes import IntegerLIF, IntegerLinear
from lava_runtime.compat import load_lava
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.fused.executor import Executor
from lava_runtime.fused.run import run_fused
from lava_runtime.probes import Probe, every_probe
from lava_runtime.session import Session
from lava_runtime.shared_memory import shared_array

from ..comparing import assert_equal_traces
from ..random_graphs import FMT
from ..test_layerwise import chain, stock_chain


@pytest.mark.lava
def test_the_fused_process_feeds_any_other_lava_process():
    """Its spikes drive stock LIF neurons, which must do what the interpreter says of them."""
    load_lava()
    from lava.proc.lif.process import LIF

    from lava_runtime.processes.fused_graph.models import fused_model
    from lava_runtime.processes.fused_graph.process import FusedGraph
    from lava_runtime.processes.memory_sink.models import sink_model
    from lava_runtime.processes.memory_sink.process import MemorySink, Record
    from lava_runtime.processes.memory_source.models import source_model
    from lava_runtime.processes.memory_source.process import MemorySource, Stream

    rng = np.random.default_rng(5)
    graph = stock_chain(rng, (30, 6))
    inputs = {"x": (rng.random((20, 3, 30)) < 0.5).astype(np.uint8)}
    session = Session()
    source = MemorySource(streams={"out": Stream(shape=(3, 30), dtype=np.int8, frame=inputs["x"].__getitem__)})
    fused = FusedGraph(graph=graph, batch=3)
    lif = LIF(shape=(3, 6), du=4095, dv=0, vth=2)  # fires at every third spike of one neuron
    store = shared_array((20, 3, 6), np.uint8)
    sink = MemorySink(records={"s": Record(what="message", store=store, lag=0)}, steps_done=session.steps_done)
    source.out.connect(fused.in_x)
    fused.out_y.connect(lif.a_in)
    lif.s_out.connect(sink.s)
    models = {source: source_model(source), fused: fused_model(fused), sink: sink_model(sink)}
    session.run(fused, 20, number_format="fixed_pt", models=models)

    spikes = run_integer(graph, inputs)["l0"].s.astype(int)
    count, expected = np.zeros((3, 6), dtype=int), []
    for step in spikes:
        count += step
        expected.append(count > 2)
        count[count > 2] = 0
    assert np.array_equal(store, expected) and store.any() and not store.all()


def test_sums_beyond_float32_are_exact():
    """Weights of 25 bits: float32 would round their sums, and the spikes tell."""
    fmt = replace(FMT, weight_bits=25, state_bits=40)
    size = 4
    rng = np.random.default_rng(6)
    weight = rng.integers(-(2**23), 2**24, (size, 16)) | 1
    neuron = IntegerLIF(
        dv=np.full(size, 700), vth=np.full(size, 90000), bias_mant=np.zeros(size, int), bias_exp=0, reset="subtract"
    )
    graph = chain([(IntegerLinear(weight_int8=weight, weight_exp=0), neuron)], 16, fmt)
    inputs = {"x": (rng.random((50, 2, 16)) < 0.5).astype(np.uint8)}
    expected = run_integer(graph, inputs)["l0"]
    narrow = inputs["x"].astype(np.float32) @ weight.T.astype(np.float32)
    assert not np.array_equal(narrow.astype(np.int64), inputs["x"].astype(np.int64) @ weight.T)
    executor = Executor(graph, every_probe(graph))
    executor.reset(2)
    executor.run(inputs)
    assert np.array_equal(executor.recorded(Probe("l0", "v")), expected.v)
    assert np.array_equal(executor.recorded(Probe("l0", "s")), expected.s)


def test_widths_that_64_bits_cannot_hold_are_refused():
    graph = stock_chain(np.random.default_rng(5), (10, 6))
    inputs = {"x": np.ones((2, 1, 10), dtype=np.uint8)}
    with pytest.raises(LavaRuntimeError, match="state and decay have 64 bits together, allowed are 62"):
        run_fused(replace(graph, fmt=replace(FMT, state_bits=52)), inputs, number_format="fixed_pt")


def test_a_batch_has_at_least_one_sample():
    graph = stock_chain(np.random.default_rng(5), (10, 6))
    with pytest.raises(LavaRuntimeError, match="batch_size: is 0"):
        run_fused(graph, {"x": np.ones((2, 1, 10), dtype=np.uint8)}, number_format="fixed_pt", batch_size=0)


@pytest.mark.lava
def test_progress_goes_to_stderr_and_counts_every_step(capfd):
    graph = stock_chain(np.random.default_rng(5), (10, 6))
    inputs = {"x": np.ones((7, 5, 10), dtype=np.uint8)}
    run = run_fused(graph, inputs, number_format="fixed_pt", batch_size=2, progress=True)
    captured = capfd.readouterr()
    assert captured.out == "" and "Lava fused: 100%" in captured.err and "21/21" in captured.err
    assert run.trace is None


@pytest.mark.lava
def test_a_failure_inside_names_the_node_and_the_steps(monkeypatch):
    from lava_runtime.fused.neurons import FusedNeuron

    graph = stock_chain(np.random.default_rng(5), (10, 6, 4))
    advance = FusedNeuron.advance

    def failing(self, state, drive, heights, spikes, membranes):
        if drive.shape[2] == 4:
            raise MemoryError("no room")
        advance(self, state, drive, heights, spikes, membranes)

    inputs = {"x": np.ones((7, 5, 10), dtype=np.uint8)}
    executor = Executor(graph)
    executor.reset(5)
    executor.run({"x": inputs["x"][:3]})
    monkeypatch.setattr(FusedNeuron, "advance", failing)
    with pytest.raises(LavaRuntimeError, match=r"^node l1: failed in steps 4 to 7 \(MemoryError: no room\)$"):
        executor.run({"x": inputs["x"][3:]})
    monkeypatch.setattr(Executor, "compile", lambda self: None)
    with pytest.raises(LavaRuntimeError, match=r"'fused graph'.*samples 0 to 4: node l1: failed in steps 1 to 7"):
        run_fused(graph, inputs, number_format="fixed_pt")


@pytest.mark.lava
def test_results_do_not_depend_on_how_a_data_set_is_cut(monkeypatch):
    from lava_runtime.fused import plan

    graph = stock_chain(np.random.default_rng(5), (30, 20, 6))
    inputs = {"x": (np.random.default_rng(6).random((7, 5, 30)) < 0.6).astype(np.uint8)}
    whole = run_fused(graph, inputs, number_format="fixed_pt", probes=every_probe(graph))
    monkeypatch.setattr(plan, "BLOCK_BYTES", 1500)
    assert 1 < plan.make_plan(Executor(graph).bytes_per_row, 7, 5, 2).block < 7
    cut = run_fused(graph, inputs, number_format="fixed_pt", batch_size=2, probes=every_probe(graph))
    assert_equal_traces(cut.trace, whole.trace)
    assert cut.layers == whole.layers
    assert np.array_equal(cut.output_counts["y"], whole.output_counts["y"])
    assert np.array_equal(whole.output_counts["y"], whole.trace["l1"].s.sum(axis=0)) and whole.output_counts["y"].any()
