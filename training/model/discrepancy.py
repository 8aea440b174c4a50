"""Discrepancy analysis block: where sound and sight disagree, as excitatory and inhibitory synapses.

The paper derives audio motion cues from the difference between visual events and audio features (arXiv 2505.19938,
by its machine review; no equation is public). On a chip a difference is excitation from one side and inhibition from
the other [ours]:

    d⁺ = LIF(|E_a| a − |I_v| v)     sound without sight        d⁻ = LIF(|E_v| v − |I_a| a)     sight without sound

with a, v the audio and visual events of the step. Both populations drive the audio stream.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from export.reading.torch_modules import read_linear
from export.registry import ModuleCall, Reading, register_module

from ..dynamic_threshold import EXPECTED_RATE
from .config import ModelConfig
from .neurons import FixedNeurons, make_linear

HALF_NORMAL_MEAN = 0.798
"""E|z| of a standard normal z."""


class SignedLinear(nn.Module):
    """W s with all synapses of one sign: W = ±|magnitude|, excitatory (+1) or inhibitory (−1).

    It starts with a mean current of ±1 where inputs spike at the expected rate.
    """

    bias = None

    def __init__(self, in_features: int, out_features: int, sign: int) -> None:
        super().__init__()
        self.in_features, self.sign = in_features, sign
        self.magnitude = nn.Parameter(torch.empty(out_features, in_features))
        nn.init.normal_(self.magnitude, std=1 / (HALF_NORMAL_MEAN * in_features * EXPECTED_RATE))

    @property
    def weight(self) -> torch.Tensor:
        """W, float32 `[out, in]`."""
        return self.sign * self.magnitude.abs()

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return currents `[…, out]`."""
        return F.linear(spikes, self.weight)


def read_signed_linear(call: ModuleCall) -> Reading:
    """Reading function of `SignedLinear`: a Linear with these weights."""
    return Reading(node=read_linear(call).node, ports={"spikes": "input"})


register_module(
    SignedLinear, read_signed_linear, sizes=lambda module: {"spikes": cast(SignedLinear, module).in_features}
)


class DiscrepancyBlock(nn.Module):
    """Two populations of `discrepancy_width` neurons each, of opposite sign."""

    def __init__(self, visual: int, audio: int, config: ModelConfig) -> None:
        super().__init__()
        width = config.discrepancy_width
        self.excite_by_audio = SignedLinear(audio, width, +1)
        self.inhibit_by_visual = SignedLinear(visual, width, -1)
        self.excite_by_visual = SignedLinear(visual, width, +1)
        self.inhibit_by_audio = SignedLinear(audio, width, -1)
        self.sound_alone = FixedNeurons(config.beta, config.threshold)
        self.sight_alone = FixedNeurons(config.beta, config.threshold)

    def forward(self, visual: torch.Tensor, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return spikes d⁺ and d⁻, `[…, discrepancy_width]` each, of events `[…, N]`."""
        sound = self.sound_alone(self.excite_by_audio(audio) + self.inhibit_by_visual(visual))
        sight = self.sight_alone(self.excite_by_visual(visual) + self.inhibit_by_audio(audio))
        return sound, sight


class DiscrepancyDrive(nn.Module):
    """What the discrepancy adds to a layer's current: W⁺ d⁺ + W⁻ d⁻."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.from_sound = make_linear(config.discrepancy_width, width)
        self.from_sight = make_linear(config.discrepancy_width, width)
        with torch.no_grad():  # unit variance of both together
            self.from_sound.weight *= math.sqrt(0.5)
            self.from_sight.weight *= math.sqrt(0.5)

    def forward(self, discrepancy: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return currents `[…, width]` of (d⁺, d⁻)."""
        sound, sight = discrepancy
        current: torch.Tensor = self.from_sound(sound) + self.from_sight(sight)
        return current
