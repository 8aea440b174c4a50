from __future__ import annotations

import numpy as np
import pytest

from export.errors import ExportError
from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import Input, IntegerDynamicThresholdLIF, IntegerLIF, IntegerLinear, IntegerThreshold, Output, Reshape
from export.passes.balance_latency import balance_latency
from export.verify import verify
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format

EYE = IntegerLinear(weight_int8=np.eye(2, dtype=np.int64), weight_exp=0)


def neuron(bias: int = 0) -> IntegerLIF:
    return IntegerLIF(
        dv=np.full(2, 2048), vth=np.full(2, 1), bias_mant=np.full(2, bias), bias_exp=0, reset="zero", reset_delay=False
    )


def graph_of(nodes: dict, edges: list[Edge]) -> Graph:
    return Graph(nodes=nodes, edges=tuple(edges), dialect="integer", dt_s=1e-3, fmt=integer_format())


def delays(graph: Graph) -> dict[tuple[str, str], int]:
    return {(edge.source, edge.target): edge.delay for edge in graph.edges}


def residual() -> Graph:
    """x -> a -> lif1 -> b -> lif2, and around both: x -> skip -> lif2; the sum of lif1 and lif2 spikes once more."""
    nodes = {
        "x": Input(shape=(2,)), "a": EYE, "lif1": neuron(), "b": EYE, "skip": EYE, "lif2": neuron(40), "c": EYE,
        "lif3": neuron(), "y": Output(shape=(2,)),
    }  # fmt: skip
    edges = [
        Edge("x", "a"), Edge("a", "lif1"), Edge("lif1", "b"), Edge("b", "lif2"), Edge("x", "skip"),
        Edge("skip", "lif2"), Edge("lif1", "c"), Edge("lif2", "c"), Edge("c", "lif3"), Edge("lif3", "y"),
    ]  # fmt: skip
    return graph_of(nodes, edges)


def test_a_residual_branch_waits_for_the_longer_one() -> None:
    balanced = balance_latency(residual())
    verify(balanced, "integer")
    assert dict(balanced.latency) == {
        "x": 0, "a": 1, "lif1": 1, "b": 2, "skip": 1, "lif2": 2, "c": 3, "lif3": 3, "y": 3,
    }  # fmt: skip
    waits = delays(balanced)
    # the skip's synapse answers at step 1 and lif2 listens at step 2; lif1 (1) waits for lif2 (2) before c
    assert waits[("skip", "lif2")] == 1 and waits[("lif1", "c")] == 1
    assert sum(waits.values()) == 2 and balanced.total_latency == 3


def test_unbalanced_branches_would_not_meet() -> None:
    """The delays matter: without them the same graph answers differently."""
    balanced = balance_latency(residual())
    x = {"x": np.random.default_rng(0).integers(0, 2, (30, 4, 2))}
    expected = run_integer(residual(), x)
    assert all(np.array_equal(expected[name].v, layer.v) for name, layer in run_integer(balanced, x).items())
    careless = Graph(
        nodes=balanced.nodes,
        edges=tuple(Edge(edge.source, edge.target, edge.port) for edge in balanced.edges),
        dialect="integer",
        dt_s=1e-3,
        fmt=balanced.fmt,
        timing="lava",
        latency=balanced.latency,
    )
    assert not np.array_equal(expected["lif3"].s, run_integer(careless, x)["lif3"].s)
    assert expected["lif3"].s.any() and not expected["lif3"].s.all()


def recurrent(delay: int, *, num_synapses: int) -> Graph:
    nodes = {"x": Input(shape=(2,)), "a": EYE, "lif": neuron(), "y": Output(shape=(2,))}
    edges = [Edge("x", "a"), Edge("a", "lif"), Edge("lif", "y")]
    last = "lif"
    for number in range(num_synapses):
        nodes[f"r{number}"] = EYE
        edges.append(Edge(last, f"r{number}", delay=delay if last == "lif" else 0))
        last = f"r{number}"
    return graph_of(nodes, [*edges, Edge(last, "lif", "recurrent")])


