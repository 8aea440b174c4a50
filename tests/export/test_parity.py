"""The parity ladder: what is counted, when a rung holds, and how it is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.graph import Edge, Graph
from export.interpreters.float_interpreter import run_float
from export.nodes import LIF, Input, Linear, Output
from export.parity import compare_bounded, compare_exact, compare_quantised, count_unexplained
from export.trace import LayerTrace
from hardware_profiles.artifact import read_json
from hardware_profiles.rungs import Exactness, LayerParity, Rung, print_rungs, write_parity


def layer(**changes: Any) -> LayerParity:
    values: dict[str, Any] = {
        "name": "lif", "compared": 100, "mismatches": 0, "membrane_mismatches": None, "unexplained": None,
        "spikes": 30, "silent_neurons": 2, "num_neurons": 10,
    }  # fmt: skip
    return LayerParity(**{**values, **changes})


def rung(exactness: Exactness, *layers: LayerParity) -> Rung:
    return Rung(name="a = b", left="a", right="b", exactness=exactness, layers=layers)


@pytest.mark.parametrize(
    ("exactness", "changes", "holds"),
    [
        ("exact", {}, True),
        ("exact", {"membrane_mismatches": 0}, True),
        ("exact", {"mismatches": 1}, False),
        ("exact", {"membrane_mismatches": 1}, False),
        ("exact", {"mismatches": 1, "membrane_mismatches": 0, "unexplained": 0}, False),
        ("bounded", {"unexplained": 0}, True),
        ("bounded", {"unexplained": 0, "mismatches": 7}, True),
        ("bounded", {"unexplained": 1}, False),
        ("quantised", {"mismatches": 50}, True),
    ],
)
def test_when_a_rung_holds(exactness: Exactness, changes: dict[str, int], holds: bool) -> None:
    assert rung(exactness, layer(**changes)).holds is holds
    clean = layer(unexplained=0)
    assert rung(exactness, clean, layer(**changes), clean).holds is holds


def trace_of(s: list[list[int]], v: list[list[int]] | None = None, theta: list[int] | None = None) -> LayerTrace:
    """One sample: rows are steps, columns neurons."""
    return LayerTrace(
        s=np.array(s, dtype=np.uint8)[:, None, :],
        v=None if v is None else np.array(v)[:, None, :],
        theta=None if theta is None else np.array(theta)[:, None],
    )


LEFT = trace_of([[1, 0, 0], [1, 1, 0]], v=[[0, 5, -3], [0, 0, 2]], theta=[7, 8])


def test_equal_worlds() -> None:
    result = compare_exact("a = b", "a", "b", {"lif": LEFT}, {"lif": dataclasses.replace(LEFT)})
    assert result == rung("exact", layer(compared=6, membrane_mismatches=0, spikes=3, silent_neurons=1, num_neurons=3))
    assert result.holds


@pytest.mark.parametrize(
    ("changes", "mismatches", "membrane_mismatches"),
    [
        ({"s": [[1, 0, 1], [0, 1, 0]]}, 2, 0),
        ({"v": [[0, 5, -3], [0, 0, 3]]}, 0, 1),
        ({"theta": [8, 7]}, 0, 2),
        ({"s": [[0, 0, 0], [0, 0, 0]], "v": [[1, 6, -3], [1, 0, 2]], "theta": [7, 9]}, 3, 4),
    ],
)
def test_every_difference_is_counted(changes: dict[str, Any], mismatches: int, membrane_mismatches: int) -> None:
    values = {"s": [[1, 0, 0], [1, 1, 0]], "v": [[0, 5, -3], [0, 0, 2]], "theta": [7, 8], **changes}
    result = compare_exact("", "a", "b", {"lif": LEFT}, {"lif": trace_of(**values)})
    (found,) = result.layers
    assert (found.mismatches, found.membrane_mismatches) == (mismatches, membrane_mismatches) and not result.holds
    assert (found.spikes, found.silent_neurons) == (3, 1), "of the left world"


def test_membranes_that_nobody_recorded_are_not_called_equal() -> None:
    spikes = trace_of([[1, 0, 0], [1, 1, 0]])
    (found,) = compare_exact("", "a", "b", {"lif": spikes}, {"lif": spikes}).layers
    assert found.membrane_mismatches is None


@pytest.mark.parametrize(
    "right",
    [{"other": LEFT}, {}, {"lif": trace_of([[1, 0], [1, 1]])}, {"lif": dataclasses.replace(LEFT, theta=None)}],
    ids=["another layer", "no layer", "another shape", "another record"],
)
def test_worlds_that_cannot_be_compared_are_a_bug(right: dict[str, LayerTrace]) -> None:
    with pytest.raises(AssertionError):
        compare_exact("", "a", "b", {"lif": LEFT}, right)


def test_quantisation_states_rates_and_always_holds() -> None:
    right = trace_of([[0, 0, 0], [0, 1, 0]])
    result = compare_quantised("", "float", "integer", {"lif": LEFT}, {"lif": right})
    (found,) = result.layers
    assert (found.mismatches, found.membrane_mismatches, found.unexplained) == (2, None, None) and result.holds
    assert found.note == "rate 0.5000 → 0.1667 spikes per neuron and step"  # 3 and 1 of 6


def two_neurons() -> tuple[Graph, dict[str, np.ndarray]]:
    """On an input of ones, neuron 0 decides at U = θ up to rounding, neuron 1 a ten-thousandth above θ."""
    weight = np.random.default_rng(0).random((2, 40)).astype(np.float32)
    threshold = weight.astype(np.float64).sum(axis=1) * [1, 0.9999]
    nodes = {
        "x": Input(shape=(40,)),
        "w": Linear(weight=weight),
        "lif": LIF(beta=np.zeros(2, np.float32), threshold=threshold.astype(np.float32), reset="none"),
        "y": Output(shape=(2,)),
    }
    edges = (Edge("x", "w"), Edge("w", "lif"), Edge("lif", "y"))
    return Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3), {"x": np.ones((1, 1, 40), dtype=np.uint8)}


@pytest.mark.parametrize(("neuron", "explained"), [(0, True), (1, False)])
def test_only_a_decision_next_to_the_threshold_is_explained(neuron: int, explained: bool) -> None:
    graph, inputs = two_neurons()
    left = run_float(graph, inputs).trace
    other = left["lif"].s.copy()
    other[0, 0, neuron] ^= 1
    right = {"lif": LayerTrace(s=other, v=left["lif"].v)}
    result = compare_bounded("", "a", "b", left, right, graph, inputs)
    (found,) = result.layers
    assert found.mismatches == 1 and found.membrane_mismatches is None
    assert found.unexplained == (0 if explained else 1) and result.holds is explained
    assert count_unexplained(graph, inputs, left) == {"lif": 0}
    assert compare_bounded("", "b", "a", right, left, graph, inputs).holds is explained, "whichever world is wrong"


RUNGS = (
    rung("exact", layer(membrane_mismatches=0), layer(name="lif2", mismatches=3, membrane_mismatches=4)),
    rung("bounded", layer(mismatches=2, unexplained=0)),
    rung("quantised", layer(mismatches=9, note="rate 0.1 → 0.2")),
)


def test_the_ladder_as_json(tmp_path: Path) -> None:
    write_parity(tmp_path / "parity.json", RUNGS)
    values = read_json(tmp_path / "parity.json")
    assert values["format"] == "axonport-parity-1"
    assert [(entry["class"], entry["holds"]) for entry in values["rungs"]] == [
        ("exact", False),
        ("bounded", True),
        ("quantised", True),
    ]
    first = values["rungs"][0]
    assert set(first) == {"name", "left", "right", "class", "layers", "holds"}
    assert first["layers"][1] == {
        "name": "lif2",
        "compared": 100,
        "mismatches": 3,
        "membrane_mismatches": 4,
        "unexplained": None,
        "spikes": 30,
        "silent_neurons": 2,
        "num_neurons": 10,
        "note": "",
    }


def test_the_ladder_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    print_rungs(RUNGS)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "a = b  [exact: DOES NOT HOLD]",
        "  3 of 200 spikes differ, 4 membranes; 2 layers, 60 spikes, 4 of 20 neurons silent",
        "    lif2: 3 of 100 spikes differ, 4 membranes",
        "a = b  [bounded: holds]",
        "  2 of 100 spikes differ; 1 layers, 30 spikes, 2 of 10 neurons silent",
        "    lif: 2 of 100 spikes differ, 0 beyond rounding",
        "a = b  [quantised: differs]",
        "  9 of 100 spikes differ; 1 layers, 30 spikes, 2 of 10 neurons silent",
    ]


def test_silence_is_said_to_prove_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent = LayerParity(name="lif", compared=100, mismatches=0, spikes=0, silent_neurons=10, num_neurons=10)
    print_rungs((Rung(name="a = b", left="a", right="b", exactness="exact", layers=(silent,)),))
    assert "[exact: SAYS NOTHING, for nothing spiked]" in capsys.readouterr().out
