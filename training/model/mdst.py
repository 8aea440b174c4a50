"""MDST and MDST++: chip segment (motion), host segments (context before it, read-outs after it), class projection.

After Li et al., arXiv 2505.19938, Fig. 2 and 4; `docs/mdst.md` says for every equation whether it is the paper's or
ours. The split for deployment is the structure itself: `context` runs on the host before the chip, `chip` spikes,
`readouts` run on the host after it; `embed`, `decode_*` serve training and scoring only.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from export.deployment import Deployment, HostSegment
from hardware_profiles.arithmetic import CONTEXT_FRACTION_BITS, CONTEXT_MAX
from hardware_profiles.config import as_mapping, from_mapping
from hardware_profiles.errors import ConfigError

from ..data.source import Batch, InputSizes
from ..dynamic_threshold import floor_through
from ..protocol import EMBEDDINGS
from .chip import ChipSegment
from .config import ModelConfig
from .context import ContextStream, make_projection
from .frames import frame_spikes
from .losses import Targets, stage_loss
from .reasoning import Answer, Heads, Readout


def quantize_context_through(statistics: torch.Tensor) -> torch.Tensor:
    """`hardware_profiles.arithmetic.quantize_context` with straight-through gradients; float64 integers."""
    scaled = floor_through(statistics.double() * 2**CONTEXT_FRACTION_BITS + 0.5)
    return scaled.clamp(-CONTEXT_MAX, CONTEXT_MAX)


class MDST(nn.Module):
    """The whole model in either architecture."""

    def __init__(self, sizes: InputSizes, config: ModelConfig) -> None:
        """Build the model.

        Raises:
            ConfigError: the configuration does not fit these inputs.
        """
        super().__init__()
        _check_fit(sizes, config)
        self.sizes, self.config = sizes, config
        self._last_rates: dict[str, torch.Tensor] = {}
        self.context = ContextStream(sizes, config)
        self.chip = ChipSegment(sizes, config)
        self.readouts = nn.ModuleList(
            Readout(visual, audio, config)
            for visual, audio in zip(
                accumulate(self.chip.visual.output_sizes), accumulate(self.chip.audio.output_sizes), strict=True
            )
        )
        width, hidden = config.embedding_width, config.encoder_hidden
        self.embed = make_projection(sizes.attributes, hidden, width, config.dropout_decoder)
        self.decode_class = make_projection(width, hidden, sizes.attributes, config.dropout_decoder)
        self.decode_video = make_projection(width, hidden, config.context_width, config.dropout_decoder)
        self.decode_audio = make_projection(width, hidden, config.context_width, config.dropout_decoder)

    def forward(self, batch: Batch) -> tuple[Heads, ...]:
        """Return the answer of every stage, T1 first; the last is the model's."""
        statistics, visual, audio, video_features, audio_features = self.context(
            batch.frame_features, batch.audio_features
        )
        if self.config.use_motion:
            rates = self.motion_rates(batch, quantize_context_through(statistics))
        else:  # read-outs without motion do not look at rates
            rates = ((visual, audio),) * len(self.readouts)
        answers = (readout(*rate, visual, audio) for readout, rate in zip(self.readouts, rates, strict=True))
        return tuple(
            Heads(video_embedding, audio_embedding, video_features, audio_features)
            for video_embedding, audio_embedding in answers
        )

    def motion_rates(self, batch: Batch, context_BTN: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
        """Run the chip segment and return (visual, audio) rates for every stage: spikes per step, `[B, n]` each.

        The answer of stage i sees the rates of stages 1 to i, one timescale after the other.
        """
        visual = batch.visual_events
        if self.config.visual_input == "frames":
            visual = frame_spikes(batch.frame_features, self.sizes.visual_shape)
        inputs = (visual, batch.audio_events, context_BTN)
        streams = self.chip.run(*(_time_first(values) for values in inputs))
        visual_rates, audio_rates = ([spikes.mean(dim=0) for spikes in stages] for stages in streams)
        self._last_rates = {
            f"{stream}_T{steps}": rate.detach().mean()
            for stream, rates in (("visual", visual_rates), ("audio", audio_rates))
            for steps, rate in zip(self.config.steps, rates, strict=True)
        }
        return tuple(
            (torch.cat(visual_rates[:stage], dim=1), torch.cat(audio_rates[:stage], dim=1))
            for stage in range(1, len(visual_rates) + 1)
        )

    def spike_rates(self) -> dict[str, float]:
        """Return spikes per neuron and step of every stage's output in the last batch, by stream and T_i."""
        return {name: float(rate) for name, rate in self._last_rates.items()}

    def embed_classes(self, attributes: torch.Tensor) -> torch.Tensor:
        """Return the embeddings `[C, E]` of class vectors `[C, A]`."""
        embedding: torch.Tensor = self.embed(attributes)
        return embedding

    def loss(
        self, stages: tuple[Heads, ...], label: torch.Tensor, attributes: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """L = L(T_m) + λ Σ_{i<m} L(T_i), each L as in `losses.stage_loss`.

        Args:
            stages: what `forward` gave.
            label: index into `attributes`, int64 `[B]`.
            attributes: vectors of the training classes, `[C, A]`, C ≥ 2.

        Returns:
            The loss, and its terms of the last stage by name.
        """
        targets = Targets.draw(label, attributes, self.embed_classes(attributes))
        total, terms = stage_loss(self, stages[-1], targets, self.config)
        for heads in stages[:-1]:
            total = total + self.config.stage_loss_weight * stage_loss(self, heads, targets, self.config)[0]
        return total, terms


def _time_first(values_BTN: torch.Tensor) -> torch.Tensor:
    return values_BTN.transpose(0, 1).contiguous()


def _check_fit(sizes: InputSizes, config: ModelConfig) -> None:
    if config.steps[0] != sizes.num_steps:
        raise ConfigError(
            f"steps {list(config.steps)}: the first must be the {sizes.num_steps} time steps of this data set"
        )
    if len(sizes.visual_shape) == 1 and config.architecture == "mdst++" and config.attention != "none":
        raise ConfigError(
            f"attention '{config.attention}': feature files have one token a step, and attention over one token is "
            "vacuous; set attention = 'none'"
        )


def to_config(sizes: InputSizes, config: ModelConfig) -> dict[str, Any]:
    """Return what a checkpoint must carry to rebuild the model."""
    return {"sizes": as_mapping(sizes), "model": as_mapping(config)}


def from_config(config: Mapping[str, Any]) -> tuple[MDST, InputSizes]:
    """Rebuild the (untrained) model from `to_config`'s mapping.

    Raises:
        ConfigError: keys are missing, unknown or of another type.
    """
    sizes = from_mapping(InputSizes, config.get("sizes", {}), "checkpoint config [sizes]")
    model = from_mapping(ModelConfig, config.get("model", {}), "checkpoint config [model]")
    return MDST(sizes, model), sizes


def make_deployment(config: Mapping[str, Any]) -> Deployment:
    """Factory for `python -m export training.model.mdst:make_deployment`."""
    model, sizes = from_config(config)
    contexts = ("visual_context", "audio_context")
    before = HostSegment(
        name="context",
        module=model.context,
        inputs=("frame_features", "audio_features"),
        outputs=("context_statistics", *contexts, "video_features", "audio_features_encoded"),
        when="before",
    )
    readout = model.readouts[-1]
    assert isinstance(readout, Readout)
    after = HostSegment(
        name="readout",
        module=Answer(readout),
        inputs=("visual_motion_rate", "audio_motion_rate", *contexts),
        outputs=tuple(EMBEDDINGS.values()),
        when="after",
    )
    return Deployment(module=model, chip=model.chip, hosts=(before, after), dt_s=sizes.dt_s)
