from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.errors import ExportError
from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    Convolution,
    Gather,
    Input,
    IntegerConv,
    IntegerCubaLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    MatMul,
    Node,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
)
from export.ranges import carries_spikes, current_bound, value_bounds
from export.verify import verify
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format

from .random_integer_graphs import random_graph, random_inputs


def graph_of(nodes: dict[str, Node], *edges: Edge) -> Graph:
    return Graph(nodes=nodes, edges=edges, dialect="integer", dt_s=1e-3, fmt=integer_format())


def lif(size: int) -> IntegerLIF:
    zeros = np.zeros(size, dtype=np.int64)
    return IntegerLIF(dv=zeros, vth=zeros + 1, bias_mant=zeros, bias_exp=0, reset="none")


def test_bounds_by_hand() -> None:
    ones = Convolution(input_shape=(1, 2, 2), stride=(1, 1), padding=(0, 0), dilation=(1, 1))
    graph = graph_of(
        {
            "x": Input(shape=(1, 2, 2)),
            "c": Input(shape=(4,), kind="graded"),
            "pool": Pool(input_shape=(1, 2, 2), kernel=(2, 2), stride=(1, 1), padding=(0, 0)),
            "sum": Reduce(input_shape=(1, 2, 2), axes=(1, 2)),
            "row": Reshape(input_shape=(1, 2, 2), shape=(4,)),
            "some": Gather(index=np.array([0, -1]), input_shape=(4,)),
            "gate": Product(shape=(4,)),
            "a": Reshape(input_shape=(4,), shape=(2, 2)),
            "qk": MatMul(shape_a=(2, 2), shape_b=(2, 2)),
            "fc": IntegerLinear(weight_int8=np.array([[1, -2, 3, 0], [0, 0, 0, 5]]), weight_exp=2),
            "each": IntegerScale(weight_int8=np.array([-7, 3, 0, 1]), weight_exp=1),
            "conv": IntegerConv(weight_int8=np.array([[[[1, -1], [2, 2]]]]), weight_exp=0, geometry=ones),
        },
        Edge("x", "pool"), Edge("x", "sum"), Edge("x", "row"), Edge("row", "some"), Edge("row", "some"),
        Edge("c", "gate", "a"), Edge("row", "gate", "b"), Edge("row", "gate", "b"), Edge("c", "a"),
        Edge("a", "qk", "a"), Edge("a", "qk", "b"), Edge("c", "fc"), Edge("row", "each"), Edge("x", "conv"),
    )  # fmt: skip
    assert value_bounds(graph) == {
        "x": 1, "c": 1023, "pool": 4, "sum": 4, "row": 1, "some": 2, "gate": 2046, "a": 1023, "qk": 2 * 1023**2,
        "fc": 6 * 1023 << 2, "each": 14, "conv": 6,
    }  # fmt: skip
    assert carries_spikes(graph, "row") and not carries_spikes(graph, "some") and not carries_spikes(graph, "pool")


def test_a_loop_without_a_neuron_has_no_bound() -> None:
    loop = {"x": Input(shape=(2,)), "r": Reshape(input_shape=(2,), shape=(2,)), "lif": lif(2)}
    graph = graph_of(loop, Edge("x", "r"), Edge("r", "r", delay=1), Edge("r", "lif"))
    with pytest.raises(ExportError, match="node r: lies in a loop without a spiking neuron"):
        value_bounds(graph)
    assert not carries_spikes(graph_of(loop, Edge("r", "r", delay=1)), "r")


def test_delayed_edges_need_no_order() -> None:
    """A source may come later in the order of computation than what it reaches a step later."""
    nodes = {
        "late": Reshape(input_shape=(2,), shape=(2,)),
        "x": Input(shape=(2,)),
        "sum": Reshape(input_shape=(2,), shape=(2,)),
    }
    graph = graph_of(nodes, Edge("x", "sum"), Edge("sum", "late", delay=1), Edge("x", "late"))
    assert value_bounds(graph) == {"x": 1, "sum": 1, "late": 2}


