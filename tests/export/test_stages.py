"""Slower stages through export: refusals, passes, files, ONNX; their runs are in `lava_runtime/test_stages`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export.errors import ExportError, UnsupportedModuleError
from export.export_report import count_words
from export.graph import Edge, Graph
from export.graph_file import load_graph, save_graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.netx_file import write_netx
from export.nir_file import read_nir, write_nir
from export.nodes import (
    LI,
    LIF,
    CubaLIF,
    DynamicThresholdLIF,
    Input,
    IntegerLinear,
    IntegerWindowSum,
    Linear,
    Node,
    Output,
    Scale,
    WindowSum,
)
from export.onnx_model.network import write_onnx
from export.onnx_model.run import onnx_trace, run_onnx
from export.parity import count_unexplained
from export.passes.recognise_integrators import recognise_integrators
from export.passes.window_weights import round_window, window_mantissas
from export.pipeline import fold, lower
from export.quantization.calibration import calibrate
from export.quantization.quantization_report import quantization_report
from export.trace import Trace
from export.verify import verify
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format

FMT = integer_format()
RATES = (1, 2, 4)


def quarters(rng: np.random.Generator, *shape: int, low: int = -3, high: int = 6) -> Any:
    return (rng.integers(low, high, shape) / 4).astype(np.float32)


def halves(rng: np.random.Generator, size: int) -> Any:
    return (0.5 ** rng.integers(0, 2, size)).astype(np.float32)


class Stages:
    """Three stages of two layers each on multiples of 1/4, so that no sum rounds; the last layer's threshold moves."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: dict[str, Node] = {"x": Input(shape=(6,)), "c": Input(shape=(2,), kind="graded")}
        self.edges: list[Edge] = []
        last = "x"
        for stage, period in enumerate(RATES):
            if stage:
                last = self.add(f"p{stage}", WindowSum(weight=self.shares(), shape=(6,)), last)
            first = self.neuron(f"a{stage}", last, period)
            last = self.dynamic(f"b{stage}", first) if stage else self.neuron(f"b{stage}", first, period)
        for stage, period in enumerate(RATES):
            moving = self.neuron(f"m{stage}", f"a{stage}", period, moving=True)
            self.add(f"y{stage}", Output(shape=(6,)), moving)

    def graph(self) -> Graph:
        graph = Graph(nodes=self.nodes, edges=tuple(self.edges), dialect="float", dt_s=1e-3)
        verify(graph, "float")
        return graph

    def shares(self) -> Any:
        first = self.rng.integers(1, 4) / 4
        return np.array([first, 1 - first], dtype=np.float32)

    def add(self, name: str, node: Node, source: str, port: str = "input", delay: int = 0) -> str:
        self.nodes[name] = node
        self.edges.append(Edge(source, name, port, delay))
        return name

    def linear(self, name: str, source: str, delay: int = 0, low: int = -3) -> str:
        node = Linear(weight=quarters(self.rng, 6, 6, low=low), bias=quarters(self.rng, 6, low=low, high=4))
        return self.add(name, node, source, delay=delay)

    def neuron(self, name: str, source: str, period: int, *, moving: bool = False) -> str:
        common: dict[str, Any] = {
            "beta": halves(self.rng, 6),
            "threshold": None if moving else (self.rng.integers(3, 9, 6) / 4).astype(np.float32),
            "reset": str(self.rng.choice(["subtract", "none", "clear"])),
            "reset_delay": bool(self.rng.random() < 0.5),
        }
        node = LIF(**common) if self.rng.random() < 0.6 else CubaLIF(alpha=halves(self.rng, 6) * 0.5, **common)
        self.add(name, node, self.linear(f"{name}.w", source))
        self.edges.append(Edge(self.linear(f"{name}.back", name, delay=period), name, "recurrent"))
        if moving:
            self.edges.append(Edge(self.linear(f"{name}.theta", source, low=2), name, "threshold", period))
        return name

    def dynamic(self, name: str, source: str) -> str:
        controller = ThresholdController(
            population=6, num_groups=2, weight_count=1 << 21, weight_deviation=1 << 20, weight_context=(1 << 14, 99),
            bias=1 << 20, theta_0=300, amplitude=200, fraction_bits=8,
        )  # fmt: skip
        node = DynamicThresholdLIF(beta=halves(self.rng, 6), controller=controller)
        self.add(name, node, self.linear(f"{name}.w", source))
        self.edges += [Edge(source, name, "population"), Edge("c", name, "context")]
        return name


