"""Section [model] of a configuration file: the shape of MDST and MDST++, every block a switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware_profiles.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the model, and which of its blocks are there (`docs/mdst.md` has every equation).

    Attributes:
        architecture: `mdst` (three Linear+LIF layers a stream) or `mdst++` (SpikeFormer blocks in stages).
        steps: time steps T1 > T2 > … > Tm of the stages, each a multiple of the next; `mdst` has one stage.
        blocks: SpikeFormer blocks in each stage; as many numbers as `steps`.
        widths: neurons of the Linear+LIF layers of an `mdst` stream; multiples of `num_groups`.
        channels: channels per token of an `mdst++` stream; a multiple of `num_groups`.
        expansion: width of a SpikeFormer block's MLP in channels.
        attention: `sdsa` (spike-driven, masks channels), `spikformer` ((Q Kᵀ) V), or `none`: blocks without attention.
        heads: of `spikformer`; divides `channels`.
        beta: leak per step; multiples of 1/4096 are carried to the chip exactly.
        threshold: θ at zero drive, membrane units.
        amplitude: largest relative change of θ, 0 (fixed thresholds) to below 1.
        num_groups: groups whose spike counts give the mean absolute deviation.
        fraction_bits: fraction bits of θ.
        threshold_from_motion: let θ follow the motion statistics.
        threshold_from_context: let θ follow the context statistics.
        use_motion: False hides the motion streams from the read-out: the context-only baseline.
        visual_input: `events`, or `frames`: the same streams on rate-coded frames (ablation).
        use_discrepancy: the discrepancy analysis block.
        discrepancy_width: neurons of each of its two populations.
        use_joint_learning: the recurrent joint learning unit; without it features stay as encoded.
        use_reasoning: the cross-modal reasoning module; without it context and motion are added.
        context_segments: steps of the recurrent unit, over which features are averaged.
        context_width: width D of the context stream.
        context_heads: attention heads of the context stream; divides `context_width`.
        encoder_hidden: hidden width of the encoders and projections.
        embedding_width: dimension E of the space in which samples meet class vectors.
        dropout_encoder: in the feature and motion encoders.
        dropout_projection: in the projections to E.
        dropout_decoder: in the class projection and the decoders.
        margin: of the triplet losses.
        stage_loss_weight: weight of the loss of each stage but the last.
        cross_entropy_weight: weight of the optional cross-entropy over seen classes; 0 leaves it out.
    """

    architecture: Literal["mdst", "mdst++"] = "mdst++"
    steps: tuple[int, ...] = (16, 8, 4)
    blocks: tuple[int, ...] = (1, 1, 1)
    widths: tuple[int, ...] = (96, 96, 64)
    channels: int = 32
    expansion: int = 2
    attention: Literal["sdsa", "spikformer", "none"] = "sdsa"
    heads: int = 4
    beta: float = 0.875
    threshold: float = 1.0
    amplitude: float = 0.5
    num_groups: int = 8
    fraction_bits: int = 8
    threshold_from_motion: bool = True
    threshold_from_context: bool = True
    use_motion: bool = True
    visual_input: Literal["events", "frames"] = "events"
    use_discrepancy: bool = True
    discrepancy_width: int = 32
    use_joint_learning: bool = True
    use_reasoning: bool = True
    context_segments: int = 4
    context_width: int = 48
    context_heads: int = 4
    encoder_hidden: int = 96
    embedding_width: int = 32
    dropout_encoder: float = 0.1
    dropout_projection: float = 0.1
    dropout_decoder: float = 0.1
    margin: float = 1.0
    stage_loss_weight: float = 0.3
    cross_entropy_weight: float = 0.0

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_stages()
        if self.context_width % self.context_heads:
            raise ConfigError(f"context_heads {self.context_heads}: must divide context_width {self.context_width}")
        if self.architecture == "mdst":
            if not self.widths or any(width < 1 or width % self.num_groups for width in self.widths):
                raise ConfigError(f"widths {list(self.widths)}: allowed are positive multiples of num_groups")
            if self.use_discrepancy and len(self.widths) < 2:
                raise ConfigError(f"widths {list(self.widths)}: the discrepancy block needs a second layer to drive")
        elif self.channels % self.num_groups or self.channels % self.heads:
            raise ConfigError(
                f"channels {self.channels}: must be a multiple of num_groups {self.num_groups} and heads {self.heads}"
            )

    def _check_numbers(self) -> None:
        if not 0 < self.beta < 1 or not 0 <= self.amplitude < 1 or self.threshold <= 0:
            raise ConfigError(
                f"beta {self.beta}, amplitude {self.amplitude}, threshold {self.threshold}: allowed are "
                "0 < beta < 1, 0 <= amplitude < 1, threshold > 0"
            )
        for name in ("dropout_encoder", "dropout_projection", "dropout_decoder"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are 0 to below 1")
        for name in ("margin", "stage_loss_weight", "cross_entropy_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are 0 and more")
        for name in (
            "channels", "expansion", "heads", "num_groups", "fraction_bits", "discrepancy_width", "context_segments",
            "context_width", "context_heads", "encoder_hidden", "embedding_width",
        ):  # fmt: skip
            if not 1 <= getattr(self, name) <= 1 << 16:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are 1..65536")

    def _check_stages(self) -> None:
        pairs = list(zip(self.steps[:-1], self.steps[1:], strict=True))
        if not self.steps or min(self.steps) < 1 or any(slow >= fast or fast % slow for fast, slow in pairs):
            raise ConfigError(f"steps {list(self.steps)}: allowed are T1 > T2 > …, each a multiple of the next")
        if self.architecture == "mdst":
            if len(self.steps) != 1:
                raise ConfigError(f"steps {list(self.steps)}: architecture 'mdst' has one stage; give one number")
        elif len(self.blocks) != len(self.steps) or min(self.blocks) < 1:
            raise ConfigError(f"blocks {list(self.blocks)}: allowed is one positive number for each of the stages")
