"""Triplet, projection and reconstruction losses in the joint space of samples and class attributes.

Grouping and weights after the AVCA and STFT families (see docs/mdst.md); a negative is a random sample, or the
attributes, of a random other class. Notation: o embedding of a clip, w of its class, d(·) reconstruction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def joint_loss(
    embedding: torch.Tensor,
    label: torch.Tensor,
    class_embedding: torch.Tensor,
    attributes: torch.Tensor,
    reconstruct: nn.Module,
    margin: float,
) -> torch.Tensor:
    """L = ½ L_t + ½ (L_p + L_r).

    L_t = TM(o, w⁺, w⁻) + TM(w⁺, o⁺, o⁻) with TM the triplet margin loss; L_p = MSE(o, w⁺);
    L_r = MSE(d(o), a⁺) + MSE(d(w⁺), a⁺).

    Args:
        embedding: o, `[B, E]`.
        label: index into the training classes, int64 `[B]`.
        class_embedding: w of the training classes, `[C, E]`, C ≥ 2.
        attributes: a of the training classes, `[C, A]`.
        reconstruct: d.
        margin: of the triplets.

    Returns:
        The scalar loss.
    """
    num_classes = class_embedding.shape[0]
    positive = class_embedding[label]
    other = (label + torch.randint(1, num_classes, label.shape, device=label.device)) % num_classes
    triplet = F.triplet_margin_loss(embedding, positive, class_embedding[other], margin=margin)
    shuffled = torch.randperm(label.shape[0], device=label.device)
    differs = label != label[shuffled]
    if bool(differs.any()):
        clips = (positive[differs], embedding[differs], embedding[shuffled][differs])
        triplet = triplet + F.triplet_margin_loss(*clips, margin=margin)
    projection = F.mse_loss(embedding, positive)
    target = attributes[label]
    reconstruction = F.mse_loss(reconstruct(embedding), target) + F.mse_loss(reconstruct(positive), target)
    return 0.5 * triplet + 0.5 * (projection + reconstruction)
