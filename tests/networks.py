"""Networks and inputs that several tests share."""

from __future__ import annotations

import numpy as np
import snntorch as snn
import torch
from torch import nn

from training.dynamic_threshold import DynamicThresholdLIF, ThresholdBlock

NUM_INPUTS = 32


def dynamic_neurons(population: int, num_context: int = 4, *, init_hidden: bool = True) -> DynamicThresholdLIF:
    """A dynamic-threshold layer whose threshold really moves."""
    block = ThresholdBlock(population, num_groups=4, num_context=num_context)
    with torch.no_grad():
        block.weight_count.fill_(1.0)
        block.weight_deviation.fill_(0.7)
        block.weight_context.fill_(0.25)
        block.bias.fill_(-0.5)
    return DynamicThresholdLIF(0.875, block, init_hidden=init_hidden)


class MixedNetwork(nn.Module):
    """Every neuron of this stage, with explicit and hidden membranes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(NUM_INPUTS, 24, bias=False), dynamic_neurons(NUM_INPUTS)
        self.fc2, self.lif2 = nn.Linear(24, 20), snn.Leaky(torch.rand(20) * 0.5 + 0.45)
        self.drop = nn.Dropout(0.5)
        self.fc3, self.lif3 = nn.Linear(20, 16), snn.Leaky(0.9, reset_mechanism="zero", init_hidden=True)
        self.fc4 = nn.Linear(16, 12)
        self.lif4 = snn.Leaky(0.8, threshold=torch.rand(12) + 0.5, reset_mechanism="none")
        with torch.no_grad():
            for linear, gain in ((self.fc1, 3.0), (self.fc2, 4.0), (self.fc3, 4.0), (self.fc4, 2.5)):
                linear.weight *= gain

    def forward(
        self, x: torch.Tensor, context: torch.Tensor, mem2: torch.Tensor, mem4: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], ...] | tuple[torch.Tensor, ...]:
        spk1 = self.lif1(self.fc1(x), population=x, context=context)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        spk3 = self.lif3(self.fc3(self.drop(spk2)))
        spk4, mem4 = self.lif4(self.fc4(spk3), mem4)
        return spk4, mem2, mem4


def mixed_network(seed: int = 0) -> MixedNetwork:
    torch.manual_seed(seed)
    return MixedNetwork().eval()


def mixed_inputs(num_steps: int = 60, batch: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    # a rate that drifts, so that spike counts (and with them thresholds) vary from step to step
    rate = 0.15 + 0.25 * rng.random((num_steps, batch, 1))
    return {
        "x": (rng.random((num_steps, batch, NUM_INPUTS)) < rate).astype(np.uint8),
        "context": rng.integers(-600, 601, (num_steps, batch, 4)).astype(np.int16),
    }


def make_dyadic(network: nn.Module, bits: int = 4) -> nn.Module:
    """Round all weights, leaks and thresholds to multiples of 2^-bits, so that float32 sums are exact."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                for parameter in module.parameters():
                    parameter.copy_(torch.round(parameter * 2**bits) / 2**bits)
            if isinstance(module, snn.Leaky):
                module.beta = torch.full_like(module.beta, 0.5)
                module.threshold = torch.round(module.threshold * 2**bits) / 2**bits
            if isinstance(module, DynamicThresholdLIF):
                module.beta = torch.tensor(0.5)
    return network
