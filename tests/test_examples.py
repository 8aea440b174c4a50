"""The examples run, spike on Lava, and stay short."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from examples import convolutional, foreign_nir, recurrent, residual_dynamic_threshold
from export.interpreters.integer_interpreter import run_integer
from export.nodes import Input
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.artifact import ROOT
from hardware_profiles.profile import integer_format

NAMES = ("convolutional", "recurrent", "residual_dynamic_threshold", "foreign_nir")
SPIKINGJELLY = [[0, 0, 0, 1, 6, 0, 2, 0, 0, 1], [0, 0, 0, 2, 6, 0, 0, 0, 0, 2], [0, 0, 0, 1, 4, 0, 0, 0, 0, 1],
                [0, 0, 0, 1, 5, 0, 0, 0, 0, 1]]  # fmt: skip
"""Spikes per sample and class that SpikingJelly 2.0.0 itself counted for the network of `spikingjelly.nir`."""


@pytest.mark.parametrize("name", NAMES)
def test_from_definition_to_spikes_in_under_40_lines(name: str) -> None:
    source = (ROOT / "examples" / f"{name}.py").read_text()
    tree = ast.parse(source)
    docstring = tree.body[0]
    lines = [line for line in source.splitlines()[docstring.end_lineno :] if line.strip()]
    assert len(lines) < 40


@pytest.mark.lava
def test_convolutional() -> None:
    (counts,) = convolutional.main().values()
    assert counts.shape == (4, 10) and counts.any()
    graph = read_network(convolutional.make_network().eval(), inputs={"input": Input(shape=(2, 16, 16))})
    events = (np.random.default_rng(0).random((25, 4, 2, 16, 16)) < 0.3).astype(np.uint8)
    trace = run_integer(lower(graph, integer_format("loihi2")), {"input": events})
    assert np.array_equal(counts, trace["9"].s.sum(axis=0)) and all(layer.s.any() for layer in trace.values())


@pytest.mark.lava
def test_recurrent() -> None:
    spikes = recurrent.main()
    assert set(spikes) == {"lif1", "lif2"} and all(0 < layer.mean() < 1 for layer in spikes.values())


@pytest.mark.lava
def test_residual_dynamic_threshold() -> None:
    thresholds = residual_dynamic_threshold.main()
    assert set(thresholds) == {"lif1", "lif2"}
    for theta in thresholds.values():
        assert theta is not None and theta.shape == (25, 4) and len(np.unique(theta)) > 3


@pytest.mark.lava
def test_foreign_nir() -> None:
    floats, lava = foreign_nir.main()
    assert floats.tolist() == SPIKINGJELLY
    assert lava.shape == floats.shape and np.abs(lava - floats).sum() < floats.sum() / 2
