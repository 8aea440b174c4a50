"""The context stream, on the host: encoders, recurrent joint learning unit, and the statistics that move thresholds.

Shapes: B clips, K feature vectors, S segments, N tokens, D = `context_width`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..data.source import InputSizes
from ..errors import TrainingError
from .config import ModelConfig

HIDDEN_TOKENS = 4
"""Tokens of the joint state h."""


def make_encoder(fan_in: int, hidden: int, width: int, dropout: float) -> nn.Sequential:
    """Return two times Linear, BatchNorm, ReLU, Dropout on `[B, fan_in]` (AVCA's EmbeddingNet)."""
    return nn.Sequential(
        nn.Linear(fan_in, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(hidden, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout),
    )  # fmt: skip


def make_projection(fan_in: int, hidden: int, width: int, dropout: float) -> nn.Sequential:
    """Return Linear, ReLU, Dropout, Linear on `[B, fan_in]`."""
    return nn.Sequential(nn.Linear(fan_in, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width))


def make_mlp(width: int) -> nn.Sequential:
    """Return a transformer's MLP, Linear, ReLU, Linear, twice as wide inside."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


class Attention(nn.Module):
    """Multi-head attention softmax(Q Kᵀ / √d) V with Q from one set of tokens, K and V from another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, asking: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        """Return `[B, N, D]` for tokens `asking` `[B, N, D]` about tokens `asked` `[B, M, D]`."""
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.query, asking), (self.key, asked), (self.value, asked))
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        found: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return found


class RecurrentJointLearningUnit(nn.Module):
    """RJLU, one step for each segment; what the paper's equations leave open is ours.

    ::

        C_ahv = CAT(a_t, h_{t−1}, v_t)                                              [R]
        S_ahv = MLP(LN(SA(C_ahv))) + SA(C_ahv)      split into a′, h′, v′           [R]
        g     = σ(W_g [AP(h′); a′; v′]),   h_t = (1 − g) h_{t−1} + g h′             [ours]
        C_a   = CA(a_t, h_t),   C_v = CA(v_t, h_t)                                  [R, but AP of h_t]
        out   = a_t + C_a,  v_t + C_v                                               [ours]

    [R]: a machine review of arXiv 2505.19938. h_0 is learned.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.context_width
        self.initial = nn.Parameter(0.1 * torch.randn(HIDDEN_TOKENS, width))
        self.self_attention = Attention(width, config.context_heads)
        self.norm = nn.LayerNorm(width)
        self.mlp = make_mlp(width)
        self.gate = nn.Linear(3 * width, width)
        self.about_audio = Attention(width, config.context_heads)
        self.about_visual = Attention(width, config.context_heads)

    def forward(self, visual_BSD: torch.Tensor, audio_BSD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the joint features of every segment, visual and audio, `[B, S, D]` each."""
        state = self.initial.expand(visual_BSD.shape[0], -1, -1)
        visual, audio = [], []
        for segment in range(visual_BSD.shape[1]):
            seen, heard = visual_BSD[:, segment, None], audio_BSD[:, segment, None]
            state = self._update(state, seen, heard)
            visual.append(seen + self.about_visual(seen, state))
            audio.append(heard + self.about_audio(heard, state))
        return torch.cat(visual, dim=1), torch.cat(audio, dim=1)

    def _update(self, state: torch.Tensor, seen: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat([heard, state, seen], dim=1)
        attended = self.self_attention(tokens, tokens)
        joint = self.mlp(self.norm(attended)) + attended
        proposal = joint[:, 1:-1]
        gate = torch.sigmoid(self.gate(torch.cat([proposal.mean(dim=1), joint[:, 0], joint[:, -1]], dim=1)))[:, None]
        updated: torch.Tensor = (1 - gate) * state + gate * proposal
        return updated


class ContextStream(nn.Module):
    """Features to contexts, and to the statistics that the chip's thresholds follow."""

    def __init__(self, sizes: InputSizes, config: ModelConfig) -> None:
        super().__init__()
        self.num_segments, self.num_steps = config.context_segments, sizes.num_steps
        hidden, width, dropout = config.encoder_hidden, config.context_width, config.dropout_encoder
        self.visual_encoder = make_encoder(sizes.frame_features, hidden, width, dropout)
        self.audio_encoder = make_encoder(sizes.audio_features, hidden, width, dropout)
        self.joint = RecurrentJointLearningUnit(config) if config.use_joint_learning else None

    def forward(
        self, frame_features: torch.Tensor, audio_features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run the stream over a clip.

        Args:
            frame_features: `[B, K, n]`; K = 1, or a multiple of `context_segments`.
            audio_features: `[B, K, n]`.

        Returns:
            statistics `[B, T, 4]` (floats, not yet quantised), visual and audio context `[B, D]`, and the encoded
            features before the joint unit, their mean over segments, `[B, D]` each.
        """
        encoded_visual = _encode(self.visual_encoder, self._segments(frame_features))
        encoded_audio = _encode(self.audio_encoder, self._segments(audio_features))
        visual, audio = encoded_visual, encoded_audio
        if self.joint is not None:
            visual, audio = self.joint(encoded_visual, encoded_audio)
        return (
            self._statistics(visual, audio),
            visual.mean(dim=1),
            audio.mean(dim=1),
            encoded_visual.mean(dim=1),
            encoded_audio.mean(dim=1),
        )

    def _segments(self, features: torch.Tensor) -> torch.Tensor:
        """Average `[B, K, n]` over equal runs to `[B, S, n]`."""
        count = features.shape[1]
        segments = min(count, self.num_segments)
        if count % segments:
            raise TrainingError(
                f"context_segments {self.num_segments}: the {count} feature vectors of a clip are no multiple of it"
            )
        averaged: torch.Tensor = features.unflatten(1, (segments, -1)).mean(dim=2)
        return averaged

    def _statistics(self, visual_BSD: torch.Tensor, audio_BSD: torch.Tensor) -> torch.Tensor:
        """Mean and mean absolute deviation over D, held for the steps of the *next* segment: the host is never ahead.

        A clip with a single vector (averaged features) has it from the start.
        """
        parts = [statistic for features in (visual_BSD, audio_BSD) for statistic in _mean_and_deviation(features)]
        statistics = torch.stack(parts, dim=2)
        segments = statistics.shape[1]
        if segments > 1:
            statistics = torch.cat([torch.zeros_like(statistics[:, :1]), statistics[:, :-1]], dim=1)
        step = torch.arange(self.num_steps, device=statistics.device) * segments // self.num_steps
        return statistics[:, step]


def _encode(encoder: nn.Module, features_BSN: torch.Tensor) -> torch.Tensor:
    encoded: torch.Tensor = encoder(features_BSN.flatten(0, 1)).unflatten(0, (-1, features_BSN.shape[1]))
    return encoded


def _mean_and_deviation(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean = features.mean(dim=2)
    return mean, (features - mean[:, :, None]).abs().mean(dim=2)
