from dataclasses import replace

import numpy as np
import pytest

from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import Input, IntegerLIF, IntegerLinear, Output
from lava_runtime.fused.executor import Executor
from lava_runtime.fused.plan import Plan, make_plan
from lava_runtime.fused.schedule import Part, schedule
from lava_runtime.probes import Probe, every_probe

from ..random_graphs import FMT


def lif(size=3):
    zeros = np.zeros(size, int)
    return IntegerLIF(dv=zeros + 400, vth=zeros + 90, bias_mant=zeros, bias_exp=0, reset="subtract")


def loop(delay):
    nodes = {
        "x": Input(shape=(3,)),
        "w": IntegerLinear(weight_int8=64 * np.eye(3, dtype=np.int8), weight_exp=0),
        "l": lif(),
        "back": IntegerLinear(weight_int8=64 * np.eye(3, dtype=np.int8), weight_exp=0),
        "y": Output(shape=(3,)),
    }
    edges = (
        Edge("x", "w"), Edge("w", "l"), Edge("l", "back"), Edge("back", "l", "recurrent", delay), Edge("l", "y"),
    )  # fmt: skip
    return Graph(nodes=nodes, edges=edges, dialect="integer", dt_s=1e-3, fmt=FMT)


def test_a_loop_is_one_part_that_takes_as_many_steps_as_it_waits():
    for delay in (1, 4):
        parts = schedule(loop(delay))
        assert Part(nodes=("l", "back"), span=delay) in parts
        assert [part.span for part in parts] == [None, None, delay, None]
        assert [name for part in parts for name in part.nodes] == ["x", "w", "l", "back", "y"]


@pytest.mark.parametrize("delays", [(2, 5), (5, 2)])
def test_the_shortest_wait_of_a_loop_counts(delays):
    """Two ways back: the steps between the shorter and the longer wait must not be taken at once."""
    short, long = loop(delays[0]), Edge("l", "l", "recurrent", delays[1])
    graph = replace(short, edges=(*short.edges, long))
    assert Part(nodes=("l", "back"), span=2) in schedule(graph)
    inputs = {"x": (np.random.default_rng(1).random((30, 4, 3)) < 0.2).astype(np.uint8)}
    executor = Executor(graph, every_probe(graph))
    executor.reset(4)
    executor.run(inputs)
    expected = run_integer(graph, inputs)["l"]
    assert np.array_equal(executor.recorded(Probe("l", "s")), expected.s) and expected.s.any() and not expected.s.all()
    assert np.array_equal(executor.recorded(Probe("l", "v")), expected.v)


def test_batches_and_blocks_cover_every_step_of_every_sample_once():
    plan = Plan(num_steps=7, num_samples=5, batch=2, block=3)
    seen = np.zeros((7, 5), int)
    for block in range(plan.num_blocks):
        place = plan.locate(block)
        seen[place.steps, place.samples] += 1
        assert place.num_samples == seen[place.steps, place.samples].shape[1]
    assert (seen == 1).all() and plan.total_steps == 21


def test_lavas_time_steps_hold_every_block_once_in_order():
    plan = Plan(num_steps=50, num_samples=5, batch=2, block=3)
    assert plan.num_blocks == 51 and plan.lava_steps == 4
    places = [place for step in range(plan.lava_steps) for place in plan.places(step)]
    assert places == [plan.locate(block) for block in range(plan.num_blocks)]


def test_a_block_is_as_long_as_memory_allows_and_at_least_one_step():
    bytes_per_row = Executor(loop(1)).bytes_per_row
    assert make_plan(bytes_per_row, 100, 10, 64) == Plan(num_steps=100, num_samples=10, batch=10, block=100)
    many = make_plan(bytes_per_row, 10**6, 10**4, 10**4)
    assert 1 <= many.block < 10**3
    assert make_plan(bytes_per_row, 10**6, 2 * 10**4, 2 * 10**4).block == many.block // 2
    assert make_plan(bytes_per_row, 10, 10**7, 10**7).block == 1
