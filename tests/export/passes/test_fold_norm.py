"""Batch normalisation folded into the weights before it."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from export.errors import ExportError
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import Conv, Input, Linear, Norm
from export.parity import compare_bounded
from export.passes.fold_norm import fold_norm
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.profile import integer_format

from ..carried import louder_norms, spikes


def leaky() -> snn.Leaky:
    return snn.Leaky(0.8, init_hidden=True)


def loud() -> snn.Leaky:
    return snn.Leaky(0.8, threshold=0.05, init_hidden=True)


NETWORKS = {
    "conv": lambda: (nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), leaky()), (2, 8, 8)),
    "conv without bias, then pool": lambda: (
        nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.AvgPool2d(2), nn.BatchNorm2d(4), loud()), (2, 8, 8)),
    "conv1d": lambda: (nn.Sequential(nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), leaky()), (3, 12)),
    "linear, no affine": lambda: (nn.Sequential(nn.Linear(20, 9), nn.BatchNorm1d(9, affine=False), leaky()), (20,)),
    "twice": lambda: (
        nn.Sequential(nn.Linear(20, 9), nn.BatchNorm1d(9), nn.BatchNorm1d(9), leaky()), (20,)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_weights_decide_alike_within_rounding(name: str) -> None:
    torch.manual_seed(0)
    network, shape = NETWORKS[name]()
    louder_norms(network)
    with torch.no_grad():
        network[0].weight.mul_(4)
    graph = read_network(network.eval(), inputs={"input": Input(shape=shape)})
    folded = fold_norm(graph)
    assert graph.of_type(Norm) and not folded.of_type(Norm) and folded.of_type((Conv, Linear))
    inputs = {"input": spikes(*shape)}
    traces = run_float(graph, inputs).trace, run_float(folded, inputs).trace
    rung = compare_bounded("", "read", "folded", *traces, graph, inputs)
    assert rung.holds and rung.spikes > 100
    assert all(layer.mismatches < 1e-4 * layer.compared for layer in rung.layers)


def test_folding_is_exact_where_all_factors_are_powers_of_two() -> None:
    network = nn.Sequential(nn.Linear(20, 9), nn.BatchNorm1d(9, eps=0.0), leaky())
    with torch.no_grad():
        network[0].weight.copy_(torch.randint(-8, 9, (9, 20)) / 8)
        network[0].bias.copy_(torch.randint(-8, 9, (9,)) / 8)
        network[1].running_mean.copy_(torch.randint(-4, 5, (9,)) / 8)
        network[1].running_var.fill_(4.0)
        network[1].bias.copy_(torch.randint(-4, 5, (9,)) / 8)
        network[2].beta = torch.tensor(0.5)
    graph = read_network(network.eval())
    inputs = {"input": spikes(20, steps=12)}
    before, after = run_float(graph, inputs).trace["2"], run_float(fold_norm(graph), inputs).trace["2"]
    assert np.array_equal(before.s, after.s) and np.array_equal(before.v, after.v) and 0 < before.s.mean() < 1


def test_a_norm_before_a_layer_becomes_a_layer_of_its_own() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3), leaky(), nn.Flatten(), nn.BatchNorm1d(144),
                            nn.Linear(144, 5), leaky())  # fmt: skip
    louder_norms(network)
    with torch.no_grad():
        network[1].weight.mul_(3)
        network[5].weight.mul_(3)
    graph = read_network(network.eval(), inputs={"input": Input(shape=(2, 8, 8))})
    folded = fold_norm(graph)
    assert isinstance(folded.nodes["0"], Conv) and isinstance(folded.nodes["4"], Linear)
    inputs = {"input": spikes(2, 8, 8)}
    traces = run_float(graph, inputs).trace, run_float(folded, inputs).trace
    assert compare_bounded("", "read", "folded", *traces, graph, inputs).holds
    integers = run_integer(lower(graph, integer_format()), inputs)
    assert all(0 < layer.s.mean() < 1 for layer in integers.values())


def test_a_norm_behind_a_padded_pool_is_not_folded_through_it() -> None:
    """Windows at the border average zeros in, so their weights do not sum to one."""
    torch.manual_seed(0)
    pool = nn.AvgPool2d(3, stride=1, padding=1)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), pool, nn.BatchNorm2d(4), leaky())
    louder_norms(network)
    with torch.no_grad():
        network[0].weight.mul_(6)
    graph = read_network(network.eval(), inputs={"input": Input(shape=(2, 8, 8))})
    folded = fold_norm(graph)
    assert folded.nodes["0"] is graph.nodes["0"] and isinstance(folded.nodes["2"], Conv)
    inputs = {"input": spikes(2, 8, 8)}
    traces = run_float(graph, inputs).trace, run_float(folded, inputs).trace
    rung = compare_bounded("", "read", "folded", *traces, graph, inputs)
    assert rung.holds and rung.spikes > 100


def test_a_norm_of_a_long_vector_is_refused() -> None:
    network = nn.Sequential(nn.BatchNorm1d(5000), nn.Linear(5000, 5), leaky())
    with pytest.raises(ExportError, match=r"node 0: a BatchNorm over \(5000,\) without a Linear or Conv of its own"):
        fold_norm(read_network(network.eval(), inputs={"input": Input(shape=(5000,))}))


def test_a_layer_that_others_use_too_keeps_its_weights() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.norm, self.lif1, self.lif2 = nn.Linear(20, 9), nn.BatchNorm1d(9), leaky(), leaky()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            current = self.fc(x)
            return self.lif1(self.norm(current)), self.lif2(current)

    graph = read_network(Shared().eval())
    folded = fold_norm(graph)
    assert folded.nodes["fc"] is graph.nodes["fc"] and isinstance(folded.nodes["norm"], Linear)
