"""The MDST's chip segment, whole sequences and step by step, beside a loop of snnTorch `Leaky` layers of its shape.

All run T time steps forward and back-propagate a loss on spike counts. What the steps one by one cost above the loop is
the price of dynamic thresholds: population counts, mean absolute deviations, controllers and their gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import snntorch as snn
import torch
from torch import nn

from hardware_profiles.config import read_section
from training.data.source import InputSizes
from training.model.chip import ChipSegment
from training.model.config import ModelConfig
from training.model.neurons import NUM_STATISTICS

from .comparison import Comparison, interleave
from .training_leaky import timed_step

DEMO = Path(__file__).resolve().parents[1] / "configs" / "demo.toml"
INPUT_RATE = 0.1
SIZES = InputSizes(
    visual_shape=(2, 16, 16), audio_shape=(2, 32), frame_features=192, audio_features=32, attributes=16, num_steps=16,
    dt_s=1 / 16,
)  # fmt: skip
"""Event channels of the demo; the host's sizes are not used here."""


@dataclass(frozen=True)
class _Clips:
    visual: torch.Tensor
    audio: torch.Tensor
    context: torch.Tensor


class LeakyStreams(nn.Module):
    """Two streams of Linear and `Leaky` layers with constant thresholds and hard reset."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.visual = self._stream(prod(SIZES.visual_shape), config)
        self.audio = self._stream(prod(SIZES.audio_shape), config)

    @staticmethod
    def _stream(num_inputs: int, config: ModelConfig) -> nn.ModuleList:
        layers = nn.ModuleList()
        for fan_in, width in zip((num_inputs, *config.widths[:-1]), config.widths, strict=True):
            layers.append(nn.Linear(fan_in, width, bias=False))
            leaky = snn.Leaky(config.beta, threshold=config.threshold, reset_mechanism="zero", init_hidden=True)
            layers.append(leaky)
        return layers

    def reset(self) -> None:
        """Forget all membranes."""
        for layer in self.modules():
            if isinstance(layer, snn.Leaky):
                layer.reset_mem()

    def forward(self, visual: torch.Tensor, audio: torch.Tensor, context: torch.Tensor) -> dict[str, torch.Tensor]:
        """One time step; there is no use for the context."""
        for layer in self.visual:
            visual = layer(visual)
        for layer in self.audio:
            audio = layer(audio)
        return {"visual_motion": visual, "audio_motion": audio}


def compare(quick: bool, rounds: int) -> Comparison:
    """Time all three."""
    # without the discrepancy block, which the loop has no counterpart for
    config = replace(read_section(DEMO, "model", ModelConfig), use_discrepancy=False)
    num_steps, batch = (4, 8) if quick else (16, 32)
    torch.manual_seed(0)
    clips = _Clips(
        visual=(torch.rand(num_steps, batch, prod(SIZES.visual_shape)) < INPUT_RATE).float(),
        audio=(torch.rand(num_steps, batch, prod(SIZES.audio_shape)) < INPUT_RATE).float(),
        context=torch.randint(-100, 100, (batch, NUM_STATISTICS)).float(),
    )
    leaky, chip = LeakyStreams(config), ChipSegment(SIZES, config)
    # equal weights: the two differ in their thresholds only
    with torch.no_grad():
        for own, given in zip(_linears(leaky), _linears(chip), strict=True):
            own.weight.copy_(given.weight)
    forwards = {
        "snnTorch Leaky loop": lambda: _by_step(leaky, clips),
        "MDST chip segment, step by step": lambda: _by_step(chip, clips),
        "MDST chip segment, whole sequences": lambda: _at_once(chip, clips),
    }
    models = (leaky, chip, chip)
    contenders = {
        name: timed_step(model, forward, lambda spikes: spikes.mean(dim=0).square().mean())
        for (name, forward), model in zip(forwards.items(), models, strict=True)
    }
    with torch.no_grad():
        by_loop, by_step, at_once = (forward() for forward in forwards.values())
    if not 0.0 < float(by_step.mean()) < 1.0 or float(by_loop.mean()) == 0.0:
        raise AssertionError(f"spike rates {by_loop.mean():.3f} and {by_step.mean():.3f}: nothing is compared")
    return Comparison(
        title="One training step of the chip segment",
        unit="ms per step",
        baseline="snnTorch Leaky loop",
        figures=interleave("training step", contenders, rounds),
        settings={"batch": batch, "time steps": num_steps, "widths": " ".join(map(str, config.widths))},
        check=(
            f"Output spike rates {100 * by_loop.mean():.1f} % (Leaky) and {100 * by_step.mean():.1f} % (MDST); "
            f"{int((by_step != at_once).sum())} of {by_step.numel()} spikes differ between its two forms."
        ),
    )


def _linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def _by_step(model: ChipSegment | LeakyStreams, clips: _Clips) -> torch.Tensor:
    """Run all time steps and return the output spikes of both streams, [T, B, n]."""
    model.reset()
    rows = []
    for visual, audio in zip(clips.visual, clips.audio, strict=True):
        outputs = model(visual, audio, clips.context)
        rows.append(torch.cat([outputs["visual_motion"], outputs["audio_motion"]], dim=1))
    return torch.stack(rows)


def _at_once(chip: ChipSegment, clips: _Clips) -> torch.Tensor:
    """Do the same layer by layer."""
    outputs = chip(clips.visual, clips.audio, clips.context.expand(len(clips.visual), -1, -1))
    return torch.cat([outputs["visual_motion"], outputs["audio_motion"]], dim=2)
