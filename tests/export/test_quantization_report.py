from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import LIF, DynamicThresholdLIF, Input, Output
from export.passes.scale import Calibration, ScaleChoice
from export.pipeline import lower
from export.quantization.calibration import calibrate
from export.quantization.quantization_report import LayerQuantization, quantization_report
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format

from .passes.graphs import full, graph_of, linear
from .test_calibration import data, network

FMT = integer_format()


def report(graph: Graph, inputs: dict[str, np.ndarray], calibration: Calibration | None = None) -> Any:
    integer = lower(graph, FMT, calibration)
    traces = run_float(graph, inputs).trace, run_integer(integer, inputs)
    rows = {row.layer: row for row in quantization_report(graph, integer, inputs, *traces)}
    assert list(rows) == list(traces[0])
    return rows


def two_layers(weight: Any, beta: float = 0.5, threshold: float = 1.0) -> Graph:
    size = len(weight)
    one = LIF(beta=full((size,), beta), threshold=full((size,), threshold), reset="none")
    return graph_of(
        {
            "x": Input(shape=(np.shape(weight)[1],)), "fc": linear(weight), "lif": one, "eye": linear(np.eye(size)),
            "next": LIF(beta=full((size,), 0.5), threshold=full((size,), 0.7), reset="none"),
            "out": Output(shape=(size,)),
        },
        [("x", "fc"), ("fc", "lif"), ("lif", "eye"), ("eye", "next"), ("next", "out")],
    )  # fmt: skip


def spikes(size: int, num_steps: int = 60, batch: int = 20, rate: float = 0.4) -> dict[str, np.ndarray]:
    return {"x": (np.random.default_rng(0).random((num_steps, batch, size)) < rate).astype(np.uint8)}


def test_numbers_of_a_network() -> None:
    graph, inputs = network(), data(1)
    rows = report(graph, inputs)
    trace, integer = run_float(graph, inputs).trace, run_integer(lower(graph, FMT), inputs)
    for name, row in rows.items():
        assert row.num_differ == int((trace[name].s != integer[name].s).sum()) > 0
        assert row.num_decisions == trace[name].s.size and row.share_differ == row.num_differ / row.num_decisions
        assert row.rate_float == trace[name].s.mean() > 0 and row.rate_integer == integer[name].s.mean()
        # the largest weight, 8, leaves mantissas of 3 bits after the point
        assert 1 / 32 < row.max_weight_error <= 1 / 16
        assert row.suggestion and "\n" not in row.suggestion
    assert rows["lif2"].weight_exp.keys() == {"fc2", "rec2"} and rows["lif1"].scale_bits == 11
    assert rows["lif1"].num_differ_alone == rows["lif1"].num_differ  # nothing comes before it


def test_a_calibrated_network_reports_its_scales() -> None:
    graph, inputs = network(), data(1)
    calibration = calibrate(graph, inputs, FMT)
    rows = report(graph, inputs, calibration)
    assert {name: row.scale_bits for name, row in rows.items()} == {
        name: choice.scale_bits for name, choice in calibration.choices.items()
    }


def test_exact_integers_need_no_advice() -> None:
    rows = report(two_layers(np.eye(3) / 2, threshold=0.75), spikes(3, num_steps=10))
    for row in rows.values():
        assert (row.num_differ, row.max_weight_error, row.saturations, row.suggestion) == (0, 0, 0, "")
    assert 0 < rows["lif"].rate_float < 1


def test_decays_are_named_where_they_are_the_cause() -> None:
    # the chip has 4095/4096 and 4094/4096 around β, which 60 steps of memory and many thresholds tell apart
    graph = two_layers(np.ones((200, 1)), beta=1 - 1.4 / 4096)
    thresholds = np.round(np.linspace(10, 22, 200) * 2048) / 2048
    graph = graph.with_nodes({"lif": replace(graph.nodes["lif"], threshold=thresholds.astype(np.float32))})
    row = report(graph, spikes(1))["lif"]
    assert row.num_by_decays > row.num_by_weights == row.num_by_thresholds == 0
    assert "rounded decays alone change" in row.suggestion and "multiples of 1/4096" in row.suggestion


def test_weights_are_named_with_the_one_that_is_too_large() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (20, 40))
    even = report(two_layers(weight), spikes(40))["lif"]
    weight[0, 0] = 20
    uneven = report(two_layers(weight), spikes(40))["lif"]
    assert uneven.num_by_weights > even.num_by_weights >= 0
    assert "the largest weight of fc is 20 while 99% lie below" in uneven.suggestion


def test_errors_that_come_from_before_are_told_apart() -> None:
    weight = np.random.default_rng(0).normal(0, 0.3, (20, 40))
    weight[0, 0] = 20
    row = report(two_layers(weight), spikes(40))["next"]
    assert row.num_differ > 0 == row.num_differ_alone
    assert row.suggestion == f"{row.num_differ} of {row.num_differ} come from the layers before: mend those first"


def test_clipped_membranes_are_named() -> None:
    graph = two_layers([[60.0]], beta=1.0, threshold=60.0)
    row = report(graph, spikes(1))["lif"]
    assert row.saturations > 0 and f"{row.saturations} membranes are clipped" in row.suggestion


def test_thresholds_that_move_report_their_scale() -> None:
    controller = ThresholdController(
        population=3, num_groups=1, weight_count=1 << 22, weight_deviation=0, weight_context=(), bias=0, theta_0=300,
        amplitude=200, fraction_bits=8,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    graph = graph_of(
        {
            "x": Input(shape=(3,)), "fc": linear(rng.normal(0, 1, (4, 3))),
            "dynamic": DynamicThresholdLIF(beta=full((4,), 0.9), controller=controller),
            "fc2": linear(rng.normal(0, 1, (4, 4))), "th": linear(rng.random((4, 3)) + 0.2),
            "moving": LIF(beta=full((4,), 0.9), threshold=None, reset="subtract"), "out": Output(shape=(4,)),
        },
        [
            ("x", "fc"), ("fc", "dynamic"), ("x", "dynamic", "population"), ("dynamic", "fc2"), ("fc2", "moving"),
            ("x", "th"), ("th", "moving", "threshold"), ("moving", "out"),
        ],
    )  # fmt: skip
    choices = {"dynamic": ScaleChoice(10), "moving": ScaleChoice(9)}
    rows = report(graph, spikes(3), Calibration(choices, 0, 0, 0))
    assert {name: row.scale_bits for name, row in rows.items()} == {"dynamic": 10, "moving": 9}
    assert rows["moving"].weight_exp.keys() == {"fc2", "th"}


def test_a_row_is_a_value() -> None:
    row: LayerQuantization = report(two_layers(np.eye(3) / 2), spikes(3))["lif"]
    with pytest.raises(AttributeError):
        row.layer = "other"  # type: ignore[misc]
    assert replace(row, num_differ=3).share_differ == 3 / row.num_decisions
