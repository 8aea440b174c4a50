"""Triplet, projection and reconstruction losses in the joint space of clips and classes.

"joint triplet, projection, and reconstruction losses" (arXiv 2505.19938); terms after the AVCA family (Mercea et al.,
CVPR 2022, code), grouping and weights after the STFT family; the optional cross-entropy after ClipClap (Kurzendörfer
et al., CVPRW 2024). Notation: θ_v, θ_a video and audio embedding, θ_o their mean, w class embedding, a class vector,
⁻ of a random other class or clip, D decoders, φ encoder features.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from .config import ModelConfig
from .reasoning import Heads


class Decoders(Protocol):
    """What a model brings for its losses."""

    decode_class: nn.Sequential
    decode_video: nn.Sequential
    decode_audio: nn.Sequential


class Targets(NamedTuple):
    """What the embeddings of B clips are compared with, the same for every stage.

    Attributes:
        label: index into the training classes, int64 `[B]`.
        attributes: a of each clip's class, `[B, A]`.
        classes: w of all training classes, `[C, E]`.
        positive: w⁺, `[B, E]`.
        negative: w⁻ of a random other class, `[B, E]`.
        shuffled: for every clip a random other, int64 `[B]`.
        differs: whether that one is of another class, `[B]`.
    """

    label: torch.Tensor
    attributes: torch.Tensor
    classes: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor
    shuffled: torch.Tensor
    differs: torch.Tensor

    @classmethod
    def draw(cls, label: torch.Tensor, attributes: torch.Tensor, classes: torch.Tensor) -> Targets:
        """Draw negatives for clips of these classes; needs at least two classes."""
        num_classes = classes.shape[0]
        other = (label + torch.randint(1, num_classes, label.shape, device=label.device)) % num_classes
        shuffled = torch.randperm(label.shape[0], device=label.device)
        return cls(
            label=label,
            attributes=attributes[label],
            classes=classes,
            positive=classes[label],
            negative=classes[other],
            shuffled=shuffled,
            differs=label != label[shuffled],
        )


def stage_loss(
    decoders: Decoders, heads: Heads, targets: Targets, config: ModelConfig
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """L = ½ L_t + ½ (L_p + L_r) + λ_ce L_ce of one stage.

    L_t = Σ_h TM(h, w⁺, w⁻) + TM(w⁺, h, h⁻);  L_p = Σ_h MSE(h, w⁺);
    L_r = Σ_h MSE(D_w(h), a) + MSE(D_w(w⁺), a) + MSE(D_v(θ_v), φ_v) + MSE(D_a(θ_a), φ_a);
    L_ce = CE(−‖θ_o − w_c‖² over the training classes c);   h ∈ {θ_v, θ_a, θ_o}, TM the triplet margin loss.

    ClipClap's cross-entropy is over θ_o · w_c; the distance is what clips are classified by.

    Returns:
        The scalar loss and its terms by name: triplet, projection, reconstruction, and cross_entropy where it is on.
    """
    embeddings = (heads.video, heads.audio, heads.joint)
    triplet = torch.stack([_triplets(embedding, targets, config.margin) for embedding in embeddings]).sum()
    projection = torch.stack([F.mse_loss(embedding, targets.positive) for embedding in embeddings]).sum()
    decoded = torch.stack(
        [
            F.mse_loss(decoders.decode_class(embedding), targets.attributes)
            for embedding in (*embeddings, targets.positive)
        ]
    ).sum()
    features = F.mse_loss(decoders.decode_video(heads.video), heads.video_features) + F.mse_loss(
        decoders.decode_audio(heads.audio), heads.audio_features
    )
    terms = {"triplet": triplet, "projection": projection, "reconstruction": decoded + features}
    loss = 0.5 * triplet + 0.5 * (projection + terms["reconstruction"])
    if config.cross_entropy_weight:
        distance = (heads.joint[:, None] - targets.classes[None]).square().sum(dim=2)
        terms["cross_entropy"] = F.cross_entropy(-distance, targets.label)
        loss = loss + config.cross_entropy_weight * terms["cross_entropy"]
    return loss, terms


def _triplets(embedding: torch.Tensor, targets: Targets, margin: float) -> torch.Tensor:
    """Return TM(h, w⁺, w⁻) + TM(w⁺, h, h⁻), the second over clips whose shuffled partner is of another class."""
    by_class = F.triplet_margin_loss(embedding, targets.positive, targets.negative, margin=margin)
    by_clip = F.triplet_margin_loss(
        targets.positive, embedding, embedding[targets.shuffled], margin=margin, reduction="none"
    )
    return by_class + (by_clip * targets.differs).sum() / targets.differs.sum().clamp(min=1)
