"""MDST: two motion streams of spiking neurons, a context stream, and a read-out into attribute space.

After Li et al., arXiv 2505.19938, Fig. 2 and 4 ("three linear layers with LIF neurons"); what the text leaves
open (encoders, fusion, statistics) is our reconstruction. Tensor suffixes: B clip, T step, N channel.

The split for deployment is the structure itself: `chip` spikes, `context` runs before it on the host, `readout` after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from export.deployment import Deployment, HostSegment
from hardware_profiles.arithmetic import CONTEXT_FRACTION_BITS, CONTEXT_MAX
from hardware_profiles.config import from_mapping

from .config import ModelConfig
from .dynamic_threshold import EXPECTED_RATE, DynamicThresholdLIF, ThresholdBlock, floor_through

NUM_STATISTICS = 4
"""Mean and mean absolute deviation of the visual and of the audio features."""


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """Channels per step of the four inputs, and of the class attributes, as the data set has them."""

    visual_events: int
    audio_events: int
    frame_features: int
    audio_features: int
    attributes: int
    dt_s: float


class MotionStream(nn.Module):
    """Three times Linear → DynamicThresholdLIF; each threshold follows the population that drives the layer."""

    def __init__(self, num_inputs: int, config: ModelConfig) -> None:
        super().__init__()
        fan_ins = (num_inputs, *config.widths[:-1])
        self.linear = nn.ModuleList(
            _initial_linear(fan_in, width) for fan_in, width in zip(fan_ins, config.widths, strict=True)
        )
        self.lif = nn.ModuleList(_neurons(fan_in, config) for fan_in in fan_ins)

    def reset(self) -> None:
        """Forget all membranes."""
        for lif in self.lif:
            assert isinstance(lif, DynamicThresholdLIF)
            lif.reset_mem()

    def forward(self, spikes_BN: torch.Tensor, context_BN: torch.Tensor) -> torch.Tensor:
        """One step: spikes of the last layer, `[B, widths[-1]]`."""
        for linear, lif in zip(self.linear, self.lif, strict=True):
            spikes_BN = lif(linear(spikes_BN), population=spikes_BN, context=context_BN)
        return spikes_BN


def _initial_linear(fan_in: int, width: int) -> nn.Linear:
    """No bias: where nothing moves, nothing is sent and nothing is computed."""
    linear = nn.Linear(fan_in, width, bias=False)
    nn.init.normal_(linear.weight, std=1 / math.sqrt(fan_in * EXPECTED_RATE))
    return linear


def _neurons(population: int, config: ModelConfig) -> DynamicThresholdLIF:
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
    return DynamicThresholdLIF(config.beta, block, init_hidden=True)


class ChipSegment(nn.Module):
    """One step of both motion streams: what goes to the chip."""

    def __init__(self, sizes: InputSizes, config: ModelConfig) -> None:
        super().__init__()
        self.visual = MotionStream(sizes.visual_events, config)
        self.audio = MotionStream(sizes.audio_events, config)

    def reset(self) -> None:
        """Forget all membranes."""
        self.visual.reset()
        self.audio.reset()

    def forward(
        self, visual_events: torch.Tensor, audio_events: torch.Tensor, context_statistics: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Spikes of the two streams from ON/OFF events `[B, N]` and graded context `[B, 4]`."""
        return {
            "visual_motion": self.visual(visual_events, context_statistics),
            "audio_motion": self.audio(audio_events, context_statistics),
        }


