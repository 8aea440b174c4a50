"""Attention between the tokens of a spiking stream, from spikes alone; no softmax, no scale that is not 2^-k.

Shapes: `[…, n, D]` for n tokens of D channels, where … is B or T, B. Flat means `[…, n·D]`.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import ModelConfig
from .neurons import DynamicNeurons, FixedNeurons, make_linear

MASK_THRESHOLD = 0.5
"""One coincidence of query and key in any token opens the channel."""
ATTENTION_THRESHOLD = 0.5
"""Of the neurons behind (Q Kᵀ) V, as in Spikformer (Zhou et al., ICLR 2023)."""


class SpikingProjection(nn.Module):
    """LIF(W s), the same W for every token."""

    def __init__(self, tokens: int, fan_in: int, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.tokens, self.fan_in = tokens, fan_in
        self.linear = make_linear(fan_in, width)
        self.neurons = DynamicNeurons(tokens * fan_in, config)

    def forward(self, spikes: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return flat spikes `[…, tokens·width]` of flat spikes `[…, tokens·fan_in]`."""
        current = self.linear(spikes.unflatten(-1, (self.tokens, self.fan_in))).flatten(-2)
        fired: torch.Tensor = self.neurons(current, spikes, context)
        return fired


class SpikeDrivenAttention(nn.Module):
    """SDSA (Yao et al., NeurIPS 2023): y[n, d] = SN(Σ_n′ q[n′, d] k[n′, d]) v[n, d].

    Q ⊙ K of spikes is an AND; the sum over tokens and the mask SN (LIF neurons, one for each channel) are one more
    layer; all of it fits stock Lava processes (coincidence detectors).
    """

    def __init__(self, tokens: int, config: ModelConfig) -> None:
        super().__init__()
        self.tokens, self.channels = tokens, config.channels
        self.mask = FixedNeurons(config.beta, MASK_THRESHOLD)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return flat spikes of the flat spikes of query, key and value."""
        shape = (self.tokens, self.channels)
        mask = self.mask((query * key).unflatten(-1, shape).sum(dim=-2))
        passed: torch.Tensor = (mask.unsqueeze(-2) * value.unflatten(-1, shape)).flatten(-2)
        return passed


class SpikformerAttention(nn.Module):
    """Spikformer's form (Zhou et al., ICLR 2023): y = LIF(2^-s (Q Kᵀ) V) for each head.

    Q Kᵀ counts coincidences, so V is multiplied by an integer: graded spikes, Loihi 2 only. The scale is the power of
    two nearest below 1/√(n·D/heads), in place of Spikformer's 0.125.
    """

    def __init__(self, tokens: int, config: ModelConfig) -> None:
        super().__init__()
        self.tokens, self.heads, self.per_head = tokens, config.heads, config.channels // config.heads
        self.scale = 2.0 ** -math.ceil(math.log2(math.sqrt(tokens * self.per_head)))
        self.neurons = FixedNeurons(config.beta, ATTENTION_THRESHOLD)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return flat spikes of the flat spikes of query, key and value."""
        query, key, value = (
            flat.unflatten(-1, (self.tokens, self.heads, self.per_head)).transpose(-3, -2)
            for flat in (query, key, value)
        )
        mixed = (query @ key.transpose(-2, -1)) @ value * self.scale
        fired: torch.Tensor = self.neurons(mixed.transpose(-3, -2).flatten(-3))
        return fired