@pytest.mark.parametrize(("delay", "num_synapses", "left"), [(1, 1, 0), (2, 1, 1), (2, 2, 0), (3, 2, 1)])
def test_synapses_take_up_the_delays_of_a_loop(delay: int, num_synapses: int, left: int) -> None:
    graph = recurrent(delay, num_synapses=num_synapses)
    balanced = balance_latency(graph)
    verify(balanced, "integer")
    loop = [edge for edge in balanced.edges if edge.source.startswith("r") or edge.target.startswith("r")]
    assert sum(edge.delay for edge in loop) == left and balanced.total_latency == 1
    x = {"x": np.random.default_rng(0).integers(0, 2, (30, 4, 2))}
    expected, given = run_integer(graph, x)["lif"], run_integer(balanced, x)["lif"]
    assert np.array_equal(expected.v, given.v) and 0 < expected.s.mean() < 1


def test_a_loop_of_two_synapses_and_one_delay_is_refused() -> None:
    with pytest.raises(ExportError, match="lies in a loop with more synapse layers than steps of delay"):
        balance_latency(recurrent(1, num_synapses=2))


def test_a_bias_starts_with_its_layers_first_step() -> None:
    balanced = balance_latency(residual())
    trace = run_integer(balanced, {"x": np.zeros((6, 1, 2))})["lif2"]
    # 40; 20+40 = 60; 70 is above 64: fires
    assert trace.v is not None and trace.v[:3, 0, 0].tolist() == [40, 60, 0] and trace.s[2].all()


def test_context_arrives_when_its_layer_needs_it() -> None:
    controller = ThresholdController(
        population=2, num_groups=1, weight_count=0, weight_deviation=0, weight_context=(1 << 16,), bias=0, theta_0=4,
        amplitude=3, fraction_bits=0,
    )  # fmt: skip
    dynamic = IntegerDynamicThresholdLIF(
        dv=np.full(2, 4095), bias_mant=np.zeros(2, dtype=int), bias_exp=0, theta_shift=0, controller=controller
    )
    nodes = {
        "x": Input(shape=(2,)), "c": Input(shape=(1,), kind="graded"), "a": EYE, "lif1": neuron(), "b": EYE,
        "lif": dynamic, "y": Output(shape=(2,)),
    }  # fmt: skip
    edges = [
        Edge("x", "a"), Edge("a", "lif1"), Edge("lif1", "b"), Edge("b", "lif"), Edge("lif1", "lif", "population"),
        Edge("c", "lif", "context"), Edge("lif", "y"),
    ]  # fmt: skip
    graph = graph_of(nodes, edges)
    balanced = balance_latency(graph)
    assert delays(balanced)[("c", "lif")] == 0 and balanced.latency["lif"] == 2
    inputs = {"x": np.ones((4, 1, 2)), "c": np.array([256, -256, 0, 256])[:, None, None]}
    # z = 65536·c >> 12 = ±4096: θ = 4 ± 3
    for each in (graph, balanced):
        theta = run_integer(each, inputs)["lif"].theta
        assert theta is not None and theta.ravel().tolist() == [7, 1, 4, 7]


def test_a_reshape_takes_no_time() -> None:
    nodes = {
        "x": Input(shape=(2,)), "a": EYE, "r": Reshape(input_shape=(2,), shape=(1, 2)),
        "s": IntegerThreshold(vth=np.ones((1, 2), dtype=int), bias_mant=np.zeros((1, 2), dtype=int), bias_exp=0),
        "y": Output(shape=(1, 2)),
    }  # fmt: skip
    edges = [Edge("x", "a"), Edge("a", "r"), Edge("r", "s"), Edge("s", "y")]
    assert balance_latency(graph_of(nodes, edges)).total_latency == 1
