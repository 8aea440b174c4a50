"""ONNX Runtime on the written model against the float interpreter, and against snnTorch itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export.errors import ExportError, InputDataError
from export.graph import Edge, Graph
from export.interpreters.float_interpreter import run_float
from export.nodes import LIF, AlphaLIF, CubaLIF, FloatNode, Input, Linear, Node, Output, Threshold, WindowSum
from export.onnx_model.network import write_onnx
from export.onnx_model.run import onnx_trace, run_onnx
from export.parity import count_unexplained
from export.trace import Trace

from .random_onnx_graphs import RandomOnnxGraph, random_inputs

EXAMPLES = 1000 if os.environ.get("AXONPORT_FULL") else 100
WIDTH = 12
BETA, ALPHA = 0.5, 0.75


def run(graph: Graph, inputs: dict[str, np.ndarray], path: Path) -> tuple[dict[str, np.ndarray], Trace]:
    write_onnx(graph, path, record=True)
    outputs = run_onnx(path, inputs)
    return outputs, onnx_trace(graph, outputs)


def assert_equal(graph: Graph, inputs: dict[str, np.ndarray], path: Path) -> Trace:
    """No differing spike, membrane, threshold or output."""
    outputs, trace = run(graph, inputs, path)
    expected = run_float(graph, inputs)
    assert set(trace) == set(expected.trace)
    for name, layer in expected.trace.items():
        for found, wanted in ((trace[name].s, layer.s), (trace[name].v, layer.v), (trace[name].theta, layer.theta)):
            assert (found is None) == (wanted is None), name
            assert found is None or np.array_equal(found, wanted), name
    for name, output in expected.outputs.items():
        assert np.array_equal(outputs[name], output), name
    return trace


def layer(neuron: Node, seed: int = 0, recurrent: bool = False) -> Graph:
    """Input, Linear on dyadic weights, one neuron; its threshold arrives through a Linear where it has none."""
    rng = np.random.default_rng(seed)
    weight = (rng.integers(-4, 8, (WIDTH, WIDTH)) / 8).astype(np.float32)
    nodes: dict[str, Node] = {"x": Input(shape=(WIDTH,)), "fc": Linear(weight=weight), "n": neuron}
    edges = [Edge("x", "fc"), Edge("fc", "n"), Edge("n", "y")]
    if "threshold" in neuron.ports:
        nodes["theta"] = Linear(weight=np.abs(weight) / 4, bias=np.full(WIDTH, 0.5, np.float32))
        edges += [Edge("x", "theta", delay=2), Edge("theta", "n", "threshold")]
    if recurrent:
        nodes["back"] = Linear(weight=weight.T - np.float32(0.375), bias=weight[0].copy())
        edges += [Edge("n", "back", delay=1), Edge("back", "n", "recurrent")]
    nodes["y"] = Output(shape=(WIDTH,))
    return Graph(nodes=nodes, edges=tuple(edges), dialect="float", dt_s=1e-3)


def spikes(num_steps: int, batch: int, width: int = WIDTH, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((num_steps, batch, width)) < 0.4).astype(np.uint8)


def full(value: float) -> np.ndarray:
    return np.full(WIDTH, value, np.float32)


def all_neurons() -> list[Node]:
    """Every class with every reset, delayed or not, inhibiting or not, its threshold constant or arriving."""
    nodes: list[Node] = [Threshold(threshold=full(0.75))]
    for reset, delay, inhibition, moving in product(("zero", "subtract", "none", "clear"), *[(True, False)] * 3):
        common: dict[str, Any] = {
            "beta": full(BETA),
            "threshold": None if moving else full(1.0),
            "reset": reset,
            "reset_delay": delay,
            "inhibition": inhibition,
        }
        nodes.append(LIF(**common))
        if reset != "zero":
            nodes.append(CubaLIF(alpha=full(ALPHA), **common))
            nodes.append(AlphaLIF(alpha=full(ALPHA), tau=full(1.625), **common))
    return nodes


@pytest.mark.parametrize("recurrent", [False, True])
def test_every_neuron_equals_the_interpreter(recurrent: bool, tmp_path: Path) -> None:
    rates = []
    for neuron in all_neurons():
        if recurrent and isinstance(neuron, Threshold):
            continue
        trace = assert_equal(layer(neuron, recurrent=recurrent), {"x": spikes(25, 4)}, tmp_path / "n.onnx")
        rates.append(trace["n"].s.mean())
    assert len(rates) == 80 + (not recurrent)
    assert min(rates) > 0.02 and max(rates) < 0.98 and len(set(rates)) > 30


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1), num_steps=st.integers(1, 14), batch=st.integers(1, 5))
def test_random_graphs_on_exact_sums_are_equal(
    seed: int, num_steps: int, batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph = RandomOnnxGraph(seed, dyadic=True).graph()
    path = tmp_path_factory.getbasetemp() / "random.onnx"
    assert_equal(graph, random_inputs(graph, num_steps, batch, seed), path)


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1), num_steps=st.integers(1, 14), batch=st.integers(1, 5))
def test_random_graphs_deviate_only_by_rounding(
    seed: int, num_steps: int, batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph = RandomOnnxGraph(seed, dyadic=False).graph()
    inputs = random_inputs(graph, num_steps, batch, seed)
    _, trace = run(graph, inputs, tmp_path_factory.getbasetemp() / "random.onnx")
    assert not any(count_unexplained(graph, inputs, trace).values())


def test_random_graphs_hold_every_node_and_spike() -> None:
    kinds: Counter[type] = Counter()
    mean_rates, delays = [], set()
    for seed in range(40):
        graph = RandomOnnxGraph(seed, dyadic=bool(seed % 2)).graph()
        kinds.update(type(node) for node in graph.nodes.values())
        trace = run_float(graph, random_inputs(graph, 8, 2, seed)).trace
        mean_rates.append(np.mean([layer.s.mean() for layer in trace.values()]))
        delays |= {edge.delay for edge in graph.edges}
    every = {node for part in FloatNode.__args__ for node in getattr(part, "__args__", (part,))}
    assert every - {WindowSum} <= set(kinds)  # `test_stages` writes windows
    assert 0.05 < np.mean(mean_rates) < 0.8 and delays == {0, 1, 2, 3}


def test_a_changed_weight_is_unexplained(tmp_path: Path) -> None:
    """The bound of the trained case does not excuse everything."""
    graph = layer(LIF(beta=full(0.9), threshold=full(1.0), reset="subtract"))
    weight = graph.nodes["fc"].weight.copy()
    weight[0] += 0.01
    inputs = {"x": spikes(40, 8)}
    _, trace = run(graph.with_nodes({"fc": Linear(weight=weight)}), inputs, tmp_path / "n.onnx")
    assert count_unexplained(graph, inputs, trace)["n"] > 0


LOG_ALPHA, LOG_BETA = torch.log(torch.tensor([ALPHA, BETA]))
TAU = (LOG_ALPHA / (LOG_BETA - LOG_ALPHA) + 1).expand(WIDTH).numpy()
SNNTORCH: dict[str, tuple[Callable[[], Any], Node]] = {
    "Leaky subtract": (lambda: snn.Leaky(BETA), LIF(beta=full(BETA), threshold=full(1.0), reset="subtract")),
    "Leaky zero": (
        lambda: snn.Leaky(BETA, reset_mechanism="zero", reset_delay=False),
        LIF(beta=full(BETA), threshold=full(1.0), reset="zero", reset_delay=False),
    ),
    "Leaky inhibition": (
        lambda: snn.Leaky(BETA, reset_mechanism="zero", inhibition=True),
        LIF(beta=full(BETA), threshold=full(1.0), reset="zero", inhibition=True),
    ),
    "Synaptic zero": (
        lambda: snn.Synaptic(ALPHA, BETA, reset_mechanism="zero"),
        CubaLIF(alpha=full(ALPHA), beta=full(BETA), threshold=full(1.0), reset="clear"),
    ),
    "Synaptic subtract": (
        lambda: snn.Synaptic(ALPHA, BETA, reset_delay=False),
        CubaLIF(alpha=full(ALPHA), beta=full(BETA), threshold=full(1.0), reset="subtract", reset_delay=False),
    ),
    "Alpha subtract": (
        lambda: snn.Alpha(ALPHA, BETA, reset_mechanism="subtract"),
        AlphaLIF(
            alpha=full(ALPHA),
            beta=full(BETA),
            tau=TAU,
            threshold=full(1.0),
            reset="subtract",
        ),
    ),
}


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("name", SNNTORCH)
@torch.no_grad()
def test_the_file_equals_snntorch(name: str, tmp_path: Path) -> None:
    make_module, node = SNNTORCH[name]
    module = make_module()
    graph, x = layer(node), spikes(30, 3)
    _, trace = run(graph, {"x": x}, tmp_path / "n.onnx")
    weight, rows = torch.as_tensor(graph.nodes["fc"].weight), []
    states = list(module.reset_mem()) if isinstance(node, (CubaLIF, AlphaLIF)) else [module.reset_mem()]
    for step in torch.as_tensor(x).float():
        fired, *states = module(step @ weight.T, *states)
        rows.append((fired.numpy(), states[-1].numpy()))
    assert np.array_equal(trace["n"].s, np.stack([row[0] for row in rows]))
    assert np.array_equal(trace["n"].v, np.stack([row[1] for row in rows]))
    assert 0.02 < trace["n"].s.mean() < 0.98


def test_one_file_takes_any_time_and_batch(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    graph = layer(CubaLIF(alpha=full(ALPHA), beta=full(BETA), threshold=full(1.0), reset="subtract"), recurrent=True)
    write_onnx(graph, path)
    for num_steps, batch in ((1, 1), (1, 6), (40, 1), (17, 9)):
        x = spikes(num_steps, batch)
        found = run_onnx(path, {"x": x})
        assert set(found) == {"y"} and found["y"].dtype == np.float32
        assert np.array_equal(found["y"], run_float(graph, {"x": x}).outputs["y"])


def test_a_model_is_one_scan_with_free_axes(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    write_onnx(layer(LIF(beta=full(BETA), threshold=full(1.0), reset="none")), path, record=True)
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert [node.op_type for node in model.graph.node].count("Scan") == 1
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        assert [axes[0].dim_param, axes[1].dim_param, axes[2].dim_value] == ["T", "B", WIDTH]
    assert [value.name for value in model.graph.output] == ["n/spikes", "n/membranes", "y"]


def test_batches_are_cut_and_inputs_may_be_flat(tmp_path: Path) -> None:
    graph = RandomOnnxGraph(13, dyadic=True).graph()
    assert any(len(node.shape) > 1 for node in graph.inputs().values())
    inputs, path = random_inputs(graph, 6, 7, 0), tmp_path / "n.onnx"
    write_onnx(graph, path)
    whole = run_onnx(path, inputs)
    flat = {name: array.reshape(6, 7, -1) for name, array in inputs.items()}
    cut = run_onnx(path, flat, max_bytes=1)
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


def test_large_weights_get_their_own_file(tmp_path: Path) -> None:
    graph, path, x = layer(LIF(beta=full(BETA), threshold=full(1.0), reset="none")), tmp_path / "n.onnx", spikes(9, 2)
    write_onnx(graph, path)
    whole, size = run_onnx(path, {"x": x}), path.stat().st_size
    write_onnx(graph, path, max_inline_bytes=0)
    assert path.stat().st_size < size and {file.name for file in tmp_path.iterdir()} == {"n.onnx", "n.onnx.data"}
    assert np.array_equal(run_onnx(path, {"x": x})["y"], whole["y"])
    write_onnx(graph, path)
    assert [file.name for file in tmp_path.iterdir()] == ["n.onnx"]


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    graph = layer(Threshold(threshold=full(0.5)))
    in_lava_time = Graph(nodes=graph.nodes, edges=graph.edges, dialect="float", dt_s=1e-3, timing="lava")
    without = {name: node for name, node in graph.nodes.items() if name != "y"}
    no_output = Graph(nodes=without, edges=graph.edges[:2], dialect="float", dt_s=1e-3)
    for refused, message in ((in_lava_time, "timing 'lava'"), (no_output, "no Output node")):
        with pytest.raises(ExportError, match=message):
            write_onnx(refused, tmp_path / "n.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"z": spikes(3, 2)}, "input x: missing, there are z"),
        ({"x": spikes(3, 2), "z": spikes(3, 2)}, "allowed are exactly ['x']"),
        ({"x": spikes(3, 2, WIDTH + 1)}, "shape (3, 2, 13), allowed is [T, B, 12]"),
        ({"x": spikes(3, 2)[0]}, "shape (2, 12), allowed is [T, B, 12]"),
        ({"x": spikes(0, 2)}, "one T ≥ 1 and one B ≥ 1"),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    write_onnx(layer(Threshold(threshold=full(0.5))), tmp_path / "n.onnx")
    with pytest.raises(InputDataError) as error:
        run_onnx(tmp_path / "n.onnx", inputs)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such file"):
        run_onnx(tmp_path / "n.onnx", {"x": spikes(3, 2)})
    (tmp_path / "n.onnx").write_bytes(b"no model at all")
    with pytest.raises(ExportError, match="not an ONNX model") as error:
        run_onnx(tmp_path / "n.onnx", {"x": spikes(3, 2)})
    assert "\n" not in str(error.value)
