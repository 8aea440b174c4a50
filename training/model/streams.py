"""One motion stream: events of one modality to the spikes of its stages.

`MDST` is "three linear layers with LIF neurons" (arXiv 2505.19938, Fig. 4); `MDST++` is an event stem and SpikeFormer
blocks in m stages with T1 > T2 > … > Tm. Both take a current of the discrepancy block's spikes in their second layer:
one synapse layer after the events, as that layer's own input.
"""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from .config import ModelConfig
from .discrepancy import DiscrepancyDrive
from .neurons import DynamicNeurons, make_linear
from .spikeformer import Stage, WindowPool
from .stem import Stem


class LinearStream(nn.Module):
    """Linear → LIF, once for each of `widths`; one stage."""

    output_sizes: tuple[int, ...]

    def __init__(self, shape: tuple[int, ...], with_discrepancy: bool, config: ModelConfig) -> None:
        super().__init__()
        fan_ins = (prod(shape), *config.widths[:-1])
        self.linear = nn.ModuleList(
            make_linear(fan_in, width) for fan_in, width in zip(fan_ins, config.widths, strict=True)
        )
        self.neurons = nn.ModuleList(DynamicNeurons(fan_in, config) for fan_in in fan_ins)
        self.discrepancy = DiscrepancyDrive(config.widths[1], config) if with_discrepancy else None
        self.output_sizes = (config.widths[-1],)

    def forward(
        self,
        events: torch.Tensor,
        context: torch.Tensor,
        discrepancy: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the last layer's spikes, for one step `[B, N]` or a sequence `[T, B, N]`."""
        spikes = events
        for layer, (linear, neurons) in enumerate(zip(self.linear, self.neurons, strict=True)):
            current = linear(spikes)
            if layer == 1 and self.discrepancy is not None and discrepancy is not None:
                current = current + self.discrepancy(discrepancy)
            spikes = neurons(current, spikes, context)
        return (spikes,)


class TransformerStream(nn.Module):
    """Stem, then stages: stage i runs on T_i steps, on windows of the spikes of stage i − 1."""

    output_sizes: tuple[int, ...]

    def __init__(self, shape: tuple[int, ...], with_discrepancy: bool, config: ModelConfig) -> None:
        super().__init__()
        self.stem = Stem(shape, config)
        size = self.stem.tokens * config.channels
        self.discrepancy = DiscrepancyDrive(size, config) if with_discrepancy else None
        self.stages = nn.ModuleList(
            Stage(self.stem.tokens, num_blocks, config, entry=self.stem.hidden if index == 0 else None)
            for index, num_blocks in enumerate(config.blocks)
        )
        self.windows = nn.ModuleList(
            WindowPool(fast // slow) for fast, slow in zip(config.steps[:-1], config.steps[1:], strict=True)
        )
        self.output_sizes = (size,) * len(config.steps)

    def forward(
        self,
        events_TBN: torch.Tensor,
        context_TBN: torch.Tensor,
        discrepancy: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the spikes of every stage, `[T_i, B, tokens·channels]`."""
        current, population = self.stem(events_TBN, context_TBN)
        if self.discrepancy is not None and discrepancy is not None:
            current = current + self.discrepancy(discrepancy)
        spikes = [self.stages[0](current, population, context_TBN)]
        for window, stage in zip(self.windows, self.stages[1:], strict=True):
            # what the host last sent before the window closed
            assert isinstance(window, WindowPool)
            context_TBN = context_TBN[window.ratio - 1 :: window.ratio]
            spikes.append(stage(window(spikes[-1]), spikes[-1], context_TBN))
        return tuple(spikes)
