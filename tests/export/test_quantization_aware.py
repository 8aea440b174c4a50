"""What training sees is what the chip will hold: after `remove`, lowering changes no weight, leak or threshold."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn.utils import parametrize

from export.errors import UnsupportedModuleError
from export.graph import Graph
from export.nodes import LIF, NEURONS, AlphaLIF, CubaLIF, DynamicThresholdLIF, Input
from export.passes.quantize_weights import scaled_to_integers
from export.passes.scale import choose_scale, mantissa_bits_of
from export.passes.synapses import constant_drive, drives_of
from export.pipeline import fold, lower
from export.quantization.quantization_aware import prepare, remove
from export.ranges import value_bounds
from export.reader import read_network
from hardware_profiles.profile import integer_format

from ..networks import MixedNetwork

FMT = integer_format()


class Network(nn.Module):
    """Convolution, average pooling by 3 (a factor of 1/9), recurrence, a synaptic current, learnt neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = nn.Conv2d(1, 4, 3), snn.Leaky(torch.rand(1) * 0.5 + 0.4, learn_beta=True)
        self.pool = nn.AvgPool2d(3)
        self.fc = nn.Linear(16, 12)
        threshold = torch.rand(12) + 0.5
        self.lif2 = snn.RLeaky(0.87, linear_features=12, threshold=threshold, learn_threshold=True)
        self.fc2, self.lif3 = nn.Linear(12, 6), snn.Synaptic(0.83, 0.91)
        for lif in (self.lif1, self.lif2, self.lif3):
            lif.init_hidden = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif3(self.fc2(self.lif2(self.fc(self.pool(self.lif1(self.conv(x))).flatten(1)))))


INPUTS = {"x": Input(shape=(1, 8, 8))}


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    made = Network()
    for lif in (made.lif1, made.lif2, made.lif3):
        lif.reset_mem()
    return made


def run(made: Network, x: torch.Tensor) -> torch.Tensor:
    for lif in (made.lif1, made.lif2, made.lif3):
        lif.reset_mem()
    with parametrize.cached():
        return torch.stack([made(step) for step in x])


