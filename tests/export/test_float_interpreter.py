"""The float world: by hand, and the rounding bound against the worst order of sums (against snnTorch: elsewhere)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from export.errors import ExportError
from export.graph import Edge, Graph
from export.interpreters.float_interpreter import FloatRun, run_float
from export.nodes import LIF, DynamicThresholdLIF, Input, Linear, Output
from export.pipeline import lower
from export.trace import Array, LayerTrace, Trace
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format


def float32(*values: float) -> Array:
    return np.array(values, dtype=np.float32)


def chain(*neurons: LIF | DynamicThresholdLIF, weight: float = 2.0) -> Graph:
    """One input and one-neuron layers `lif0`, `lif1`, …, each driven with the same weight."""
    nodes: dict[str, Any] = {"x": Input(shape=(1,))}
    edges, last = [], "x"
    for i, neuron in enumerate(neurons):
        nodes |= {f"w{i}": Linear(weight=float32(weight).reshape(1, 1)), f"lif{i}": neuron}
        edges += [Edge(last, f"w{i}"), Edge(f"w{i}", f"lif{i}")]
        if isinstance(neuron, DynamicThresholdLIF):
            edges.append(Edge(last, f"lif{i}", "population"))
        last = f"lif{i}"
    nodes["y"] = Output(shape=(1,))
    return Graph(nodes=nodes, edges=(*edges, Edge(last, "y")), dialect="float", dt_s=1e-3)


def lif(reset: Any = "zero", threshold: float = 3.0) -> LIF:
    return LIF(beta=float32(0.5), threshold=float32(threshold), reset=reset, reset_delay=reset != "zero")


def run_one(graph: Graph, spikes: list[int], **options: Any) -> FloatRun:
    return run_float(graph, {"x": np.array(spikes, dtype=np.uint8)[:, None, None]}, **options)


def column(array: Array | None) -> list[float]:
    assert array is not None
    values: list[float] = array.ravel().tolist()
    return values


@pytest.mark.parametrize(
    ("reset", "fired", "membranes"),
    [
        # 2; 1+2 = 3, not above θ = 3; 1.5+2 = 3.5 fires → 0; 2; 1; 0.5+2 = 2.5
        ("zero", [0, 0, 1, 0, 0, 0], [2, 3, 0, 2, 1, 2.5]),
        # …; 3.5 fires; 1.75+2−3 = 0.75; 0.375; 0.1875+2
        ("subtract", [0, 0, 1, 0, 0, 0], [2, 3, 3.5, 0.75, 0.375, 2.1875]),
        # …; 3.5 fires; 1.75+2 = 3.75 fires; 1.875; 0.9375+2
        ("none", [0, 0, 1, 1, 0, 0], [2, 3, 3.5, 3.75, 1.875, 2.9375]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_neuron_by_hand(reset: str, fired: list[int], membranes: list[float], dtype: torch.dtype) -> None:
    layer = run_one(chain(lif(reset)), [1, 1, 1, 1, 0, 1], dtype=dtype).trace["lif0"]
    assert column(layer.s) == fired and column(layer.v) == membranes
    assert layer.s.dtype == np.uint8 and layer.theta is None and layer.saturations == 0
    assert layer.v is not None and layer.v.dtype == (np.float32 if dtype == torch.float32 else np.float64)


def test_a_moving_threshold_by_hand() -> None:
    controller = ThresholdController(
        population=1, num_groups=1, weight_count=1 << 24, weight_deviation=0, weight_context=(), bias=0,
        theta_0=6, amplitude=3, fraction_bits=2,
    )  # fmt: skip
    run = run_one(chain(DynamicThresholdLIF(beta=float32(0.5), controller=controller)), [1, 1, 0, 1])
    layer = run.trace["lif0"]
    # θ = 6/4 = 1.5, and 9/4 = 2.25 where a spike drives z to 1
    assert column(layer.theta) == [9, 9, 6, 9]
    # 2; 1+2 = 3 fires → 0; 0; 2
    assert column(layer.s) == [0, 1, 0, 0] and column(layer.v) == [2, 0, 0, 2]
    assert column(run.margin["lif0"]) == [-0.25, 0.75, -1.5, -0.25]


NUM_INPUTS, NUM_STEPS, BATCH = 256, 80, 3


def wide_graph(seed: int) -> Graph:
    """Layers of many inputs and slow leaks, in which rounding adds up; every reset and a moving threshold."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Any] = {"x": Input(shape=(NUM_INPUTS,))}
    edges: list[Edge] = []
    last = "x"
    for name, size, reset in (("a", 64, "subtract"), ("b", 48, "none"), ("c", 40, "zero"), ("d", 32, "dynamic")):
        fan_in = nodes[last].size
        weight = rng.normal(0.02, 3 / np.sqrt(fan_in), (size, fan_in)) * 10.0 ** rng.uniform(-2, 0.5, (size, 1))
        bias = rng.normal(0, 0.05, size)
        nodes[f"{name}.w"] = Linear(weight=weight.astype(np.float32), bias=bias.astype(np.float32))
        beta = rng.uniform(0.5, 1, size).astype(np.float32)
        if reset == "dynamic":
            controller = ThresholdController(
                population=fan_in, num_groups=4, weight_count=1 << 20, weight_deviation=1 << 16, weight_context=(),
                bias=-(1 << 23), theta_0=300, amplitude=200, fraction_bits=8,
            )  # fmt: skip
            nodes[name] = DynamicThresholdLIF(beta=beta, controller=controller)
            edges.append(Edge(last, name, "population"))
        else:
            threshold = rng.uniform(0.1, 2, size).astype(np.float32)
            nodes[name] = LIF(beta=beta, threshold=threshold, reset=reset, reset_delay=reset != "zero")
        edges += [Edge(last, f"{name}.w"), Edge(f"{name}.w", name)]
        last = name
    nodes["y"] = Output(shape=(32,))
    return Graph(nodes=nodes, edges=(*edges, Edge(last, "y")), dialect="float", dt_s=1e-3)