@pytest.mark.parametrize("seed", range(60))
def test_nothing_exceeds_its_bound(seed: int) -> None:
    """Sums that drive neurons, seen in membranes that keep nothing and never fire."""
    graph = random_graph(seed)
    bounds = value_bounds(graph)
    synapses = graph.of_type((IntegerLinear, IntegerConv, IntegerScale))
    probes: dict[str, Node] = {}
    edges = []
    for name, node in synapses.items():
        zeros = np.zeros(node.shape, dtype=np.int64)
        probes[f"probe {name}"] = IntegerLIF(
            dv=zeros + 4095, vth=zeros + 131071, bias_mant=zeros, bias_exp=0, reset="none"
        )
        edges.append(Edge(name, f"probe {name}"))
    probed = replace(graph, nodes={**graph.nodes, **probes}, edges=(*graph.edges, *edges))
    trace = run_integer(probed, random_inputs(graph, seed, num_steps=20))
    for name in synapses:
        v = trace[f"probe {name}"].v
        assert v is not None and np.abs(v).max() <= (bounds[name] << 6) * 4096 // 4095 + 1


def test_sums_together_must_not_wrap() -> None:
    weight = IntegerLinear(weight_int8=np.full((1, 8), 127), weight_exp=6)  # 65024 each, 131071 fit
    nodes: dict[str, Node] = {"x": Input(shape=(8,)), "a": weight, "b": weight, "c": weight, "lif": lif(1)}
    nodes["y"] = Output(shape=(1,))
    edges = [Edge("x", "a"), Edge("x", "b"), Edge("a", "lif"), Edge("b", "lif", "recurrent"), Edge("lif", "y")]
    verify(graph_of({name: node for name, node in nodes.items() if name != "c"}, *edges), "integer")
    with pytest.raises(RangeError, match="node lif: synaptic sums together can reach 195072 and would wrap"):
        verify(graph_of(nodes, *edges, Edge("x", "c"), Edge("c", "lif")), "integer")


def test_graded_values_have_24_bits() -> None:
    nodes: dict[str, Node] = {
        "c": Input(shape=(2, 2), kind="graded"), "cc": MatMul(shape_a=(2, 2), shape_b=(2, 2)),
        "ccc": Product(shape=(2, 2)), "x": Input(shape=(1,)), "lif": lif(1),
        "w": IntegerLinear(weight_int8=np.array([[1]]), weight_exp=0),
    }  # fmt: skip
    edges = [Edge("c", "cc", "a"), Edge("c", "cc", "b"), Edge("x", "w"), Edge("w", "lif")]
    with pytest.raises(RangeError, match="node ccc: values can reach .*, graded spikes have 24 bits"):
        verify(graph_of(nodes, *edges, Edge("cc", "ccc", "a"), Edge("c", "ccc", "b")), "integer")


@pytest.mark.parametrize("du", [0, 7, 500, 4095])
def test_a_current_stays_below_its_bound(du: int) -> None:
    rng = np.random.default_rng(du)
    exponent = 1 if du < 5 else 7
    weight = IntegerLinear(weight_int8=np.array([[127]]), weight_exp=exponent if du != 7 else 3)
    largest = current_bound(127 << weight.weight_exp, 0, du + 1, 6, 4096)
    cuba = IntegerCubaLIF(
        du=np.array([du]), dv=np.array([4095]), vth=np.array([131071]), bias_mant=np.array([0]), bias_exp=0,
        reset="none",
    )  # fmt: skip
    graph = graph_of({"x": Input(shape=(1,)), "w": weight, "n": cuba}, Edge("x", "w"), Edge("w", "n"))
    if largest > 2**23 - 1:
        with pytest.raises(RangeError, match="node n: synaptic current can reach"):
            verify(graph, "integer")
        return
    steps = np.ones((4000, 1, 1)) if du < 100 else rng.integers(0, 2, (200, 1, 1))
    v = run_integer(graph, {"x": steps})["n"].v
    assert v is not None and 0.5 * largest < np.abs(v).max() <= largest * 4096 // 4095 + 1