def inputs(seed: int, num_steps: int = 8, batch: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = (rng.random((num_steps, batch, 6)) < 0.4).astype(np.uint8)
    return {"x": x, "c": rng.integers(-900, 900, (num_steps, batch, 2)).astype(np.int16)}


def assert_equal(left: Trace, right: Trace, *, membranes: bool = True) -> None:
    for name, layer in left.items():
        assert np.array_equal(layer.s, right[name].s), name
        assert layer.theta is None or np.array_equal(layer.theta, right[name].theta), name
        assert not membranes or layer.v is None or np.array_equal(layer.v, right[name].v), name


def count(seen: Counter[str], trace: Trace) -> None:
    for name, layer in trace.items():
        period = 4 if name.endswith("2") else 2 if name.endswith("1") else 1
        seen[f"{name} spikes"] += int(layer.s.sum())
        seen[f"{name} silence"] += int((layer.s[period - 1 :: period] == 0).sum())


def assert_lively(seen: Counter[str]) -> None:
    layers = [f"{kind}{stage}" for kind in "abm" for stage in range(3)]
    assert min(seen[f"{layer} {what}"] for layer in layers for what in ("spikes", "silence")) > 20, seen


# passes


def test_passes_change_nothing_on_dyadic_numbers() -> None:
    seen: Counter[str] = Counter()
    for seed in range(60):
        graph, x = Stages(seed).graph(), inputs(seed)
        expected = run_float(graph, x, dtype=torch.float64).trace
        assert_equal(expected, run_float(fold(graph, FMT), x, dtype=torch.float64).trace)
        try:
            integer = lower(graph, FMT)
        except RangeError:
            seen["refused"] += 1
            continue
        given = run_integer(integer, x)
        if any(layer.saturations for layer in given.values()):
            seen["saturated"] += 1
            continue
        assert_equal(expected, given, membranes=False)
        assert {name for name in given if name not in expected} == {"always", "always.2", "always.4"}
        for name, period in (("always", 1), ("always.2", 2), ("always.4", 4)):
            assert given[name].s[period - 1 :: period].all()
        count(seen, expected)
    assert seen["refused"] + seen["saturated"] < 20, seen
    assert_lively(seen)


def slow_layer(fan_in: int) -> Graph:
    """A window over `fan_in` neurons, and one neuron whose weights need all of their eight bits."""
    rng = np.random.default_rng(4)
    ones = np.ones(1, dtype=np.float32)
    nodes: dict[str, Node] = {
        "x": Input(shape=(fan_in,)),
        "p": WindowSum(weight=np.array([0.25, 0.75], dtype=np.float32), shape=(fan_in,)),
        "w": Linear(weight=(rng.integers(-60, 128, (1, fan_in)) / 256).astype(np.float32)),
        "l": LIF(beta=ones * 0.5, threshold=ones * 12, reset="zero", reset_delay=False),
        "y": Output(shape=(1,)),
    }
    return Graph(nodes=nodes, edges=tuple(Edge(*pair) for pair in pairwise(nodes)), dialect="float", dt_s=1e-3)


def test_exponents_go_below_zero_so_that_weights_keep_their_bits() -> None:
    graph = slow_layer(800)
    integer = lower(graph, FMT)
    synapse, window = integer.nodes["w"], integer.nodes["p"]
    assert isinstance(synapse, IntegerLinear) and isinstance(window, IntegerWindowSum)
    assert window.weight_uint8.tolist() == [32, 96]
    assert synapse.weight_exp < 0 and np.abs(synapse.weight_int8).max() > 63
    assert np.array_equal(synapse.weight_int8, graph.nodes["w"].weight * 256)  # type: ignore[union-attr]
    verify(integer, "integer")
    for exponent, message in ((-7, "before its exponent of -7, allowed is 8388607"), (0, "would wrap")):
        wide = replace(synapse, weight_exp=exponent, weight_int8=np.full((1, 800), 127))
        with pytest.raises(RangeError, match=message):
            verify(integer.with_nodes({"w": wide}), "integer")


def test_calibration_and_report_take_slow_layers_alone() -> None:
    """A layer cut out of its stage is driven by what its neighbours did on their ticks."""
    num_exact = 0
    for seed in range(3):
        graph, x = Stages(seed).graph(), inputs(seed)
        integer = lower(graph, FMT)
        trace, integer_trace = run_float(graph, x).trace, run_integer(integer, x)
        assert calibrate(graph, x, FMT).num_decisions == sum(6 * 3 * 8 // RATES[int(name[-1])] for name in trace)
        rows = {row.layer: row for row in quantization_report(graph, integer, x, trace, integer_trace)}
        assert set(rows) == set(trace)
        for name, row in rows.items():
            assert row.num_decisions == 6 * 3 * 8 // RATES[int(name[-1])]
            assert row.num_by_weights == row.num_by_decays == row.num_by_thresholds == 0, name
            if not row.saturations:
                assert row.num_differ_alone == 0, name
                num_exact += graph.period[name] > 1 and trace[name].s.any()
    assert num_exact > 9


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=128).filter(lambda w: sum(w) > 1e-30))
def test_largest_remainder(weights: list[float]) -> None:
    weight = np.array(weights, dtype=np.float32)
    rounded = round_window(weight)
    shares = weight.astype(np.float64) / weight.sum(dtype=np.float64) * 128
    assert rounded.dtype == np.uint8 and rounded.sum(dtype=int) == 128
    assert (np.abs(rounded - shares) < 1 + 1e-9).all()
    assert np.array_equal(round_window(rounded.astype(np.float32) / 128), rounded)


