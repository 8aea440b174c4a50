"""SpikeFormer: blocks of spiking attention and MLP with residuals in the currents, in stages of fewer and fewer steps.

A residual that adds spikes gives integers; here the *currents* of the branches meet in front of the next neurons
(the membrane shortcut of Spike-driven Transformer, Yao et al., NeurIPS 2023), so that all that is sent is binary.
"""

from __future__ import annotations

import torch
from torch import nn

from .attention import SpikeDrivenAttention, SpikformerAttention, SpikingProjection
from .config import ModelConfig
from .neurons import DynamicNeurons, FixedNeurons, make_linear

ATTENTION = {"sdsa": SpikeDrivenAttention, "spikformer": SpikformerAttention}


class TokenLinear(nn.Module):
    """W s per token, flat `[…, tokens·fan_in]` to `[…, tokens·width]`."""

    def __init__(self, tokens: int, fan_in: int, width: int) -> None:
        super().__init__()
        self.tokens, self.fan_in = tokens, fan_in
        self.linear = make_linear(fan_in, width)

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return currents."""
        current: torch.Tensor = self.linear(spikes.unflatten(-1, (self.tokens, self.fan_in))).flatten(-2)
        return current


class SpikeFormerBlock(nn.Module):
    """One block on currents x, flat `[…, n·D]`, with s = the spikes that x makes.

    ::

    x′ = x + W_o Attention(LIF(W_q s), LIF(W_k s), LIF(W_v s))      left out with attention "none"
    s′ = LIF(x′)
    x″ = x′ + W_2 LIF(W_1 s′);   s″ = LIF(x″)
    """

    def __init__(self, tokens: int, config: ModelConfig) -> None:
        super().__init__()
        size = tokens * config.channels
        self.attention: nn.Module | None = None
        if config.attention != "none":
            for name in ("query", "key", "value"):
                setattr(self, name, SpikingProjection(tokens, config.channels, config.channels, config))
            self.attention = ATTENTION[config.attention](tokens, config)
            self.attention_out = TokenLinear(tokens, config.channels, config.channels)
            self.attended = DynamicNeurons(size, config)
        hidden = config.expansion * config.channels
        self.expand = SpikingProjection(tokens, config.channels, hidden, config)
        self.contract = TokenLinear(tokens, hidden, config.channels)
        self.out = DynamicNeurons(tokens * hidden, config)

    def forward(
        self, current: torch.Tensor, spikes: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (x″, s″) of (x, s)."""
        if self.attention is not None:
            query, key, value = (getattr(self, name)(spikes, context) for name in ("query", "key", "value"))
            attended = self.attention(query, key, value)
            current = current + self.attention_out(attended)
            spikes = self.attended(current, attended, context)
        hidden = self.expand(spikes, context)
        current = current + self.contract(hidden)
        return current, self.out(current, hidden, context)


class WindowPool(nn.Module):
    """A causal window over r steps, from T to T/r steps: y[t] = Σ_k p_k s[t·r + k],  Σ p = 1, p ≥ 0.

    p = softmax of a parameter, so it starts as the mean; on the chip p is 128ths (`export.passes.window_weights`).
    Stages with shrinking steps after SSNN (Ding et al., AAAI 2024), whose temporal transformer is larger [ours].
    """

    def __init__(self, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.logits = nn.Parameter(torch.zeros(ratio))

    def forward(self, spikes_TBN: torch.Tensor) -> torch.Tensor:
        """Return `[T/r, B, N]`."""
        windows = spikes_TBN.unflatten(0, (-1, self.ratio))
        return torch.einsum("trbn,r->tbn", windows, torch.softmax(self.logits, dim=0))


class Stage(nn.Module):
    """SpikeFormer blocks on one clock: x = W s (or the stem's own current), s = LIF(x), then the blocks.

    Behind a window the first neurons have a constant threshold: the chip's controllers count spikes, and a window
    sends graded values.
    """

    def __init__(self, tokens: int, num_blocks: int, config: ModelConfig, *, entry: int | None) -> None:
        """Build a stage; `entry` is the size of the population behind the stem's current, None behind a window."""
        super().__init__()
        self.embed = TokenLinear(tokens, config.channels, config.channels) if entry is None else None
        self.first: nn.Module = (
            FixedNeurons(config.beta, config.threshold) if entry is None else DynamicNeurons(entry, config)
        )
        self.blocks = nn.ModuleList(SpikeFormerBlock(tokens, config) for _ in range(num_blocks))

    def forward(self, values: torch.Tensor, population: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return the last block's spikes.

        Args:
            values: the stem's current, or what a window sends, `[…, n·D]`.
            population: spikes that made the current, `[…, entry]`; not used behind a window.
            context: graded context values of these steps, `[…, 4]`.
        """
        current = values if self.embed is None else self.embed(values)
        spikes = self.first(current, population, context)
        for block in self.blocks:
            current, spikes = block(current, spikes, context)
        fired: torch.Tensor = spikes
        return fired