def train(made: Network, num_updates: int, rate: float = 0.05) -> list[float]:
    optimizer = torch.optim.SGD([p for p in made.parameters() if p.requires_grad], lr=rate)
    losses = []
    for _ in range(num_updates):
        x = (torch.rand(8, 6, 1, 8, 8) < 0.4).float()
        loss = ((run(made, x).sum(0) - 3) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def assert_lowering_changes_nothing(graph: Graph) -> None:
    """Every float of the folded graph is its integer times a power of two, exactly."""
    folded, integer = fold(graph, FMT), lower(graph, FMT)
    bounds = value_bounds(folded)
    for name in folded.of_type(NEURONS):
        node, chip = folded.nodes[name], integer.nodes[name]
        drives = drives_of(folded, name, bounds)
        choice = choose_scale(name, node, drives, FMT)
        for drive in drives:
            synapse: Any = integer.nodes[drive.name]
            bits = mantissa_bits_of(drive, choice, FMT)
            restored = np.ldexp(synapse.weight_int8.astype(np.float64), -bits)
            assert np.array_equal(restored, np.broadcast_to(drive.synapse.weight, restored.shape)), drive.name
            assert synapse.weight_exp == choice.scale_bits - bits and synapse.weight_int8.any()
        bias = constant_drive(name, drives, node.size).reshape(node.shape)
        assert isinstance(node, (LIF, CubaLIF, DynamicThresholdLIF))
        assert np.array_equal(np.ldexp(bias, choice.scale_bits + 6), chip.bias_mant << chip.bias_exp), name
        assert np.array_equal(node.beta, (1 - chip.dv / 4096).astype(np.float32))
        if isinstance(node, CubaLIF):
            assert np.array_equal(node.alpha, (1 - (chip.du + 1) / 4096).astype(np.float32))
        if not isinstance(node, DynamicThresholdLIF):
            assert np.array_equal(np.ldexp(node.threshold.astype(np.float64), choice.scale_bits), chip.vth)


@pytest.mark.parametrize("num_updates", [0, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_lowering_changes_nothing_after_training(seed: int, num_updates: int) -> None:
    made = network(seed)
    plain = read_network(made, inputs=INPUTS)
    with pytest.raises(AssertionError):
        assert_lowering_changes_nothing(plain)
    prepare(made, FMT, INPUTS)
    train(made, num_updates)
    remove(made)
    assert not any(parametrize.is_parametrized(module) for module in made.modules())
    assert_lowering_changes_nothing(read_network(made, inputs=INPUTS))


def test_all_tensors_are_rounded_and_all_that_learn_get_gradients() -> None:
    made = network()
    learning = [name for name, parameter in made.named_parameters() if parameter.requires_grad]
    prepare(made, FMT, INPUTS)
    rounded = {
        f"{path}.{name}"
        for path, module in made.named_modules()
        if parametrize.is_parametrized(module)
        for name in module.parametrizations
    }
    assert rounded == {
        "conv.weight", "conv.bias", "lif1.beta", "lif1.threshold", "fc.weight", "fc.bias", "lif2.beta",
        "lif2.threshold", "lif2.recurrent.weight", "lif2.recurrent.bias", "fc2.weight", "fc2.bias", "lif3.alpha",
        "lif3.beta", "lif3.threshold",
    }  # fmt: skip
    assert set(learning) < {*rounded, *(name for name, _ in made.named_parameters())}
    loss = run(made, (torch.rand(8, 6, 1, 8, 8) < 0.4).float()).sum()
    loss.backward()
    for name, parameter in made.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_forward_computes_with_the_chips_values_and_full_precision_learns() -> None:
    made = network()
    prepare(made, FMT, INPUTS)
    full = made.fc.parametrizations.weight.original
    before = full.detach().clone()
    train(made, 3, rate=1e-3)
    assert (full != before).any()  # moves by less than a step of the grid
    weight = made.fc.weight.detach().numpy()
    # fc sees sums over 9 spikes: its folded weight is weight / 9
    bits = [bits for bits in range(-4, 14) if np.array_equal(mantissas(weight / 9, bits) * 9 / 2.0**bits, weight)]
    assert bits and 64 <= np.abs(mantissas(weight / 9, bits[0])).max() <= 127


def mantissas(weight: np.ndarray, bits: int) -> np.ndarray:
    return scaled_to_integers(weight, bits)


def test_scales_follow_the_weights() -> None:
    """A weight that grows beyond its grid coarsens it at the next forward."""
    made = network()
    prepare(made, FMT, INPUTS)
    with torch.no_grad():
        made.fc2.parametrizations.weight.original[0, 0] = 100.0
    weight = made.fc2.weight.detach()
    assert weight[0, 0] == 100 and set((weight * 1).flatten().tolist()) == {0.0, 100.0}


def test_the_prepared_network_spikes_as_the_one_that_is_left() -> None:
    made, x = network(), (torch.rand(12, 6, 1, 8, 8) < 0.4).float()
    original = run(made, x)
    prepare(made, FMT, INPUTS)
    during = run(made, x)
    for lif in (made.lif1, made.lif2, made.lif3):
        lif.reset_mem()
    copied = copy.deepcopy(made)
    with torch.no_grad():
        copied.fc2.parametrizations.weight.original.mul_(64)  # its scale is its own from now on
    assert torch.equal(copied.fc2.weight / 64, made.fc2.weight) and torch.equal(run(made, x), during)
    remove(made)
    assert torch.equal(run(made, x), during)
    assert 0 < during.mean() < 1 and during.shape == original.shape


def test_a_network_with_dynamic_thresholds() -> None:
    torch.manual_seed(0)
    made = MixedNetwork().eval()
    prepare(made, FMT)
    assert parametrize.is_parametrized(made.fc1, "weight") and parametrize.is_parametrized(made.lif2, "beta")
    remove(made)
    assert_lowering_changes_nothing(read_network(made))


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.bn, self.lif = nn.Linear(6, 4), nn.BatchNorm1d(4), snn.Leaky(0.5, init_hidden=True)
        with torch.no_grad():
            self.bn.running_var.copy_(torch.rand(4) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.bn(self.fc(x)))


def test_weights_that_are_folded_with_others_are_refused() -> None:
    with pytest.raises(
        UnsupportedModuleError, match="module (bn|fc): its weights reach lif folded with those of another"
    ):
        prepare(Normalised().eval(), FMT)


class Shared(nn.Module):
    """One layer drives two neuron layers with scales of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.low, self.high = snn.Leaky(0.5, init_hidden=True), snn.Leaky(0.5, threshold=90.0, init_hidden=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        current = self.fc(x)
        return self.low(current), self.high(current)


def test_a_layer_of_two_scales_takes_the_coarser_grid() -> None:
    torch.manual_seed(0)
    made = Shared()
    with torch.no_grad():
        made.fc.weight *= 0.05  # so small that the high threshold leaves no room for all bits
    prepare(made, FMT)
    remove(made)
    assert_lowering_changes_nothing(read_network(made))


def test_two_traces_are_prepared_but_for_their_threshold() -> None:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(6, 4), snn.Alpha(0.9, 0.8, threshold=0.3, reset_mechanism="zero", init_hidden=True))
    prepare(made, FMT)
    assert parametrize.is_parametrized(made[1], "alpha") and not parametrize.is_parametrized(made[1], "threshold")
    remove(made)
    (node,) = read_network(made).of_type(AlphaLIF).values()
    assert np.array_equal(node.alpha * 4096, np.round(node.alpha * 4096))
