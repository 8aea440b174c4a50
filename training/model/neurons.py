"""Layers of neurons on one step `[B, N]` or on a whole sequence `[T, B, N]`: the same equations, the same numbers.

Training runs layer by layer over whole sequences (`training.sequence`), export reads one step at a time.
"""

from __future__ import annotations

import math

import snntorch as snn
import torch
from torch import nn

from hardware_profiles.errors import ConfigError

from ..dynamic_threshold import EXPECTED_RATE, DynamicThresholdLIF, ThresholdBlock
from ..sequence.leaky import leaky_sequence
from .config import ModelConfig

NUM_STATISTICS = 4
"""Context values per step: mean and mean absolute deviation of the visual and of the audio context features."""


class DynamicNeurons(nn.Module):
    """LIF neurons whose threshold follows the spikes that drive them, and the context."""

    def __init__(self, population: int, config: ModelConfig) -> None:
        super().__init__()
        if population % config.num_groups:
            raise ConfigError(f"num_groups {config.num_groups}: must divide the {population} inputs of every layer")
        block = ThresholdBlock(
            population,
            num_groups=config.num_groups,
            num_context=NUM_STATISTICS,
            threshold=config.threshold,
            amplitude=config.amplitude,
            fraction_bits=config.fraction_bits,
            use_motion=config.threshold_from_motion,
            use_context=config.threshold_from_context,
        )
        self.lif = DynamicThresholdLIF(config.beta, block, init_hidden=True)

    def forward(self, current: torch.Tensor, population: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return spikes of the shape of `current`."""
        if current.ndim == 2:
            step: torch.Tensor = self.lif(current, population=population, context=context)
            return step
        return self.lif.sequence(current, population_TBP=population, context_TBC=context)


class FixedNeurons(nn.Module):
    """LIF neurons, hard reset, constant threshold: U[t] = β V[t−1] + X[t]; S = 1(U > θ); V = U (1 − S)."""

    def __init__(self, beta: float, threshold: float) -> None:
        super().__init__()
        self.lif = snn.Leaky(beta, threshold=threshold, reset_mechanism="zero", init_hidden=True)

    def forward(
        self, current: torch.Tensor, population: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return spikes of the shape of `current`; population and context change nothing."""
        if current.ndim == 2:
            step: torch.Tensor = self.lif(current)
            return step
        spikes, _ = leaky_sequence(self.lif, current)
        return spikes


def reset(module: nn.Module) -> None:
    """Forget all membranes below a module; call it before every independent sequence of steps."""
    for part in module.modules():
        if isinstance(part, DynamicThresholdLIF | snn.Leaky):
            part.reset_mem()


def initial_weights(weight: torch.Tensor, fan_in: int) -> None:
    """Draw weights that give unit-variance currents where inputs spike at the expected rate.

    No layer on the chip has a bias: where nothing moves, nothing is sent and nothing is computed.
    """
    nn.init.normal_(weight, std=1 / math.sqrt(fan_in * EXPECTED_RATE))


def make_linear(fan_in: int, width: int) -> nn.Linear:
    """Return a Linear without bias, with `initial_weights`."""
    linear = nn.Linear(fan_in, width, bias=False)
    initial_weights(linear.weight, fan_in)
    return linear
