"""Both granularities against the interpreter, on random graphs."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from export.integer_interpreter import run_integer
from export.nodes import Output
from lava_runtime.counts import count_events
from lava_runtime.fused.executor import Executor
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes

from .comparing import Liveliness, assert_equal_traces
from .float_reference import run_float64
from .random_graphs import cases, dyadic_graph, integer_graph, loud_graph, random_inputs

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


def executed(graph, inputs, batch):
    """Run the executor by itself, as the fused Process does."""
    executor = Executor(graph)
    executor.reset(batch)
    rows = {name: [] for name in executor.states}
    for t in range(len(next(iter(inputs.values())))):
        executor.step({name: values[t] for name, values in inputs.items()})
        for name, state in executor.states.items():
            rows[name].append((state.s.copy(), state.v.copy(), state.theta))
    return executor, rows


def test_executor_equals_the_integer_interpreter_on_many_graphs():
    lively = Liveliness()

    @examples(300)
    @given(cases)
    def check(case):
        graph = loud_graph(case) if case.seed % 2 else integer_graph(case)
        inputs = random_inputs(graph, case)
        expected = run_integer(graph, inputs)
        executor, rows = executed(graph, inputs, case.batch)
        for name, layer in expected.items():
            assert np.array_equal([row[0] for row in rows[name]], layer.s)
            assert np.array_equal([row[1] for row in rows[name]], layer.v)
            assert layer.theta is None or np.array_equal([row[2] for row in rows[name]], layer.theta)
        counted = {layer.name: layer for layer in count_events(graph, inputs, expected)}
        for name, events in executor.events().items():
            for field, value in vars(events).items():
                assert getattr(counted[name], field) == value, (name, field)
        lively.see(expected)

    check()
    lively.assert_lively(saturating=True)


@pytest.mark.lava
def test_processes_equal_the_integer_interpreter():
    lively = Liveliness()

    @examples(25)
    @given(cases)
    def check(case):
        graph = integer_graph(case)
        inputs = random_inputs(graph, case)
        expected = run_integer(graph, inputs)
        assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)
        lively.see(expected)

    check()
    lively.assert_lively(saturating=False)


@pytest.mark.lava
def test_fused_equals_the_integer_interpreter_whatever_the_batch_size():
    lively = Liveliness()

    @examples(25)
    @given(cases)
    def check(case):
        graph = integer_graph(case)
        inputs = random_inputs(graph, case)
        expected = run_integer(graph, inputs)
        run = run_fused(graph, inputs, number_format="fixed_pt", batch_size=2, record=True)
        assert run.trace is not None
        assert_equal_traces(run.trace, expected)
        assert run.layers == count_events(graph, inputs, expected)
        for name in graph.of_type(Output):
            (source,) = graph.sources(name)
            spikes = expected[source].s if source in expected else inputs[source]
            assert np.array_equal(run.output_counts[name], spikes.sum(axis=0, dtype=np.int64))
        lively.see(expected)

    check()
    lively.assert_lively(saturating=False)


@pytest.mark.lava
def test_floating_point_is_exact_on_dyadic_numbers():
    lively = Liveliness()

    @examples(20)
    @given(cases)
    def check(case):
        graph = dyadic_graph(case)
        inputs = random_inputs(graph, case)
        expected = run_float64(graph, inputs)
        run = run_fused(graph, inputs, number_format="floating_pt", batch_size=2, record=True)
        assert run.trace is not None
        assert_equal_traces(run.trace, expected)
        trace = run_processes(graph, inputs, number_format="floating_pt")
        assert_equal_traces(trace, expected)
        assert run.layers == count_events(graph, inputs, trace)
        lively.see(expected)

    check()
    lively.assert_lively(saturating=False)