@pytest.mark.parametrize(
    ("weight", "mantissas", "factor"),
    [
        ([0.25, 0.75], [32, 96], 1 / 128),
        ([0.3, 0.7], [38, 90], 1 / 128),
        ([1 / 3, 1 / 3, 1 / 3], [43, 43, 42], 1 / 128),
        ([0, 1], [0, 128], 1 / 128),
        ([1, 1, 1], [128, 128, 128], 1 / 128),
        ([1, 3], [64, 192], 1 / 64),
        ([200, 7], [200, 7], 1),
        ([300, 100], [96, 32], 400 / 128),
    ],
)
def test_windows_as_bytes(weight: list[float], mantissas: list[int], factor: float) -> None:
    found, unit = window_mantissas(np.array(weight, dtype=np.float32))
    assert found.tolist() == mantissas and unit == pytest.approx(factor, rel=1e-6)


# refusals


def changed(graph: Graph, source: str, target: str, **changes: Any) -> Graph:
    edges = (replace(e, **changes) if (e.source, e.target) == (source, target) else e for e in graph.edges)
    return replace(graph, edges=tuple(edges))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda g: replace(g, edges=(*g.edges, Edge("b0", "a2.w"))),
            r"node a2.w: \w+ arrives every \d steps, something else every \d, allowed is one period; "
            "sum what arrives more often with a WindowSum of ratio 4",
        ),
        (
            lambda g: changed(g, "a1", "a1.back", delay=3),
            "edge a1 -> a1.back: delay 3, allowed where a1 ticks every 2 steps are multiples of 2",
        ),
        (
            lambda g: replace(g, edges=(*g.edges, Edge("b1", "p1", delay=2))),
            "node p1: b1 arrives every 2 steps, something else every 1",
        ),
        (
            lambda g: g.with_nodes({"p1": WindowSum(weight=np.float32([0.5, -0.5]), shape=(6,))}),
            r"node p1: a window with weights of shape \(2,\), allowed is \[ratio\], none negative",
        ),
        (
            lambda g: g.with_nodes({"p1": WindowSum(weight=np.zeros(2, np.float32), shape=(6,))}),
            "node p1: a window with weights",
        ),
        (lambda g: g.with_nodes({"x": Input(shape=(6,), period=0)}), r"node x: comes every 0 steps, allowed is 1\.\."),
    ],
)
def test_verify_names_what_does_not_tick_together(make: Any, message: str) -> None:
    graph = Stages(0).graph()
    with pytest.raises(ExportError, match=message) as error:
        verify(make(graph), "float")
    assert "\n" not in str(error.value)


def test_periods_end_where_float32_ends_to_count() -> None:
    graph = slow_layer(2)
    verify(graph.with_nodes({"p": WindowSum(weight=np.ones(1 << 24, np.float32), shape=(2,))}), "float")
    wide = graph.with_nodes({"p": WindowSum(weight=np.ones((1 << 24) + 1, np.float32), shape=(2,))})
    with pytest.raises(ExportError, match="node p: ticks every 16777217 steps, allowed is up to 16777216"):
        verify(wide, "float")


