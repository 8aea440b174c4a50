"""After the chip, on the host: motion rates and contexts to the joint embedding.

The cross-modal reasoning module's equations are unknown; ours is the field's pattern (AVCA: tokens, modality embedding,
one transformer layer, residual):

    x  = [c_a, c_v, m_a, m_v] + token type,   x ← x + SA(LN x),   x ← x + MLP(LN x)
    θ_a = P_a(c_a + m_a),   θ_v = P_v(c_v + m_v)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from .config import ModelConfig
from .context import Attention, make_encoder, make_mlp, make_projection


class Heads(NamedTuple):
    """One stage's answer for B clips.

    Attributes:
        video: embedding θ_v `[B, E]`.
        audio: embedding θ_a `[B, E]`.
        video_features: what θ_v was made from, φ_v `[B, D]`, which a decoder is asked to give back.
        audio_features: φ_a `[B, D]`.
    """

    video: torch.Tensor
    audio: torch.Tensor
    video_features: torch.Tensor
    audio_features: torch.Tensor

    @property
    def joint(self) -> torch.Tensor:
        """θ_o, the joint head."""
        return joint_embedding(self.video, self.audio)


def joint_embedding(video: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
    """Return θ_o = (θ_v + θ_a) / 2."""
    return (video + audio) / 2


class CrossModalReasoning(nn.Module):
    """CMRM: one pre-norm transformer layer on four tokens."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.context_width
        self.token_type = nn.Parameter(0.02 * torch.randn(4, width))
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, config.context_heads)
        self.mlp = make_mlp(width)

    def forward(self, tokens_B4D: torch.Tensor) -> torch.Tensor:
        """Return `[B, 4, D]`."""
        tokens = tokens_B4D + self.token_type
        normed = self.norm_attention(tokens)
        tokens = tokens + self.attention(normed, normed)
        reasoned: torch.Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return reasoned


class MotionEncoder(nn.Module):
    """Rates of one stage's streams to motion features, one encoder each."""

    def __init__(self, visual: int, audio: int, config: ModelConfig) -> None:
        super().__init__()
        hidden, width, dropout = config.encoder_hidden, config.context_width, config.dropout_encoder
        self.visual = make_encoder(visual, hidden, width, dropout)
        self.audio = make_encoder(audio, hidden, width, dropout)


class Readout(nn.Module):
    """One stage's motion rates and the contexts to both embeddings."""

    def __init__(self, visual: int, audio: int, config: ModelConfig) -> None:
        super().__init__()
        self.motion = MotionEncoder(visual, audio, config) if config.use_motion else None
        self.reasoning = CrossModalReasoning(config) if config.use_reasoning and config.use_motion else None
        widths = (config.context_width, config.encoder_hidden, config.embedding_width)
        self.project_video, self.project_audio = (make_projection(*widths, config.dropout_projection) for _ in range(2))

    def forward(
        self,
        visual_motion_rate: torch.Tensor,
        audio_motion_rate: torch.Tensor,
        visual_context: torch.Tensor,
        audio_context: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (θ_v, θ_a), `[B, E]` each, of rates `[B, n]` and contexts `[B, D]`."""
        video, audio = visual_context, audio_context
        if self.motion is not None:
            motion_video, motion_audio = self.motion.visual(visual_motion_rate), self.motion.audio(audio_motion_rate)
            if self.reasoning is not None:
                tokens = torch.stack([audio, video, motion_audio, motion_video], dim=1)
                audio, video, motion_audio, motion_video = self.reasoning(tokens).unbind(dim=1)
            video, audio = video + motion_video, audio + motion_audio
        return self.project_video(video), self.project_audio(audio)


class Answer(nn.Module):
    """The last stage's read-out as it is deployed: (θ_v, joint embedding)."""

    def __init__(self, readout: Readout) -> None:
        super().__init__()
        self.readout = readout

    def forward(
        self,
        visual_motion_rate: torch.Tensor,
        audio_motion_rate: torch.Tensor,
        visual_context: torch.Tensor,
        audio_context: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return θ_v and θ_o."""
        video, audio = self.readout(visual_motion_rate, audio_motion_rate, visual_context, audio_context)
        return video, joint_embedding(video, audio)
