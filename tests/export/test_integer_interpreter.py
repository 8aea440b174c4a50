"""The specification against a second reading of the equations: one neuron at a time, in Python's own integers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from export.errors import ExportError, InputDataError
from export.graph import Edge, Graph
from export.integer_interpreter import run_integer
from export.nodes import (
    Input,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    Output,
)
from export.trace import Array, Trace
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format

from ..lava_runtime.random_graphs import Case, cases, integer_graph, loud_graph, random_inputs

LARGEST = 2**23 - 1
Row = list[int]


class OneSample:
    """A graph on one sample, straight from `export.nodes`; no NumPy, no shared code."""

    def __init__(self, graph: Graph, inputs: dict[str, list[Row]]) -> None:
        self.graph, self.inputs = graph, inputs
        self.v: dict[str, Row] = {}
        self.last_s: dict[str, Row] = {}
        self.theta: dict[str, int] = {}
        self.saturations: Counter[str] = Counter()
        for name, node in graph.nodes.items():
            if isinstance(node, IntegerLIF | IntegerDynamicThresholdLIF):
                self.v[name] = [0] * len(node.dv.tolist())
                self.last_s[name] = [0] * len(node.dv.tolist())

    def step(self, t: int) -> dict[str, Row]:
        """Return what every node sends in step t."""
        sent: dict[str, Row] = {}
        for name in self.graph.nodes:
            self.send(name, t, sent)
        return sent

    def arriving(self, name: str, port: str, t: int, sent: dict[str, Row]) -> Row:
        rows = [self.send(e.source, t, sent) for e in self.graph.edges if (e.target, e.port) == (name, port)]
        return [sum(column) for column in zip(*rows, strict=True)]

    def send(self, name: str, t: int, sent: dict[str, Row]) -> Row:
        if name in sent:
            return sent[name]
        node: Any = self.graph.nodes[name]
        if isinstance(node, Input):
            result = self.inputs[name][t]
        elif isinstance(node, Output):
            result = self.arriving(name, "input", t, sent)
        elif isinstance(node, IntegerLinear):
            spikes = self.arriving(name, "input", t, sent)
            rows = node.weight_int8.tolist()
            result = [sum(w for w, s in zip(row, spikes, strict=True) if s) * 2**node.weight_exp for row in rows]
        else:
            result = self.fire(name, node, t, sent)
        sent[name] = result
        return result

    def fire(self, name: str, node: Any, t: int, sent: dict[str, Row]) -> Row:
        sums = self.arriving(name, "input", t, sent)
        if isinstance(node, IntegerLIF):
            thresholds, reset = [vth * 64 for vth in node.vth.tolist()], node.reset
        else:
            self.theta[name] = self.moving_threshold(name, node.controller, t, sent)
            thresholds, reset = [self.theta[name] * 2**node.theta_shift * 64] * len(sums), "zero"
        spikes = []
        for i, (synaptic_sum, threshold) in enumerate(zip(sums, thresholds, strict=True)):
            kept = self.v[name][i] * (4096 - int(node.dv[i]))
            v = (kept // 4096 if kept >= 0 else -(-kept // 4096)) + synaptic_sum * 64
            v += int(node.bias_mant[i]) * 2**node.bias_exp
            if reset == "subtract" and self.last_s[name][i]:
                v -= threshold
            if abs(v) > LARGEST:
                self.saturations[name] += 1
                v = LARGEST if v > 0 else -LARGEST
            spikes.append(1 if v > threshold else 0)
            self.v[name][i] = 0 if spikes[-1] and reset == "zero" else v
        self.last_s[name] = spikes
        return spikes

    def moving_threshold(self, name: str, c: ThresholdController, t: int, sent: dict[str, Row]) -> int:
        train = self.arriving(name, "population", t, sent)
        full = c.population // c.num_groups
        groups = [sum(train[g * full : (g + 1) * full]) for g in range(c.num_groups)]
        total = sum(groups)
        drive = c.weight_count * total + c.bias
        drive += c.weight_deviation * sum(abs(c.num_groups * group - total) for group in groups)
        if c.weight_context:
            context = self.arriving(name, "context", t, sent)
            drive += sum(w * value for w, value in zip(c.weight_context, context, strict=True))
        z = max(-4096, min(4096, drive // 4096))
        return c.theta_0 + (c.amplitude * z + 2048) // 4096


def assert_equals_plain_integers(graph: Graph, inputs: dict[str, Array], trace: Trace) -> None:
    num_steps, batch = next(iter(inputs.values())).shape[:2]
    saturations: Counter[str] = Counter()
    for b in range(batch):
        sample = OneSample(graph, {name: array[:, b].tolist() for name, array in inputs.items()})
        assert set(trace) == set(sample.v)
        for t in range(num_steps):
            sent = sample.step(t)
            for name, layer in trace.items():
                assert layer.s[t, b].tolist() == sent[name], (name, t, b)
                assert layer.v is not None and layer.v[t, b].tolist() == sample.v[name], (name, t, b)
                assert (layer.theta is None) == (name not in sample.theta)
                assert layer.theta is None or int(layer.theta[t, b]) == sample.theta[name], (name, t, b)
        saturations += sample.saturations
    assert {name: layer.saturations for name, layer in trace.items()} == {name: saturations[name] for name in trace}


def test_equals_plain_integers_on_random_graphs() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def check(case: Case) -> None:
        graph = loud_graph(case) if case.seed % 2 else integer_graph(case)
        inputs = random_inputs(graph, case)
        trace = run_integer(graph, inputs)
        assert_equals_plain_integers(graph, inputs, trace)
        for name, layer in trace.items():
            node: Any = graph.nodes[name]
            kind = node.reset if isinstance(node, IntegerLIF) else f"dynamic, {node.controller.num_context} context"
            rates = layer.s.mean(axis=(0, 1))
            seen[f"{kind}: spiking"] += int((rates > 0).sum())
            seen[f"{kind}: silent"] += int((rates == 0).sum())
            seen[f"{kind}: negative membranes"] += int((layer.v < 0).sum())
            seen[f"{kind}: saturations"] += layer.saturations
            if layer.theta is not None:
                seen[f"{kind}: changes of theta"] += int((np.diff(layer.theta, axis=0) != 0).sum())

    check()
    for kind in ("zero", "subtract", "none", "dynamic, 0 context", "dynamic, 2 context"):
        assert min(seen[f"{kind}: {what}"] for what in ("spiking", "silent", "negative membranes")) > 100, (kind, seen)
        assert seen[f"{kind}: saturations"] > 10, (kind, seen)
    assert min(seen[f"dynamic, {n} context: changes of theta"] for n in (0, 2)) > 100, seen


def chain(neuron: IntegerLIF | IntegerDynamicThresholdLIF, *, weight: int = 1, exponent: int = 0) -> Graph:
    """One input, one synapse, one neuron."""
    edges = [Edge("x", "w"), Edge("w", "lif"), Edge("lif", "y")]
    if isinstance(neuron, IntegerDynamicThresholdLIF):
        edges.append(Edge("x", "lif", "population"))
    return Graph(
        nodes={
            "x": Input(size=1),
            "w": IntegerLinear(weight_int8=np.array([[weight]]), weight_exp=exponent),
            "lif": neuron,
            "y": Output(size=1),
        },
        edges=tuple(edges),
        dialect="integer",
        dt_s=1e-3,
        fmt=integer_format(),
    )


def lif(**changes: Any) -> IntegerLIF:
    values = {"dv": 2048, "vth": 3, "bias_mant": 0, "bias_exp": 0, "reset": "zero", **changes}
    return IntegerLIF(**{key: np.array([values[key]]) for key in ("dv", "vth", "bias_mant")},
                      bias_exp=values["bias_exp"], reset=values["reset"])  # fmt: skip


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
