from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import LIF, Input, Output, Reshape
from export.passes.balance_latency import balance_latency
from export.passes.drive_offsets import drive_offsets
from export.pipeline import fold, lower
from export.quantization.calibration import calibrate
from export.quantization.quantization_report import quantization_report
from export.verify import verify

from .graphs import FMT, full, graph_of, linear


def network(offset: Any, shape: tuple[int, ...] = (2,), delay: int = 0, second: Any = None, gain: float = 1) -> Graph:
    """θ[t] = x[t] / 4 + offset, perhaps through a Reshape, perhaps late."""
    size = int(np.prod(shape))
    nodes = {
        "x": Input(shape=(size,)),
        "fc": linear(np.eye(size) * gain),
        "current": Reshape(input_shape=(size,), shape=shape),
        "th": linear(np.eye(size) / 4, offset),
        "theta": Reshape(input_shape=(size,), shape=shape),
        "n": LIF(beta=full(shape, 0.5), threshold=None, reset="subtract"),
        "out": Output(shape=shape),
    }
    edges: list[Any] = [
        ("x", "fc"), ("fc", "current"), ("current", "n"), ("x", "th"), ("th", "theta"),
        ("theta", "n", "threshold", delay), ("n", "out"),
    ]  # fmt: skip
    if second is not None:
        nodes["more"] = linear(np.eye(size) / 2, second)
        edges += [("x", "more"), ("more", "theta")]
    graph = graph_of(nodes, edges)
    verify(graph, "float")
    return graph


def spikes(size: int, num_steps: int = 12) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).integers(0, 2, (num_steps, 20, size))}


@pytest.mark.parametrize("shape", [(2,), (2, 2)])
@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("second", [False, True])
def test_offsets_arrive_with_the_threshold(shape: tuple[int, ...], delay: int, second: bool) -> None:
    size = int(np.prod(shape))
    offset = (np.arange(size) % 3 + 2) * 0.25 + 2**-10  # more bits than one mantissa has
    graph = network(offset, shape, delay, offset if second else None, gain=2 if second else 1)
    expected = run_float(graph, spikes(size)).trace["n"]
    folded = fold(graph, FMT)
    assert np.array_equal(run_float(folded, spikes(size)).trace["n"].s, expected.s)
    integer = lower(graph, FMT)
    given = run_integer(integer, spikes(size))
    assert np.array_equal(given["n"].s, expected.s) and 0.1 < expected.s.mean() < 0.9
    balanced = run_integer(balance_latency(integer), spikes(size))
    assert np.array_equal(balanced["n"].v, given["n"].v)
    assert given["always"].s.all()


def test_the_threshold_has_the_offsets_full_resolution() -> None:
    integer = lower(network([0.7, 1.3]), FMT)
    carried = [integer.nodes[source] for source in integer.sources("n", "threshold") if source.startswith("n offset")]
    assert len(carried) == 2
    total = sum((node.weight_int8[:, 0].astype(int) << node.weight_exp) for node in carried)
    assert total.tolist() == [round(0.7 * 2048), round(1.3 * 2048)]


def test_a_network_may_have_the_names_of_what_is_added() -> None:
    graph = network([0.75, 1.25])
    names = {"fc": "always drive", "current": "n offset 0.0 shape", "th": "n offset 0.0"}
    renamed = Graph(
        nodes={names.get(name, name): node for name, node in graph.nodes.items()},
        edges=tuple(
            replace(edge, source=names.get(edge.source, edge.source), target=names.get(edge.target, edge.target))
            for edge in graph.edges
        ),
        dialect="float",
        dt_s=graph.dt_s,
    )
    expected = run_float(graph, spikes(2)).trace["n"]
    assert np.array_equal(run_integer(lower(renamed, FMT), spikes(2))["n"].s, expected.s)
    assert 0.1 < expected.s.mean() < 0.9


def test_without_offsets_nothing_is_added() -> None:
    graph = network(None)
    assert drive_offsets(graph, FMT) is graph


def test_reports_and_calibration_leave_the_added_neuron_out() -> None:
    graph, inputs = network([0.7, 1.3]), spikes(2)
    calibration = calibrate(graph, inputs, FMT)
    assert set(calibration.choices) <= {"n"}
    integer = lower(graph, FMT, calibration)
    rows = quantization_report(graph, integer, inputs, run_float(graph, inputs).trace, run_integer(integer, inputs))
    assert [row.layer for row in rows] == ["n"]
