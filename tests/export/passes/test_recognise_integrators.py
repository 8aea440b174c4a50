from __future__ import annotations

import numpy as np
import pytest

from export.errors import ExportError
from export.graph import Edge, Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import LI, LIF, CubaLIF, Input, Output, Scale, Threshold
from export.passes.recognise_integrators import recognise_integrators
from export.passes.standardize import standardize
from export.pipeline import lower
from export.verify import verify

from .graphs import FMT, full, graph_of, linear

THETA = np.float32([0.75, 1.25])


def loop(feedback: np.ndarray | None, *delays: int, more: tuple[Edge, ...] = ()) -> Graph:
    """fc -> LI -> Threshold, and perhaps its spikes through a Scale back into the integrator."""
    nodes = {
        "x": Input(shape=(3,)),
        "fc": linear([[1, 0.5, 0.25], [0.5, 0.5, 1]]),
        "li": LI(beta=full((2,), 0.5)),
        "spk": Threshold(threshold=THETA),
        "out": Output(shape=(2,)),
    }
    edges = [Edge("x", "fc"), Edge("fc", "li"), Edge("li", "spk"), Edge("spk", "out"), *more]
    if feedback is not None:
        nodes["back"] = Scale(weight=feedback, shape=(2,))
        edges += [Edge("spk", "back", delay=delays[0]), Edge("back", "li", delay=delays[1])]
    return graph_of(nodes, edges)


@pytest.mark.parametrize(
    ("feedback", "delays", "reset"),
    [
        (None, (), "none"),
        (-THETA, (1, 0), "subtract"),
        (-THETA, (0, 1), "subtract"),
        (-THETA, (2, 0), "none"),
        (np.float32(-1), (1, 0), "none"),
    ],
)
def test_the_same_spikes(feedback: np.ndarray | None, delays: tuple[int, ...], reset: str) -> None:
    graph = loop(feedback, *delays)
    fused = recognise_integrators(graph, FMT)
    verify(fused, "float")
    neuron = fused.nodes["spk"]
    assert isinstance(neuron, LIF) and neuron.reset == reset and not fused.of_type(LI)
    assert ("back" in fused.nodes) == (feedback is not None and reset == "none")
    x = np.random.default_rng(0).integers(0, 2, (40, 8, 3))
    before, after = run_float(graph, {"x": x}).trace["spk"], run_float(fused, {"x": x}).trace["spk"]
    assert np.array_equal(before.s, after.s) and 0.1 < before.s.mean() < 0.9


@pytest.mark.parametrize("subtracts", [True, False])
def test_an_integrator_before_a_neuron_is_a_synaptic_current(subtracts: bool) -> None:
    nodes = {
        "x": Input(shape=(3,)),
        "fc": linear([[1, 0.5, 0.25], [0.5, 0.5, 1]]),
        "current": LI(beta=full((2,), 0.25)),
        "spk": LIF(beta=full((2,), 0.5), threshold=THETA, reset="none"),
        "out": Output(shape=(2,)),
    }
    edges = [Edge("x", "fc"), Edge("fc", "current"), Edge("current", "spk"), Edge("spk", "out")]
    if subtracts:
        nodes["back"] = Scale(weight=-THETA, shape=(2,))
        edges += [Edge("spk", "back", delay=1), Edge("back", "spk")]
    graph = graph_of(nodes, edges)
    fused = recognise_integrators(graph, FMT)
    verify(fused, "float")
    neuron = fused.nodes["spk"]
    assert isinstance(neuron, CubaLIF) and neuron.reset == ("subtract" if subtracts else "none")
    assert set(fused.nodes) == {"x", "fc", "spk", "out"}
    x = np.random.default_rng(0).integers(0, 2, (12, 30, 3))
    before, after = run_float(graph, {"x": x}).trace["spk"], run_float(fused, {"x": x}).trace["spk"]
    assert np.array_equal(before.s, after.s) and 0.1 < before.s.mean() < 0.95


@pytest.mark.parametrize("kind", [LIF, CubaLIF])
def test_the_standard_form_of_a_neuron_has_the_same_integers(kind: type) -> None:
    alpha = {"alpha": full((2,), 0.6)} if kind is CubaLIF else {}
    nodes = {
        "x": Input(shape=(3,)),
        "fc": linear(np.random.default_rng(0).normal(0.3, 0.4, (2, 3))),
        "n": kind(beta=full((2,), 0.9), threshold=THETA, reset="subtract", **alpha),
        "out": Output(shape=(2,)),
    }
    graph = graph_of(nodes, [("x", "fc"), ("fc", "n"), ("n", "out")])
    standard = standardize(graph)
    assert len(standard.nodes) > len(graph.nodes)
    x = {"x": np.random.default_rng(1).integers(0, 2, (60, 8, 3))}
    expected, given = run_integer(lower(graph, FMT), x), run_integer(lower(standard, FMT), x)
    assert set(expected) == set(given) == {"n"} and np.array_equal(expected["n"].v, given["n"].v)
    assert 0.05 < expected["n"].s.mean() < 0.95


def test_an_integrator_before_a_reset_to_zero_is_refused() -> None:
    graph = loop(None)
    lif = LIF(beta=full((2,), 0.5), threshold=THETA, reset="zero", reset_delay=False)
    with pytest.raises(
        ExportError, match="node li: its membrane goes to spk, allowed in integers is one Threshold, or"
    ):
        recognise_integrators(graph.with_nodes({"spk": lif}), FMT)


@pytest.mark.parametrize(
    ("more", "told"),
    [((Edge("li", "out2"),), "spk, out2"), ((Edge("x2", "spk"),), "spk")],
)
def test_other_integrators_are_refused(more: tuple[Edge, ...], told: str) -> None:
    graph = loop(None, more=more)
    extra = {"out2": Output(shape=(2,))} if told != "spk" else {"x2": Input(shape=(2,))}
    graph = graph_of({**graph.nodes, **extra}, graph.edges)
    with pytest.raises(
        ExportError, match=f"node li: its membrane goes to {told}, allowed in integers is one Threshold"
    ):
        recognise_integrators(graph, FMT)
