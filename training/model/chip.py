"""The chip segment: both motion streams and the discrepancy block; spikes, integers and thresholds only."""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from ..data.source import InputSizes
from .config import ModelConfig
from .discrepancy import DiscrepancyBlock
from .neurons import reset
from .streams import LinearStream, TransformerStream

STREAMS: dict[str, type[LinearStream] | type[TransformerStream]] = {"mdst": LinearStream, "mdst++": TransformerStream}


class ChipSegment(nn.Module):
    """What runs on the chip, on one step (MDST) or over all steps.

    No LayerNorm, softmax, standard deviation or tanh of a signal: linear maps, LIF neurons, dynamic thresholds,
    products of spikes, causal windows.
    """

    def __init__(self, sizes: InputSizes, config: ModelConfig) -> None:
        super().__init__()
        visual, audio = prod(sizes.visual_shape), prod(sizes.audio_shape)
        self.discrepancy = DiscrepancyBlock(visual, audio, config) if config.use_discrepancy else None
        stream = STREAMS[config.architecture]
        self.visual: LinearStream | TransformerStream = stream(sizes.visual_shape, False, config)
        self.audio: LinearStream | TransformerStream = stream(sizes.audio_shape, config.use_discrepancy, config)

    def reset(self) -> None:
        """Forget all membranes."""
        reset(self)

    def run(
        self, visual_events: torch.Tensor, audio_events: torch.Tensor, context_statistics: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Return the spikes of every stage of the visual and of the audio stream.

        Args:
            visual_events: `[T, B, N]`, 0 or 1 (one step: `[B, N]`, architecture `mdst`).
            audio_events: likewise.
            context_statistics: graded integers `[T, B, 4]`.
        """
        discrepancy = None if self.discrepancy is None else self.discrepancy(visual_events, audio_events)
        return (
            self.visual(visual_events, context_statistics),
            self.audio(audio_events, context_statistics, discrepancy),
        )

    def forward(
        self, visual_events: torch.Tensor, audio_events: torch.Tensor, context_statistics: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the last stage's spikes of both streams by name, for export."""
        visual, audio = self.run(visual_events, audio_events, context_statistics)
        return {"visual_motion": visual[-1], "audio_motion": audio[-1]}
