"""Which worlds an export compares, and that a world that differs shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from export.interpreters.float_interpreter import run_float
from export.ladder import WORLD_READ, WORLD_TORCH, Models, climb
from export.passes.fold_norm import fold_norm
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.profile import integer_format


@pytest.mark.parametrize("wrong", [False, True])
def test_a_folded_network_is_first_compared_as_it_was_read(wrong: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(20, 9), nn.BatchNorm1d(9), snn.Leaky(0.8, threshold=0.3, init_hidden=True))
    as_read = read_network(network)
    float_graph = fold_norm(as_read)
    integer_graph = lower(float_graph, integer_format("loihi2"))
    models = Models(as_read=as_read, float_graph=float_graph, integer_graph=integer_graph, carried="rewritten")
    inputs = {name: np.random.default_rng(0).integers(0, 2, (30, 4, 20)) for name in as_read.inputs()}
    trace = run_float(as_read, inputs).trace
    ((name, layer),) = trace.items()
    assert 0.1 < layer.s.mean() < 0.9
    spikes = layer.s.copy()
    spikes[7, 1, 3] ^= wrong
    rungs = climb(models, inputs, {name: replace(layer, s=spikes)}).rungs
    assert rungs[0].name == f"{WORLD_TORCH} = {WORLD_READ}"
    assert (rungs[0].layers[0].mismatches, rungs[0].holds) == (int(wrong), not wrong)
    assert rungs[1].name.startswith(WORLD_READ) and rungs[1].holds