def wide_inputs(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed + 100)
    return {"x": (rng.random((NUM_STEPS, BATCH, NUM_INPUTS)) < 0.3).astype(np.uint8)}


def sorted_sum(weight: Array, spikes: Array, bias: Array) -> Array:
    """Single precision, one addend after the other, positive ones first: partial sums as large as they can be."""
    products = np.sort(spikes[:, None, :] * weight[None], axis=2)[:, :, ::-1]
    first = np.broadcast_to(bias[None, :, None], (*products.shape[:2], 1))
    return np.cumsum(np.concatenate([first, products], axis=2), axis=2, dtype=np.float32)[:, :, -1]


def worst_order_margins(graph: Graph, inputs: Mapping[str, Array], history: Trace) -> dict[str, Array]:
    """U − θ of a single-precision world that adds in the worst order, under the given spike history."""
    margins: dict[str, list[Array]] = {name: [] for name in history}
    u = {name: np.zeros(layer.s.shape[1:], dtype=np.float32) for name, layer in history.items()}
    for t in range(NUM_STEPS):
        sent = {"x": inputs["x"][t]} | {name: layer.s[t] for name, layer in history.items()}
        for name, layer in history.items():
            node: Any = graph.nodes[name]
            (synapse,) = graph.sources(name)
            (source,) = graph.sources(synapse)
            linear: Any = graph.nodes[synapse]
            before = layer.s[t - 1] if t else np.zeros_like(layer.s[0])
            subtract = isinstance(node, LIF) and node.reset == "subtract"
            hard = not isinstance(node, LIF) or node.reset == "zero"
            current = sorted_sum(linear.weight, sent[source].astype(np.float32), linear.bias)
            u[name] = node.beta * (u[name] * (1 - before) if hard else u[name]) + current
            theta = node.threshold if layer.theta is None else (layer.theta[t, :, None] / 256).astype(np.float32)
            u[name] = (u[name] - before * theta if subtract else u[name]).astype(np.float32)
            margins[name].append(u[name] - theta)
    return {name: np.stack(rows) for name, rows in margins.items()}


@pytest.mark.parametrize("seed", range(3))
def test_single_precision_stays_within_its_bound(seed: int) -> None:
    """In torch's order of summation and in the worst one; and the bound is no more than it has to be."""
    graph, inputs = wide_graph(seed), wide_inputs(seed)
    single = run_float(graph, inputs)
    yardstick = run_float(graph, inputs, dtype=torch.float64, forced=single.trace, with_bound=True)
    worst = worst_order_margins(graph, inputs, single.trace)
    for name, bound in yardstick.rounding_bound.items():
        assert bound.shape == single.margin[name].shape and (bound > 0).all()
        assert single.margin[name].dtype == worst[name].dtype == np.float32
        for margin in (single.margin[name].astype(float), worst[name].astype(float)):
            deviation = np.abs(margin - yardstick.margin[name])
            ratio = (deviation / bound).max()
            assert 1e-3 < ratio <= 1, (name, ratio)
        # useless if it explained everything: a decision is out of doubt unless U is next to θ
        assert (np.abs(yardstick.margin[name]) <= bound).mean() < 0.01
        assert single.trace[name].s.any() and not single.trace[name].s.all()


