"""A training step of the MDST's chip segment beside a loop of snnTorch `Leaky` layers of the same shape.

Both run T time steps forward, back-propagate a loss on spike counts, and take one step of Adam. The difference is what
dynamic thresholds cost in training: population counts, mean absolute deviations, controllers and their gradients.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import snntorch as snn
import torch
from torch import nn

from hardware_profiles.config import read_section
from training.config import ModelConfig
from training.mdst import NUM_STATISTICS, ChipSegment, InputSizes

from .comparison import Comparison, interleave

DEMO = Path(__file__).resolve().parents[1] / "configs" / "demo.toml"
INPUT_RATE = 0.1
SIZES = InputSizes(visual_events=512, audio_events=64, frame_features=64, audio_features=32, attributes=10, dt_s=0.0625)
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
        self.visual = self._stream(SIZES.visual_events, config)
        self.audio = self._stream(SIZES.audio_events, config)

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
    """Time both, per sample and time step."""
    config = read_section(DEMO, "model", ModelConfig)
    num_steps, batch = (4, 8) if quick else (16, 32)
    torch.manual_seed(0)
    clips = _Clips(
        visual=(torch.rand(num_steps, batch, SIZES.visual_events) < INPUT_RATE).float(),
        audio=(torch.rand(num_steps, batch, SIZES.audio_events) < INPUT_RATE).float(),
        context=torch.randint(-100, 100, (batch, NUM_STATISTICS)).float(),
    )
    leaky, chip = LeakyStreams(config), ChipSegment(SIZES, config)
    # equal weights: the two differ in their thresholds only
    with torch.no_grad():
        for own, given in zip(_linears(leaky), _linears(chip), strict=True):
            own.weight.copy_(given.weight)
    models: dict[str, ChipSegment | LeakyStreams] = {"snnTorch Leaky loop": leaky, "MDST chip segment": chip}
    contenders = {name: _training_step(model, clips, num_steps * batch) for name, model in models.items()}
    rates = {name: _rate(model, clips) for name, model in models.items()}
    if min(rates.values()) == 0.0:
        raise AssertionError(f"nothing spikes: {rates}")
    return Comparison(
        title="One training step",
        unit="µs per sample-step",
        baseline="snnTorch Leaky loop",
        figures=interleave("training step", contenders, rounds),
        settings={"batch": batch, "time steps": num_steps, "widths": " ".join(map(str, config.widths))},
        check="Output spike rates: " + ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in rates.items()) + ".",
    )


def _linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def _training_step(model: ChipSegment | LeakyStreams, clips: _Clips, sample_steps: int) -> Callable[[], float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> float:
        start_s = time.perf_counter()
        optimizer.zero_grad()
        _spikes(model, clips).square().mean().backward()
        optimizer.step()
        return (time.perf_counter() - start_s) / sample_steps * 1e6

    return step


def _spikes(model: ChipSegment | LeakyStreams, clips: _Clips) -> torch.Tensor:
    """Run all time steps and return mean output spikes per sample and neuron, [B, n]."""
    model.reset()
    rows = []
    for visual, audio in zip(clips.visual, clips.audio, strict=True):
        outputs = model(visual, audio, clips.context)
        rows.append(torch.cat([outputs["visual_motion"], outputs["audio_motion"]], dim=1))
    return torch.stack(rows).mean(dim=0)


@torch.no_grad()
def _rate(model: ChipSegment | LeakyStreams, clips: _Clips) -> float:
    return float(_spikes(model, clips).mean())