def test_values_that_are_not_spikes_are_refused_where_spikes_must_be() -> None:
    graph = slow_layer(4)
    with pytest.raises(ExportError, match="node p: takes the weighted sums of w, allowed in integers are spikes"):
        edges = (Edge("x", "w"), Edge("w", "p"), Edge("p", "l"), Edge("l", "y"))
        small = replace(graph, edges=edges).with_nodes({"p": WindowSum(weight=np.float32([0.25, 0.75]), shape=(1,))})
        lower(small, FMT)


def test_netx_and_standard_nir_refuse_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="node p: is IntegerWindowSum that ticks every 2 steps, netx's layers tick"):
        write_netx(lower(slow_layer(4), FMT), tmp_path / "n.net")
    with pytest.raises(UnsupportedModuleError, match="node p: WindowSum begins a stage that ticks 2 times as seldom"):
        write_nir(slow_layer(4), tmp_path / "n.nir", standard_only=True)
    slow_input = slow_layer(4).with_nodes({"x": Input(shape=(4,), period=3)})
    with pytest.raises(UnsupportedModuleError, match="node x: its values come every 3 steps"):
        write_nir(slow_input, tmp_path / "n.nir", standard_only=True)
    assert not list(tmp_path.iterdir())


# files


def test_nir_files_keep_every_bit(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(6):
        graph, x = Stages(seed).graph(), inputs(seed, num_steps=24)
        write_nir(graph, tmp_path / "stages.nir")
        again = read_nir(tmp_path / "stages.nir")
        assert set(again.nodes) == set(graph.nodes) and set(again.edges) == set(graph.edges)
        assert again.period == graph.period
        trace = run_float(graph, x).trace
        assert_equal(trace, run_float(again, x).trace)
        count(seen, trace)
    assert_lively(seen)


def test_time_constants_in_nir_belong_to_the_stage(tmp_path: Path) -> None:
    """A membrane that keeps half of itself per tick of 6 ms has tau = 12 ms."""
    shape = (2, 3)
    nodes: dict[str, Node] = {
        "x": Input(shape=shape, period=3),
        "p": WindowSum(weight=np.array([0.5, 0.5], dtype=np.float32), shape=shape),
        "l": LIF(beta=np.full(shape, 0.5, np.float32), threshold=np.full(shape, 0.6, np.float32), reset="none"),
        "li": LI(beta=np.full(shape, 0.75, np.float32)),
        "y": Output(shape=shape),
    }
    edges = (*(Edge(*pair) for pair in pairwise(("x", "p", "l", "y"))), Edge("p", "li"))
    graph = Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3)
    write_nir(graph, tmp_path / "m.nir")
    written = nir.read(tmp_path / "m.nir").nodes
    np.testing.assert_allclose(written["l.membrane"].tau, 12e-3)
    np.testing.assert_allclose(written["li"].tau, 24e-3)
    again = read_nir(tmp_path / "m.nir")
    assert again.period == graph.period and again.inputs()["x"].period == 3
    x = np.zeros((12, 2, *shape), dtype=np.uint8)
    x[2::3] = np.random.default_rng(0).random((4, 2, *shape)) < 0.6
    trace = run_float(graph, {"x": x}).trace
    assert_equal(trace, run_float(again, {"x": x}).trace)
    assert trace["l"].s.any() and not trace["l"].s[5::6].all()


def test_integer_files_keep_every_field(tmp_path: Path) -> None:
    for seed in range(4):
        graph, x = lower(Stages(seed).graph(), FMT), inputs(seed)
        window = graph.nodes["p1"]
        assert isinstance(window, IntegerWindowSum)
        loud = replace(window, weight_uint8=np.array([200, 55], dtype=np.uint8))
        graph = graph.with_nodes({"p1": loud}) if seed % 2 else graph
        save_graph(graph, tmp_path / "stages.h5")
        again = load_graph(tmp_path / "stages.h5")
        stored = again.nodes["p1"]
        assert isinstance(stored, IntegerWindowSum) and stored.weight_uint8.dtype == np.uint8
        assert np.array_equal(stored.weight_uint8, graph.nodes["p1"].weight_uint8)  # type: ignore[union-attr]
        assert again.edges == graph.edges and again.period == graph.period
        assert_equal(run_integer(graph, x), run_integer(again, x))