def test_bounds_by_hand() -> None:
    run = run_one(chain(lif("none")), [0] * 5, dtype=torch.float64, with_bound=True)
    assert column(run.rounding_bound["lif0"]) == [0] * 5, "0 · β + 0 and 0 − θ are exact"
    run = run_one(chain(lif("none", threshold=1.0)), [1, 0], dtype=torch.float64, with_bound=True)
    u = 2.0**-24
    # a dot product of 1 + 1 terms; its sum with the leaked 0, which counts as rounded since it may be off; U − θ
    current = 2 * u / (1 - 2 * u) * 2
    membrane = current + 4 * u * (2 + current)
    first = membrane + 4 * u * (2 + 1 + membrane)
    # half of it stays, the product is rounded; nothing arrives; U − θ
    leaked = membrane / 2 + 4 * u * 1
    membrane = leaked + 4 * u * (1 + leaked)
    second = membrane + 4 * u * (1 + 1 + membrane)
    assert column(run.rounding_bound["lif0"]) == pytest.approx([first, second], rel=1e-12)


def test_bounds_end_with_a_hard_reset() -> None:
    fired = run_one(chain(lif(threshold=1.0)), [1, 0], dtype=torch.float64, with_bound=True)
    assert column(fired.trace["lif0"].s) == [1, 0]
    # after the reset the membrane is exactly 0, and so is its distance to θ
    assert column(fired.rounding_bound["lif0"])[1] == 0


def test_bounds_are_given_only_when_asked_for() -> None:
    assert run_one(chain(lif()), [1, 0]).rounding_bound == {}


def forcing(**spikes: list[int]) -> Trace:
    return {name: LayerTrace(s=np.array(row, dtype=np.uint8)[:, None, None]) for name, row in spikes.items()}


def test_forced_spikes_drive_resets_and_later_layers_but_not_decisions() -> None:
    graph = chain(lif(threshold=1.0), lif(threshold=1.0))
    free = run_one(graph, [1, 1, 0])
    # lif0: 2 fires → 0; 2 fires → 0; 0.  lif1 the same
    assert column(free.trace["lif0"].s) == column(free.trace["lif1"].s) == [1, 1, 0]

    silenced = run_one(graph, [1, 1, 0], forced=forcing(lif0=[0, 0, 0], lif1=[0, 0, 0]))
    # lif0 is never reset: 2, 3, 1.5, each of which it would have fired at; lif1 hears nothing
    assert column(silenced.trace["lif0"].v) == [2, 3, 1.5] and column(silenced.trace["lif0"].s) == [1, 1, 1]
    assert column(silenced.margin["lif0"]) == [1, 2, 0.5]
    assert column(silenced.trace["lif1"].v) == [0, 0, 0] and column(silenced.trace["lif1"].s) == [0, 0, 0]

    driven = run_one(graph, [0, 1, 0], forced=forcing(lif0=[1, 0, 0], lif1=[0, 0, 1]))
    # lif0: 0, reset all the same; 2 would fire, not reset; 1 does not fire.  lif1: 2 would fire; 1; 0.5, reset
    assert column(driven.trace["lif0"].s) == [0, 1, 0] and column(driven.trace["lif0"].v) == [0, 2, 1]
    assert column(driven.trace["lif1"].s) == [1, 0, 0] and column(driven.trace["lif1"].v) == [2, 1, 0]


def test_forced_spikes_are_subtracted_a_step_later() -> None:
    run = run_one(chain(lif("subtract")), [1, 1, 0], forced=forcing(lif0=[1, 0, 0]))
    # 2; 1+2−3 = 0; 0
    assert column(run.trace["lif0"].v) == [2, 0, 0] and column(run.trace["lif0"].s) == [0, 0, 0]


def test_forced_spikes_are_the_population_that_moves_the_threshold() -> None:
    controller = ThresholdController(
        population=1, num_groups=1, weight_count=1 << 24, weight_deviation=0, weight_context=(), bias=0,
        theta_0=6, amplitude=3, fraction_bits=2,
    )  # fmt: skip
    graph = chain(lif(threshold=1.0), DynamicThresholdLIF(beta=float32(0.5), controller=controller))
    run = run_one(graph, [0, 0], forced=forcing(lif0=[1, 0], lif1=[0, 0]))
    assert column(run.trace["lif1"].theta) == [9, 6]


def test_forcing_a_runs_own_spikes_changes_nothing() -> None:
    graph, inputs = wide_graph(0), wide_inputs(0)
    free = run_float(graph, inputs)
    again = run_float(graph, inputs, forced=free.trace)
    for name, layer in free.trace.items():
        assert np.array_equal(layer.s, again.trace[name].s) and np.array_equal(layer.v, again.trace[name].v)
        assert np.array_equal(free.margin[name], again.margin[name])


def test_an_integer_graph_is_refused() -> None:
    graph = lower(wide_graph(0), integer_format())
    with pytest.raises(ExportError, match="is in dialect 'integer', allowed here is 'float'"):
        run_float(graph, wide_inputs(0))
