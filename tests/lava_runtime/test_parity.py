"""Both granularities against the interpreters, on random graphs with every node."""

import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings

from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import WINDOWS, Norm, Output
from export.verify import ALLOWED
from lava_runtime.counts import count_events
from lava_runtime.fused.executor import Executor
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes
from lava_runtime.probes import Probe, every_probe

from .comparing import Liveliness, assert_equal_traces
from .random_graphs import FEEDS, NEURON_KINDS, Case, cases_of, dyadic_graph, integer_graph, loud_graph, random_inputs

FULL = 10 if os.environ.get("AXONPORT_FULL") else 1
"""`make test-full` draws ten times as many graphs."""


def examples(number):
    return settings(
        max_examples=number * FULL,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


MOVING = Case(
    layers=(("recurrent", "dynamic with context"), ("residual", "dynamic"), ("linear", "moving")),
    num_steps=8,
    batch=2,
    seed=5,
)
"""Whatever else is drawn, thresholds move."""


def every_case(num_steps=6, batch=2):
    """Each kind of feed before each kind of neuron, once."""
    for index, feed in enumerate(FEEDS):
        for shift, kind in enumerate(NEURON_KINDS):
            yield Case(
                layers=(("linear", "stock"), (feed, kind)), num_steps=num_steps, batch=batch, seed=97 * index + shift
            )


@pytest.mark.parametrize(("make", "dialect"), [(integer_graph, "integer"), (dyadic_graph, "float")])
def test_the_random_graphs_hold_every_node(make, dialect):
    graphs = [make(case) for case in every_case()]
    drawn = {type(node) for graph in graphs for node in graph.nodes.values()}
    assert drawn == set(ALLOWED[dialect]) - {Norm, *WINDOWS}  # `test_stages` draws windows
    edges = [edge for graph in graphs for edge in graph.edges]
    assert {edge.delay for edge in edges} == {0, 1, 2, 3}
    assert {edge.port for edge in edges} >= {"input", "recurrent", "threshold", "population", "context", "a", "b"}


def executed(graph, inputs, batch, block):
    """Run the executor by itself, as the fused Process does, a block of steps at a time."""
    probes = every_probe(graph)
    executor = Executor(graph, probes)
    executor.reset(batch)
    records = {probe: [] for probe in probes}
    for start in range(0, len(next(iter(inputs.values()))), block):
        executor.run({name: values[start : start + block] for name, values in inputs.items()})
        for probe, record in records.items():
            record.append(executor.recorded(probe).copy())
    return executor, {probe: np.concatenate(record) for probe, record in records.items()}


def assert_executes(graph, case, expected_of):
    """Every array and every count, in blocks of any length."""
    inputs = random_inputs(graph, case)
    expected = expected_of(graph, inputs)
    executor, records = executed(graph, inputs, case.batch, block=1 + case.seed % case.num_steps)
    for name, layer in expected.items():
        for variable in ("s", "v", "theta"):
            array = getattr(layer, variable)
            assert (array is None) == (Probe(name, variable) not in records)
            assert array is None or np.array_equal(records[Probe(name, variable)], array), (name, variable)
    counted = {layer.name: layer for layer in count_events(graph, inputs, expected)}
    for name, events in executor.events().items():
        for field, value in vars(events).items():
            assert getattr(counted[name], field) == value, (name, field)
    return expected


def float64(graph, inputs):
    return run_float(graph, inputs, dtype=torch.float64).trace


def test_executor_equals_the_integer_interpreter_on_many_graphs():
    lively = Liveliness()

    @examples(250)
    @example(MOVING)
    @given(cases_of(max_layers=4, max_steps=10))
    def check(case):
        graph = loud_graph(case) if case.seed % 2 else integer_graph(case)
        lively.see(assert_executes(graph, case, run_integer))

    check()
    for case in every_case():
        assert_executes(integer_graph(case), case, run_integer)
    lively.assert_lively(saturating=True)


def test_executor_equals_the_float_interpreter_on_many_dyadic_graphs():
    lively = Liveliness()

    @examples(150)
    @example(MOVING)
    @given(cases_of(max_layers=4, max_steps=8))
    def check(case):
        lively.see(assert_executes(dyadic_graph(case), case, float64))

    check()
    for case in every_case():
        assert_executes(dyadic_graph(case), case, float64)
    lively.assert_lively()


@pytest.mark.lava
def test_processes_equal_the_integer_interpreter():
    lively = Liveliness()

    @examples(60)
    @example(MOVING)
    @given(cases_of(max_layers=3, max_steps=8))
    def check(case):
        graph = loud_graph(case) if case.seed % 3 == 0 else integer_graph(case)
        inputs = random_inputs(graph, case)
        expected = run_integer(graph, inputs)
        assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)
        lively.see(expected)

    check()
    lively.assert_lively()


@pytest.mark.lava
def test_processes_equal_the_float_interpreter_on_dyadic_numbers():
    lively = Liveliness()

    @examples(50)
    @example(MOVING)
    @given(cases_of(max_layers=3, max_steps=8))
    def check(case):
        graph = dyadic_graph(case)
        inputs = random_inputs(graph, case)
        expected = float64(graph, inputs)
        assert_equal_traces(run_processes(graph, inputs, number_format="floating_pt"), expected)
        lively.see(expected)

    check()
    lively.assert_lively()


@pytest.mark.lava
@pytest.mark.parametrize("number_format", ["fixed_pt", "floating_pt"])
def test_fused_equals_the_interpreters_whatever_the_batch_size(number_format):
    lively = Liveliness()
    make, run_expected = (integer_graph, run_integer) if number_format == "fixed_pt" else (dyadic_graph, float64)

    @examples(30)
    @example(MOVING)
    @given(cases_of(max_layers=3, max_steps=8))
    def check(case):
        graph = make(case)
        inputs = random_inputs(graph, case)
        expected = run_expected(graph, inputs)
        run = run_fused(graph, inputs, number_format=number_format, batch_size=2, probes=every_probe(graph))
        assert run.trace is not None
        assert_equal_traces(run.trace, expected)
        assert run.layers == count_events(graph, inputs, expected)
        for name in graph.of_type(Output):
            (source,) = graph.sources(name)
            spikes = expected[source].s if source in expected else inputs[source].reshape(*inputs[source].shape[:2], -1)
            assert np.array_equal(run.output_counts[name], spikes.sum(axis=0, dtype=np.int64))
        lively.see(expected)

    check()
    lively.assert_lively()
