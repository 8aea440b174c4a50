from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

from export.errors import UnsupportedModuleError
from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.nir_file import read_nir, write_nir
from export.nodes import LI, LIF, CubaLIF, DynamicThresholdLIF, Input, Scale, Threshold
from export.passes.standardize import standardize

from ..nir_graphs import GRAPHS, Net, controller, inputs_for

STANDARD = {"Input", "Output", "Affine", "Linear", "LI", "I", "LIF", "IF", "CubaLI", "Threshold", "Scale", "Delay"}


def two_layers(kind: str, *, delay: bool, recurrent: bool) -> Graph:
    net = Net(11, bits=3)
    net.add("x", Input(shape=(12,)))
    make = net.lif if kind == "LIF" else net.cuba
    make("first", net.linear("fc1", "x", 20), "subtract", reset_delay=delay)
    make("second", net.linear("fc2", "first", 10), "subtract", reset_delay=delay)
    if recurrent:
        net.link("second", "second", "recurrent", delay=1)
    return net.graph("second")


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_subtraction_in_standard_nodes_has_the_same_spikes(
    kind: str, delay: bool, recurrent: bool, tmp_path: Path
) -> None:
    graph = two_layers(kind, delay=delay, recurrent=recurrent)
    write_nir(graph, tmp_path / "standard.nir", standard_only=True)
    types = {type(node).__name__ for node in nir.read(str(tmp_path / "standard.nir")).nodes.values()}
    assert types <= STANDARD
    inputs = inputs_for(graph, 100, 8, rate=0.6)
    ours, theirs = run_float(graph, inputs).trace, run_float(read_nir(tmp_path / "standard.nir"), inputs).trace
    for name in ("first", "second"):
        assert np.array_equal(ours[name].s, theirs[name].s) and 0.02 < ours[name].s.mean() < 0.95
    without = graph.with_nodes(
        {name: replace(node, reset="none") for name, node in graph.of_type((LIF, CubaLIF)).items()}
    )
    assert (run_float(without, inputs).trace["first"].s != ours["first"].s).any()


def test_the_two_kinds_of_subtraction_differ() -> None:
    inputs = inputs_for(two_layers("LIF", delay=True, recurrent=False), 100, 8, rate=0.6)
    late, at_once = (
        run_float(two_layers("LIF", delay=delay, recurrent=False), inputs).trace["first"].s for delay in (True, False)
    )
    assert (late != at_once).any()


def test_a_delayed_subtraction_by_hand() -> None:
    graph = standardize(two_layers("LIF", delay=True, recurrent=False))
    assert {(e.source, e.target, e.delay) for e in graph.edges if "first" in (e.source, e.target)} == {
        ("fc1", "first", 0),
        ("first", "fc2", 0),
        ("first", "first.reset", 1),
        ("first.reset", "first", 0),
    }
    neuron, feedback = graph.nodes["first"], graph.nodes["first.reset"]
    assert isinstance(neuron, LIF) and neuron.reset == "none" and isinstance(feedback, Scale)
    assert neuron.threshold is not None and np.array_equal(feedback.weight, -neuron.threshold)


def test_an_immediate_subtraction_has_two_thresholds() -> None:
    graph = standardize(two_layers("CubaLIF", delay=False, recurrent=False))
    kinds = {name: type(node) for name, node in graph.nodes.items() if name.startswith("first")}
    assert kinds == {
        "first": Threshold,
        "first.current": LI,
        "first.before_reset": LI,
        "first.owed": Threshold,
        "first.decayed": Scale,
        "first.paid": Scale,
        "first.owing": Scale,
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"inhibition": True}, "inhibition within the layer"),
        ({"reset": "clear", "reset_delay": True}, "its reset erases the input of the step after a spike"),
        ({"threshold": None}, "its threshold arrives as a signal"),
    ],
)
def test_refusals_name_node_and_reason(options: dict[str, object], reason: str) -> None:
    net = Net()
    net.lif("neuron", net.linear("fc", net.add("x", Input(shape=(4,))), 4), **{"reset": "subtract", **options})
    with pytest.raises(UnsupportedModuleError, match=f"node neuron: {reason}.*leave out --standard-only"):
        standardize(net.graph("neuron"))


def test_matrix_products_have_no_standard_form() -> None:
    with pytest.raises(UnsupportedModuleError, match="node scores: MatMul has no form"):
        standardize(GRAPHS["tokens"]())


def test_frozen_thresholds_are_the_ones_without_drive() -> None:
    net = Net(3)
    net.add("x", Input(shape=(12,)))
    node = DynamicThresholdLIF(beta=net.decay((8,)), controller=controller(12, 0))
    net.add("moving", node, net.linear("fc", "x", 8))
    net.link("x", "moving", "population")
    with pytest.raises(UnsupportedModuleError, match="node moving: its threshold moves under a hard reset"):
        standardize(net.graph("moving"))
    frozen = standardize(net.graph("moving"), freeze=True).nodes["moving"]
    assert isinstance(frozen, LIF) and frozen.reset == "zero" and not frozen.reset_delay
    assert np.unique(frozen.threshold) == 64 / 2**6  # theta_0 of the controller, 6 fraction bits
