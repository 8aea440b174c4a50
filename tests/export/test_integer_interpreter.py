"""The specification against a second reading of the equations: one neuron at a time, in Python's own integers."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from export.errors import ExportError, InputDataError
from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    Input,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    Node,
    Output,
)
from export.passes.balance_latency import balance_latency
from export.trace import Array, Trace
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format

from .plain_integers import LARGEST, OneSample
from .random_integer_graphs import random_graph, random_inputs

NUM_GRAPHS = 1500 if os.environ.get("AXONPORT_FULL") else 250


def assert_equals_plain_integers(graph: Graph, inputs: dict[str, Array], trace: Trace) -> None:
    num_steps, batch = next(iter(inputs.values())).shape[:2]
    saturations: Counter[str] = Counter()
    for b in range(batch):
        sample = OneSample(graph, {name: array[:, b].reshape(num_steps, -1).tolist() for name, array in inputs.items()})
        for t in range(num_steps):
            sent = sample.step()
            assert t < graph.longest_period or set(trace) == set(sample.states)
            for name, layer in trace.items():
                assert layer.s[t, b].tolist() == sent[name], (name, t, b)
                assert (layer.v is None) == isinstance(graph.nodes[name], IntegerThreshold)
                assert layer.v is None or layer.v[t, b].tolist() == sample.state(name, graph.nodes[name].size)["v"], (
                    name,
                    t,
                    b,
                )
                assert (layer.theta is None) == (not isinstance(graph.nodes[name], IntegerDynamicThresholdLIF))
                assert layer.theta is None or int(layer.theta[t, b]) == sample.theta.get(name, 0), (name, t, b)
        saturations += sample.saturations
    assert {name: layer.saturations for name, layer in trace.items()} == {name: saturations[name] for name in trace}


def loud(graph: Graph) -> Graph:
    """The same graph with the largest sums that fit, and membranes that keep them: many are clipped."""
    changed: dict[str, Node] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, IntegerLinear) and all(edge.port == "input" for edge in graph.outgoing(name)):
            changed[name] = replace(node, weight_exp=node.weight_exp + 4)
        elif isinstance(node, IntegerLIF) and node.vth is not None:
            changed[name] = replace(node, dv=node.dv // 64, vth=131071 - node.vth // 64, bias_exp=7)
        elif isinstance(node, IntegerDynamicThresholdLIF):
            changed[name] = replace(node, dv=node.dv // 64, bias_exp=7)
    return graph.with_nodes(changed)


def kind_of(node: Any) -> str:
    flags = "" if getattr(node, "reset_delay", True) else " at once"
    return f"{type(node).__name__} {getattr(node, 'reset', '')}{flags}".strip()


def test_equals_plain_integers_on_random_graphs() -> None:
    seen: Counter[str] = Counter()
    for seed in range(NUM_GRAPHS):
        graph = random_graph(seed)
        graph = loud(graph) if seed % 3 == 0 else graph
        inputs = random_inputs(graph, seed, num_steps=14 if seed % 3 == 0 else 8)
        try:
            trace = run_integer(graph, inputs)
        except ValueError as error:
            assert "would wrap" in str(error) and seed % 3 == 0
            continue
        assert_equals_plain_integers(graph, inputs, trace)
        seen.update(type(node).__name__ for node in graph.nodes.values())
        for name, layer in trace.items():
            kind = kind_of(graph.nodes[name])
            seen[f"{kind}: spikes"] += int(layer.s.sum())
            seen[f"{kind}: silence"] += int((layer.s == 0).sum())
            seen["saturations"] += layer.saturations
            seen["moving thresholds"] += "threshold" in graph.nodes[name].ports
            seen["recurrent"] += bool(graph.sources(name, "recurrent"))
            if layer.theta is not None:
                seen["changes of theta"] += int((np.diff(layer.theta, axis=0) != 0).sum())
    kinds = [
        f"IntegerLIF {reset}{late}" for reset in ("zero", "subtract", "none", "clear") for late in ("", " at once")
    ]
    kinds += [f"IntegerCubaLIF {reset}" for reset in ("subtract", "none", "clear", "clear at once")]
    kinds += ["IntegerAlphaLIF none", "IntegerAlphaLIF clear", "IntegerThreshold", "IntegerDynamicThresholdLIF"]
    for kind in kinds:
        assert min(seen[f"{kind}: spikes"], seen[f"{kind}: silence"]) > 40, (kind, seen)
    for kind in ("IntegerConv", "IntegerScale", "Pool", "Gather", "Reshape", "Reduce", "Product", "MatMul"):
        assert seen[kind] > 10, (kind, seen)
    for what in ("saturations", "moving thresholds", "recurrent", "changes of theta"):
        assert seen[what] > 20, (what, seen)


def test_both_timings_give_the_same_trace() -> None:
    latencies: Counter[int] = Counter()
    for seed in range(NUM_GRAPHS):
        graph = random_graph(seed + 10_000)
        balanced, inputs = balance_latency(graph), random_inputs(graph, seed)
        left, right = run_integer(graph, inputs), run_integer(balanced, inputs)
        for name, layer in left.items():
            assert np.array_equal(layer.s, right[name].s), (seed, name)
            for field in ("v", "theta"):
                mine, theirs = getattr(layer, field), getattr(right[name], field)
                assert (mine is None) == (theirs is None) and (mine is None or np.array_equal(mine, theirs))
            assert layer.saturations == right[name].saturations
        latencies[balanced.total_latency] += any(layer.s.any() for layer in left.values())
    assert sum(latencies[steps] for steps in range(2, 9)) > NUM_GRAPHS // 2, latencies


def chain(neuron: Node, *, weight: int = 1, exponent: int = 0) -> Graph:
    """One input, one synapse, one neuron."""
    edges = [Edge("x", "w"), Edge("w", "lif"), Edge("lif", "y")]
    if isinstance(neuron, IntegerDynamicThresholdLIF):
        edges.append(Edge("x", "lif", "population"))
    return Graph(
        nodes={
            "x": Input(shape=(1,)),
            "w": IntegerLinear(weight_int8=np.array([[weight]]), weight_exp=exponent),
            "lif": neuron,
            "y": Output(shape=(1,)),
        },
        edges=tuple(edges),
        dialect="integer",
        dt_s=1e-3,
        fmt=integer_format(),
    )


def lif(**changes: Any) -> IntegerLIF:
    """Reset to zero at once, as stock Lava has it, unless told otherwise."""
    values = {"dv": 2048, "vth": 3, "bias_mant": 0, "bias_exp": 0, "reset": "zero", **changes}
    arrays = {key: np.array([values.pop(key)]) for key in ("dv", "vth", "bias_mant")}
    values.setdefault("reset_delay", values["reset"] != "zero")
    return IntegerLIF(**arrays, **values)


def run_one(graph: Graph, spikes: list[int]) -> tuple[list[int], list[int], int]:
    """Return (spikes, membranes, saturations) of the single neuron."""
    layer = run_integer(graph, {"x": np.array(spikes, dtype=np.uint8)[:, None, None]})["lif"]
    assert layer.v is not None
    return layer.s.ravel().tolist(), layer.v.ravel().tolist(), layer.saturations


@pytest.mark.parametrize(
    ("reset", "fired", "membranes"),
    [
        # weight 2 is 128, vth 3 is 192; half of v is kept
        # zero:      128; 64+128 = 192, not above; 96+128 = 224 fires → 0; 128; 64; 32+128 = 160
        ("zero", [0, 0, 1, 0, 0, 0], [128, 192, 0, 128, 64, 160]),
        # subtract:  …; 224 fires; 112+128−192 = 48; 24; 12+128 = 140
        ("subtract", [0, 0, 1, 0, 0, 0], [128, 192, 224, 48, 24, 140]),
        # none:      …; 224 fires; 112+128 = 240 fires; 120; 60+128 = 188
        ("none", [0, 0, 1, 1, 0, 0], [128, 192, 224, 240, 120, 188]),
    ],
)
def test_one_neuron_by_hand(reset: str, fired: list[int], membranes: list[int]) -> None:
    assert run_one(chain(lif(reset=reset), weight=2), [1, 1, 1, 1, 0, 1]) == (fired, membranes, 0)


@pytest.mark.parametrize(
    ("reset", "reset_delay", "fired", "membranes"),
    [
        # as above until 224 fires; then the old membrane is forgotten and only 128 arrives
        ("zero", True, [0, 0, 1, 0, 0, 0], [128, 192, 224, 128, 64, 160]),
        # the step after a spike is lost altogether, its input too
        ("clear", True, [0, 0, 1, 0, 0, 0], [128, 192, 224, 0, 0, 128]),
        # 224 fires → 0; 128; 64; 160: with a constant threshold nothing is owed later
        ("clear", False, [0, 0, 1, 0, 0, 0], [128, 192, 0, 128, 64, 160]),
        # 224 fires → 224−192 = 32; 16+128 = 144; 72; 36+128 = 164
        ("subtract", False, [0, 0, 1, 0, 0, 0], [128, 192, 32, 144, 72, 164]),
    ],
)
def test_late_and_early_resets_by_hand(reset: str, reset_delay: bool, fired: list[int], membranes: list[int]) -> None:
    graph = chain(lif(reset=reset, reset_delay=reset_delay), weight=2)
    assert run_one(graph, [1, 1, 1, 1, 0, 1]) == (fired, membranes, 0)


def test_a_synaptic_current_by_hand() -> None:
    # du+1 = 2048 keeps half of u, dv = 2048 half of v; u: 128 64 32 16; v: 128, 64+64 = 128, 64+32 = 96, 48+16 = 64
    neuron = IntegerCubaLIF(
        du=np.array([2047]), dv=np.array([2048]), vth=np.array([3]), bias_mant=np.array([0]), bias_exp=0, reset="none"
    )
    assert run_one(chain(neuron, weight=2), [1, 0, 0, 0]) == ([0] * 4, [128, 128, 96, 64], 0)
    # u = 256 128 64 32: v 256 fires; then 0 once (clear), u is kept: 0+64 = 64; 32+32 = 64
    neuron = replace(neuron, reset="clear")
    assert run_one(chain(neuron, weight=4), [1, 0, 0, 0]) == ([1, 0, 0, 0], [256, 0, 64, 64], 0)


def test_two_traces_by_hand() -> None:
    # E keeps 3/4, I keeps 1/2 of ∓256: E 256 192 144; I −256 −128 −64; v 0 64 80
    neuron = IntegerAlphaLIF(
        du=np.array([1024]), dv=np.array([2048]), vth=np.array([1]), bias_mant=np.array([0]), bias_exp=0, reset="none"
    )
    assert run_one(chain(neuron, weight=4), [1, 0, 0]) == ([0, 0, 1], [0, 64, 80], 0)
    # clear: 64 is not above 64; 80 fires, then everything is 0
    neuron = replace(neuron, reset="clear")
    assert run_one(chain(neuron, weight=4), [1, 0, 0, 0]) == ([0, 0, 1, 0], [0, 64, 80, 0], 0)


@pytest.mark.parametrize(("theta", "fires"), [(1, [0, 1, 1, 1]), (3, [0, 0, 0, 1])])
def test_coincidence_detectors_by_hand(theta: int, fires: list[int]) -> None:
    """Weights 2: above 1 is OR, above 3 is AND; nothing stays from one step to the next."""
    node = IntegerThreshold(vth=np.array([theta]), bias_mant=np.array([0]), bias_exp=0)
    weight = IntegerLinear(weight_int8=np.array([[2, 2]]), weight_exp=0)
    graph = Graph(
        nodes={"x": Input(shape=(2,)), "w": weight, "s": node},
        edges=(Edge("x", "w"), Edge("w", "s")),
        dialect="integer",
        dt_s=1e-3,
        fmt=integer_format(),
    )
    layer = run_integer(graph, {"x": np.array([[[0, 0]], [[0, 1]], [[1, 0]], [[1, 1]]])})["s"]
    assert layer.s.ravel().tolist() == fires and layer.v is None


def test_only_the_first_of_the_largest_spikes_under_inhibition() -> None:
    weight = IntegerLinear(weight_int8=np.array([[4], [5], [6], [5]]), weight_exp=0)
    vth = np.array([1, 2, 3, 2])  # all lie 3 above their thresholds
    neuron = IntegerLIF(
        dv=np.full(4, 4095), vth=vth, bias_mant=np.zeros(4, dtype=int), bias_exp=0, reset="subtract", inhibition=True
    )
    graph = chain(lif())
    graph = replace(graph, nodes={**graph.nodes, "w": weight, "lif": neuron, "y": Output(shape=(4,))})
    layer = run_integer(graph, {"x": np.ones((3, 1, 1))})["lif"]
    # 4·64 = 256 over 64; then R subtracts 64, 128, 192, 128 from all: 192 each; over 64, 128, 192, 128 the first is
    # farthest; then all but the third (192 is not above 192) are owed: 192, 192, 384, 192, and the third is farthest
    assert layer.s[:, 0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert layer.v is not None and layer.v[:, 0].tolist() == [[256, 320, 384, 320], [192] * 4, [192, 192, 384, 192]]


def test_a_threshold_that_arrives_moves_the_reset_that_is_owed() -> None:
    neuron = IntegerLIF(dv=np.array([0]), vth=None, bias_mant=np.array([0]), bias_exp=0, reset="subtract")
    graph = Graph(
        nodes={
            "x": Input(shape=(1,)),
            "m": Input(shape=(1,)),
            "w": IntegerScale(weight_int8=np.array([5]), weight_exp=0),
            "th": IntegerScale(weight_int8=np.array([2]), weight_exp=1),
            "lif": neuron,
        },
        edges=(Edge("x", "w"), Edge("w", "lif"), Edge("m", "th"), Edge("th", "lif", "threshold")),
        dialect="integer",
        dt_s=1e-3,
        fmt=integer_format(),
    )
    x, m = np.array([1, 0, 0, 0]), np.array([1, 0, 1, 1])
    layer = run_integer(graph, {"x": x[:, None, None], "m": m[:, None, None]})["lif"]
    # θ: 4 0 4 4 (·64: 256 0 256 256). 320 fires; above 0: owes 0, 320 > 0 fires; 320 > 256 owes 256: 64; 64
    assert layer.s.ravel().tolist() == [1, 1, 0, 0]
    assert layer.v is not None and layer.v.ravel().tolist() == [320, 320, 64, 64]


def test_decay_toward_zero_and_bias_by_hand() -> None:
    # −1 · 64 + 5·2 = −54; −27 + 10 = −17; −17/2 = −8.5 → −8, + 10 = 2; 1 + 10 = 11; 5.5 → 5, + 10 = 15
    graph = chain(lif(bias_mant=5, bias_exp=1), weight=-1)
    assert run_one(graph, [1, 0, 0, 0, 0]) == ([0] * 5, [-54, -17, 2, 11, 15], 0)


def test_saturation_by_hand() -> None:
    # 127 · 2^10 · 64 = 8323072 per step on a membrane that keeps all; the chip's largest is 8388607
    graph = chain(lif(dv=0, vth=131071, reset="none"), weight=-127, exponent=10)
    assert run_one(graph, [1, 1, 0, 1]) == ([0] * 4, [-8323072, -LARGEST, -LARGEST, -LARGEST], 2)
    # 131071 · 64 = 8388544: the clipped membrane is just above the largest threshold
    graph = chain(lif(dv=0, vth=131071), weight=127, exponent=10)
    assert run_one(graph, [1, 1, 0]) == ([0, 1, 0], [8323072, 0, 0], 1)


def test_threshold_follows_the_same_step_by_hand() -> None:
    controller = ThresholdController(
        population=1, num_groups=1, weight_count=1 << 24, weight_deviation=0, weight_context=(), bias=0,
        theta_0=4, amplitude=2, fraction_bits=2,
    )  # fmt: skip
    neuron = IntegerDynamicThresholdLIF(
        dv=np.array([0]), bias_mant=np.array([120]), bias_exp=0, theta_shift=1, controller=controller
    )
    layer = run_integer(chain(neuron), {"x": np.array([[[0]], [[0]], [[0]], [[1]], [[0]]])})["lif"]
    # θ = 4, and 6 where a spike drives z to 1; above 4·2·64 = 512 or 6·2·64 = 768 the neuron fires
    assert layer.theta is not None and layer.theta.ravel().tolist() == [4, 4, 4, 6, 4]
    # 120; 240; 360; 480 + 64 = 544, above 512 but not above 768; 664 fires
    assert layer.v is not None and layer.v.ravel().tolist() == [120, 240, 360, 544, 0]
    assert layer.s.ravel().tolist() == [0, 0, 0, 0, 1]


def test_types_and_shapes_of_the_trace() -> None:
    layer = run_integer(chain(lif()), {"x": np.ones((5, 3, 1), dtype=np.uint8)})["lif"]
    assert (layer.s.dtype, layer.s.shape) == (np.uint8, (5, 3, 1))
    assert layer.v is not None and (layer.v.dtype, layer.v.shape) == (np.int64, (5, 3, 1))
    assert layer.theta is None


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float32])
def test_spikes_of_any_type_are_the_same_spikes(dtype: type) -> None:
    spikes = (np.arange(12) % 3 > 0).reshape(12, 1, 1)
    graph = chain(lif(), weight=127)
    expected, given_so = run_integer(graph, {"x": spikes}), run_integer(graph, {"x": spikes.astype(dtype)})
    assert np.array_equal(expected["lif"].v, given_so["lif"].v) and expected["lif"].s.any()


def test_samples_do_not_see_each_other() -> None:
    rng = np.random.default_rng(0)
    graph = chain(lif(), weight=2)
    spikes = rng.integers(0, 2, (20, 4, 1))
    together = run_integer(graph, {"x": spikes})["lif"]
    for b in range(4):
        alone = run_integer(graph, {"x": spikes[:, b : b + 1]})["lif"]
        assert np.array_equal(alone.v, together.v[:, b : b + 1])
    assert len({tuple(together.v[:, b, 0].tolist()) for b in range(4)}) == 4


def test_a_float_graph_and_foreign_inputs_are_refused() -> None:
    graph = chain(lif())
    with pytest.raises(ExportError, match="dialect"):
        run_integer(replace(graph, dialect="float", fmt=None), {"x": np.ones((5, 3, 1))})
    with pytest.raises(InputDataError, match="holds values other than 0 and 1"):
        run_integer(graph, {"x": np.full((5, 3, 1), 2)})
