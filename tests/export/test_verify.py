from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.errors import ExportError
from export.graph import Edge, Graph
from export.pipeline import lower
from export.reader import read_network
from export.verify import verify
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format

from ..networks import mixed_network


@pytest.fixture
def graph() -> Graph:
    return lower(read_network(mixed_network()), integer_format())


def with_node(graph: Graph, name: str, **changes: object) -> Graph:
    return graph.with_nodes({name: replace(graph.nodes[name], **changes)})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("fc2", {"weight_exp": 30}, "weight_exp spans 30..30, allowed is -7..24"),
        ("fc2", {"weight_exp": 16}, "node fc2: synaptic sum can reach .* and would wrap, allowed is 131071"),
        ("lif2", {"dv": np.full(20, 4096)}, "node lif2: dv spans 4096..4096, allowed is 0..4095"),
        ("lif2", {"vth": np.full(20, 131072)}, "node lif2: vth spans 131072..131072, allowed is 1..131071"),
        ("lif2", {"vth": np.zeros(20, dtype=int)}, "node lif2: vth spans 0..0"),
        ("lif2", {"bias_mant": np.full(20, 4096)}, "bias_mant spans 4096..4096, allowed is -4095..4095"),
        ("lif2", {"bias_exp": 8}, "bias_exp spans 8..8, allowed is 0..7"),
        ("lif1", {"theta_shift": 12}, "node lif1: shifted threshold spans"),
    ],
)
def test_integers_out_of_their_fields(graph: Graph, name: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RangeError, match=message):
        verify(with_node(graph, name, **changes), "integer")


def test_controller_accumulator_is_proven(graph: Graph) -> None:
    controller = replace(graph.nodes["lif1"].controller, weight_count=1 << 27)
    with pytest.raises(RangeError, match="node lif1: threshold drive can reach"):
        verify(with_node(graph, "lif1", controller=controller), "integer")


def test_dialects_do_not_mix(graph: Graph) -> None:
    with pytest.raises(ExportError, match="dialect 'integer', allowed here is 'float'"):
        verify(graph, "float")


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (Edge("x", "nowhere"), "no node 'nowhere'"),
        (Edge("x", "lif1", "reset"), "no port 'reset'"),
        (Edge("lif2", "lif1", "context"), "edge lif2 -> lif1.context: sends 20 values, allowed is 4"),
        (Edge("context", "fc1"), "edge context -> fc1.input: sends 4 values, allowed is 32"),
        (Edge("x", "lif1", "population"), "its threshold counts x, x, allowed is one layer of spikes"),
        (Edge("output_0", "fc4"), "or an Output sends"),
        (Edge("fc4", "output_0"), "node output_0: receives values that are not spikes"),
        (Edge("x", "fc1", delay=-1), "delay -1, allowed is 0 or more"),
    ],
)
def test_wrong_edges(graph: Graph, edge: Edge, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        verify(replace(graph, edges=(*graph.edges, edge)), "integer")


def test_context_comes_graded_from_the_host(graph: Graph) -> None:
    with pytest.raises(ExportError, match="node lif1: context comes from context .Input., allowed is a graded input"):
        verify(with_node(graph, "context", kind="spike"), "integer")


def test_missing_edge_and_loop(graph: Graph) -> None:
    with pytest.raises(ExportError, match="node lif1: nothing arrives at port 'population'"):
        verify(replace(graph, edges=tuple(e for e in graph.edges if e.port != "population")), "integer")
    looped = (*(e for e in graph.edges if e.target != "fc1"), Edge("lif4", "fc1"))
    with pytest.raises(ExportError, match="loop through|sends 12 values"):
        verify(replace(graph, edges=looped), "integer")
