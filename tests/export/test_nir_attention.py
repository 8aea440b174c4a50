"""Spike-driven attention is coincidence detectors: standard NIR nodes, equal spikes, latencies that meet on Lava."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import snntorch as snn
import torch

from export.errors import UnsupportedModuleError
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nir_file import read_nir, write_nir
from export.nodes import NEURONS, Input
from export.passes.balance_latency import balance_latency
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.profile import integer_format

from .carried import assert_lively, make_dyadic, spikes
from .test_supported_structures import SpikeDrivenAttention, SpikformerAttention, louder


def hard_attention() -> torch.nn.Module:
    """SDSA whose neurons reset to zero, with weights of eighths: every sum is exact."""
    torch.manual_seed(1)
    network = louder(SpikeDrivenAttention())
    for name, module in [*network.named_modules()]:
        if isinstance(module, snn.Leaky):
            threshold = float(module.threshold)
            setattr(network, name, snn.Leaky(0.5, threshold=threshold, reset_mechanism="zero", init_hidden=True))
    return make_dyadic(network).eval()


def test_spike_driven_attention_in_standard_nodes(tmp_path: Path) -> None:
    graph = read_network(hard_attention(), inputs={"x": Input(shape=(6, 8))})
    write_nir(graph, tmp_path / "attention.nir", standard_only=True)
    kinds = {type(node).__name__ for node in nir.read(tmp_path / "attention.nir").nodes.values()}
    assert "Threshold" in kinds and kinds <= {"Input", "Output", "Linear", "Affine", "LIF", "Threshold", "Flatten"}
    inputs = {"x": spikes(6, 8, rate=0.5)}
    expected = run_float(graph, inputs).trace
    assert_lively(expected)
    again = run_float(read_nir(tmp_path / "attention.nir"), inputs).trace
    for name, layer in expected.items():
        assert np.array_equal(layer.s, again[name].s), name


def test_its_branches_meet_in_the_same_step_on_lava() -> None:
    graph = lower(read_network(hard_attention(), inputs={"x": Input(shape=(6, 8))}), integer_format())
    balanced = balance_latency(graph)
    assert any(edge.delay for edge in balanced.edges), "v and the residual wait for the mask"
    inputs = {"x": spikes(6, 8, rate=0.5, steps=60)}
    plain, lava = run_integer(graph, inputs), run_integer(balanced, inputs)
    assert_lively(plain)
    for name in graph.of_type(NEURONS):
        assert np.array_equal(plain[name].s, lava[name].s), name


def test_spikformers_products_have_no_standard_form(tmp_path: Path) -> None:
    torch.manual_seed(1)
    graph = read_network(louder(SpikformerAttention()).eval(), inputs={"x": Input(shape=(6, 8))})
    with pytest.raises(UnsupportedModuleError, match="MatMul has no form in standard NIR nodes"):
        write_nir(graph, tmp_path / "attention.nir", standard_only=True)
    write_nir(graph, tmp_path / "attention.nir")
    inputs = {"x": spikes(6, 8)}
    expected, again = run_float(graph, inputs).trace, run_float(read_nir(tmp_path / "attention.nir"), inputs).trace
    assert_lively(expected)
    for name, layer in expected.items():
        assert np.array_equal(layer.s, again[name].s) and (layer.v is None or np.array_equal(layer.v, again[name].v))