class ContextEncoder(nn.Module):
    """Frame and audio feature encoders: per step two linear layers with ReLU, averaged over time."""

    def __init__(self, sizes: InputSizes, width: int) -> None:
        super().__init__()
        self.frames = nn.Sequential(
            nn.Linear(sizes.frame_features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.sound = nn.Sequential(
            nn.Linear(sizes.audio_features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )

    def forward(
        self, frame_features_BTN: torch.Tensor, audio_features_BTN: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return context statistics `[B, T, 4]` (floats, not yet quantised) and both contexts `[B, width]`."""
        visual_BTN, audio_BTN = self.frames(frame_features_BTN), self.sound(audio_features_BTN)
        statistics = [statistic for features in (visual_BTN, audio_BTN) for statistic in _mean_and_deviation(features)]
        return torch.stack(statistics, dim=2), visual_BTN.mean(dim=1), audio_BTN.mean(dim=1)


def _mean_and_deviation(features_BTN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean_BT = features_BTN.mean(dim=2)
    return mean_BT, (features_BTN - mean_BT[:, :, None]).abs().mean(dim=2)


def quantize_context_through(statistics: torch.Tensor) -> torch.Tensor:
    """`hardware_profiles.arithmetic.quantize_context` with straight-through gradients; float64 integers."""
    scaled = floor_through(statistics.double() * 2**CONTEXT_FRACTION_BITS + 0.5)
    return scaled.clamp(-CONTEXT_MAX, CONTEXT_MAX)


class Readout(nn.Module):
    """Contexts and motion rates to the joint embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.use_motion = config.use_motion
        width = 2 * config.context_width + (2 * config.widths[-1] if config.use_motion else 0)
        self.project = nn.Sequential(
            nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, config.embedding_width)
        )

    def forward(
        self,
        visual_motion_rate_BN: torch.Tensor,
        audio_motion_rate_BN: torch.Tensor,
        visual_context_BN: torch.Tensor,
        audio_context_BN: torch.Tensor,
    ) -> tuple[torch.Tensor]:
        """Return the embedding `[B, embedding_width]`, as a tuple of one."""
        parts = [visual_context_BN, audio_context_BN]
        if self.use_motion:
            parts += [visual_motion_rate_BN, audio_motion_rate_BN]
        return (self.project(torch.cat(parts, dim=1)),)


class Batch(NamedTuple):
    """Inputs of a batch of clips, `[B, T, N]` each."""

    visual_events: torch.Tensor
    audio_events: torch.Tensor
    frame_features: torch.Tensor
    audio_features: torch.Tensor


class MDST(nn.Module):
    """The whole model; `text` and `reconstruct` serve training and scoring only."""

    def __init__(self, sizes: InputSizes, config: ModelConfig) -> None:
        super().__init__()
        self.context = ContextEncoder(sizes, config.context_width)
        self.chip = ChipSegment(sizes, config)
        self.readout = Readout(config)
        self.text = nn.Sequential(nn.Linear(sizes.attributes, 64), nn.ReLU(), nn.Linear(64, config.embedding_width))
        self.reconstruct = nn.Sequential(
            nn.Linear(config.embedding_width, 64), nn.ReLU(), nn.Linear(64, sizes.attributes)
        )

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return embeddings `[B, embedding_width]`."""
        statistics_BTN, visual_context, audio_context = self.context(batch.frame_features, batch.audio_features)
        if self.readout.use_motion:
            context_BTN = quantize_context_through(statistics_BTN)
            rates = self.motion_rates(batch.visual_events, batch.audio_events, context_BTN)
        else:
            rates = dict.fromkeys(("visual_motion", "audio_motion"), visual_context)
        (embedding,) = self.readout(rates["visual_motion"], rates["audio_motion"], visual_context, audio_context)
        return torch.as_tensor(embedding)

    def motion_rates(
        self, visual_BTN: torch.Tensor, audio_BTN: torch.Tensor, context_BTN: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Run the chip segment over time and return spikes per step of each output, `[B, n]`."""
        self.chip.reset()
        num_steps = visual_BTN.shape[1]
        steps = [self.chip(visual_BTN[:, t], audio_BTN[:, t], context_BTN[:, t]) for t in range(num_steps)]
        return {name: torch.stack([step[name] for step in steps]).sum(dim=0) / num_steps for name in steps[0]}


def to_config(sizes: InputSizes, config: ModelConfig) -> dict[str, Any]:
    """Return what a checkpoint must carry to rebuild the model."""
    model = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    return {"sizes": asdict(sizes), "model": model}


def from_config(config: Mapping[str, Any]) -> tuple[MDST, InputSizes]:
    """Rebuild the (untrained) model from `to_config`'s mapping.

    Raises:
        ConfigError: keys are missing, unknown or of another type.
    """
    sizes = from_mapping(InputSizes, config.get("sizes", {}), "checkpoint config [sizes]")
    model = from_mapping(ModelConfig, config.get("model", {}), "checkpoint config [model]")
    return MDST(sizes, model), sizes


def make_deployment(config: Mapping[str, Any]) -> Deployment:
    """Factory for `python -m export training.mdst:make_deployment`."""
    model, sizes = from_config(config)
    before = HostSegment(
        name="context",
        module=model.context,
        inputs=("frame_features", "audio_features"),
        outputs=("context_statistics", "visual_context", "audio_context"),
        when="before",
    )
    after = HostSegment(
        name="readout",
        module=model.readout,
        inputs=("visual_motion_rate", "audio_motion_rate", "visual_context", "audio_context"),
        outputs=("embedding",),
        when="after",
    )
    return Deployment(module=model, chip=model.chip, hosts=(before, after), dt_s=sizes.dt_s)
