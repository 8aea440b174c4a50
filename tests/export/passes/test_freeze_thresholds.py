from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import LIF, DynamicThresholdLIF, Gather, Input, IntegerLIF, Output
from export.passes.freeze_thresholds import freeze_thresholds
from export.pipeline import lower
from export.verify import verify
from hardware_profiles.arithmetic import ThresholdController

from .graphs import FMT, full, graph_of, linear


def network() -> Graph:
    controller = ThresholdController(
        population=2, num_groups=1, weight_count=1 << 23, weight_deviation=0, weight_context=(1 << 14,), bias=0,
        theta_0=200, amplitude=150, fraction_bits=8,
    )  # fmt: skip
    return graph_of(
        {
            "x": Input(shape=(3,)),
            "context": Input(shape=(1,), kind="graded"),
            "some": Gather(index=np.array([0, 2]), input_shape=(3,)),
            "fc": linear(np.full((2, 3), 0.25)),
            "lif": DynamicThresholdLIF(beta=full((2,), 0.875), controller=controller),
            "out": Output(shape=(2,)),
        },
        [
            ("x", "some"), ("x", "fc"), ("fc", "lif"), ("some", "lif", "population"), ("context", "lif", "context"),
            ("lif", "out"),
        ],
    )  # fmt: skip


@pytest.mark.parametrize("dialect", ["float", "integer"])
def test_what_only_moved_the_threshold_is_dropped(dialect: str) -> None:
    graph = network() if dialect == "float" else lower(network(), FMT)
    frozen = freeze_thresholds(graph)
    verify(frozen, frozen.dialect)
    assert set(frozen.nodes) == {"x", "fc", "lif", "out"}
    neuron: Any = frozen.nodes["lif"]
    assert (neuron.reset, neuron.reset_delay) == ("zero", False)
    if isinstance(neuron, LIF):
        assert neuron.threshold is not None and neuron.threshold.tolist() == [200 / 256] * 2
    else:
        # scale 2^11: theta_shift is 11 − 8
        assert isinstance(neuron, IntegerLIF) and neuron.vth is not None and neuron.vth.tolist() == [200 << 3] * 2


def test_without_drive_the_frozen_network_is_the_same() -> None:
    """A controller that is never driven stays at its value at rest."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (30, 4, 3)) * np.array([0, 1, 0])
    moving, still = {"x": x, "context": np.zeros((30, 4, 1))}, {"x": x}
    float_graph, integer_graph = network(), lower(network(), FMT)
    before, after = run_float(float_graph, moving).trace, run_float(freeze_thresholds(float_graph), still).trace
    assert np.array_equal(before["lif"].s, after["lif"].s) and before["lif"].s.any()
    before, after = run_integer(integer_graph, moving), run_integer(freeze_thresholds(integer_graph), still)
    assert np.array_equal(before["lif"].v, after["lif"].v) and before["lif"].s.any()
    moving["context"] = np.full((30, 4, 1), 500)
    assert (run_integer(integer_graph, moving)["lif"].s != after["lif"].s).any()
