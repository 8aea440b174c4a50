"""Random snnTorch networks all the way: file, ONNX, integers and Lava, each equal to the world before it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from export.errors import ExportError
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nir_file import read_nir, write_nir
from export.nodes import Input
from export.onnx_model.network import write_onnx
from export.onnx_model.run import onnx_trace, run_onnx
from export.parity import compare_bounded, compare_exact
from export.passes.fold_norm import fold_norm
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.profile import integer_format
from lava_runtime.fused.run import run_fused
from lava_runtime.probes import every_probe

from ..export.carried import assert_equal, spikes
from ..export.random_networks import Outline, RandomNetwork, outlines

FULL = bool(os.environ.get("AXONPORT_FULL"))
STEPS, BATCH = 40, 2
REFUSALS = ("Alpha with reset 'subtract'", "receives scaled values",
            "no power-of-two scale")  # fmt: skip
"""What has no integers, with the reason: snnTorch's Alpha reset by subtraction, graded outputs, weights too large."""


def drawn(examples: int) -> settings:
    count = 10 * examples if FULL else examples
    # every network is worth seeing as it is: shrinking takes minutes
    phases = (Phase.explicit, Phase.generate)
    return settings(
        max_examples=count, deadline=None, derandomize=True, phases=phases, suppress_health_check=list(HealthCheck)
    )


def test_files_and_onnx(tmp_path: Path) -> None:
    drawn(25)(given(outlines)(lambda outline: check_files(outline, tmp_path)))()


def check_files(outline: Outline, folder: Path) -> None:
    network = RandomNetwork(outline).eval()
    inputs = {"x": spikes(*network.input_shape, steps=STEPS, batch=BATCH, seed=outline.seed)}
    graph = fold_norm(read_network(network, inputs={"x": Input(shape=network.input_shape)}))
    expected = run_float(graph, inputs).trace
    write_nir(graph, folder / "model.nir")
    assert_equal(expected, run_float(read_nir(folder / "model.nir"), inputs).trace)
    write_onnx(graph, folder / "model.onnx", record=True)
    onnx = onnx_trace(graph, run_onnx(folder / "model.onnx", inputs))
    assert compare_bounded("", "graph", "ONNX", expected, onnx, graph, inputs).holds


@pytest.mark.lava
def test_integers_and_lava() -> None:
    compared = spiked = refused = 0

    @drawn(25)
    @given(outlines)
    def check(outline: Outline) -> None:
        nonlocal compared, spiked, refused
        network = RandomNetwork(outline).eval()
        inputs = {"x": spikes(*network.input_shape, steps=STEPS, batch=BATCH, seed=outline.seed)}
        graph = read_network(network, inputs={"x": Input(shape=network.input_shape)})
        try:
            integers = lower(graph, integer_format())
        except ExportError as error:
            assert any(reason in str(error) for reason in REFUSALS), str(error)
            refused += 1
            return
        expected = run_integer(integers, inputs)
        lava = run_fused(integers, inputs, number_format="fixed_pt", probes=every_probe(integers)).trace
        assert lava is not None
        rung = compare_exact("", "integers", "Lava", expected, lava)
        assert rung.holds and all(np.array_equal(expected[n].s, lava[n].s) for n in expected)
        compared += rung.compared
        spiked += rung.spikes

    check()
    assert compared > spiked > 0.01 * compared and refused < (125 if FULL else 15)