def test_onnx_holds_states_too(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(6):
        graph, x = Stages(seed).graph(), inputs(seed)
        write_onnx(graph, tmp_path / "stages.onnx", record=True)
        outputs = run_onnx(tmp_path / "stages.onnx", x)
        expected = run_float(graph, x)
        assert_equal(expected.trace, onnx_trace(graph, outputs))
        for name, output in expected.outputs.items():
            assert np.array_equal(outputs[name], output)
        twice = {name: np.concatenate([array, array]) for name, array in x.items()}
        assert_equal(run_float(graph, twice).trace, onnx_trace(graph, run_onnx(tmp_path / "stages.onnx", twice)))
        count(seen, expected.trace)
    assert_lively(seen)


def test_a_chip_stores_windows_too() -> None:
    words = count_words(lower(slow_layer(5), FMT))
    # five weights and two of the window; one membrane, and five sums that windows gather
    assert words == {"weight_int8": 5 + 2, "neurons": 1, "state_words": 1 + 5}


# floats


def test_a_window_in_floats_by_hand() -> None:
    """An integrator behind it holds, and sends on ticks alone, as its bias acts on ticks alone."""
    one = np.ones(1, dtype=np.float32)
    nodes: dict[str, Node] = {
        "x": Input(shape=(1,)),
        "p": WindowSum(weight=np.array([0.25, 0.75], dtype=np.float32), shape=(1,)),
        "w": Linear(weight=one.reshape(1, 1) * 2, bias=one / 4),
        "li": LI(beta=one / 2),
        "y": Output(shape=(1,)),
        "l": LIF(beta=one / 2, threshold=one * 2, reset="none"),
    }
    edges = tuple(Edge(*pair) for pair in (("x", "p"), ("p", "w"), ("w", "li"), ("li", "y"), ("w", "l")))
    graph = Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3)
    x = np.array([1, 0, 0, 1, 1, 1, 0, 0]).reshape(-1, 1, 1)
    run = run_float(graph, {"x": x})
    assert run.outputs["y"][:, 0, 0].tolist() == [0, 0.75, 0, 2.125, 0, 3.3125, 0, 1.90625]
    layer = run.trace["l"]
    assert layer.v is not None
    assert layer.v[:, 0, 0].tolist() == [0, 0.75, 0.75, 2.125, 2.125, 3.3125, 3.3125, 1.90625]
    assert layer.s[:, 0, 0].tolist() == [0, 0, 0, 1, 0, 1, 0, 0]
    assert np.isneginf(run.margin["l"][::2]).all() and run.margin["l"][3, 0, 0] == 0.125


def test_deviations_in_slow_stages_are_explained_or_not() -> None:
    graph, x = slow_layer(20), {"x": (np.random.default_rng(1).random((40, 5, 20)) < 0.7).astype(np.uint8)}
    graph = graph.with_nodes({"l": replace(graph.nodes["l"], threshold=np.full(1, 2.7, np.float32))})
    trace = run_float(graph, x).trace
    assert trace["l"].s.any() and not trace["l"].s[1::2].all()
    assert count_unexplained(graph, x, trace) == {"l": 0}
    between = trace["l"].s.copy()
    between[2, 3] = 1
    assert count_unexplained(graph, x, {"l": replace(trace["l"], s=between)}) == {"l": 1}


def test_integrators_in_slow_stages_become_neurons() -> None:
    """A subtraction that comes back a tick later, written out in standard nodes."""
    one = np.ones(3, dtype=np.float32)
    nodes: dict[str, Node] = {
        "x": Input(shape=(3,)),
        "p": WindowSum(weight=np.array([0.5, 0.5], dtype=np.float32), shape=(3,)),
        "l": LIF(beta=one / 2, threshold=one * 0.75, reset="none"),
        "y": Output(shape=(3,)),
        "back": Scale(weight=-one * np.float32(0.75), shape=(3,)),
    }
    edges = (Edge("x", "p"), Edge("p", "l"), Edge("l", "y"), Edge("l", "back", delay=2), Edge("back", "l"))
    graph = Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3)
    x = {"x": (np.random.default_rng(0).random((20, 4, 3)) < 0.6).astype(np.uint8)}
    joined = recognise_integrators(graph, FMT)
    neuron = joined.nodes["l"]
    assert isinstance(neuron, LIF) and neuron.reset == "subtract"
    assert_equal(run_float(graph, x).trace, run_float(joined, x).trace)
    assert run_float(graph, x).trace["l"].s.any()
