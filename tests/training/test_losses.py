from __future__ import annotations

import torch
from torch import nn

from training.losses import joint_loss

CLASSES = torch.eye(3) * 10
ATTRIBUTES = torch.eye(3)


class Divide(nn.Module):
    """A reconstruction that is perfect for embeddings at their class."""

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        return embedding / 10


def loss(embedding: torch.Tensor, label: torch.Tensor, reconstruct: nn.Module | None = None) -> torch.Tensor:
    torch.manual_seed(0)
    return joint_loss(embedding, label, CLASSES, ATTRIBUTES, reconstruct or Divide(), margin=1.0)


def test_perfect_embeddings_cost_nothing() -> None:
    label = torch.tensor([0, 1, 2, 0])
    # distances between classes are 14, far beyond the margin; triplet_margin_loss adds an eps of 1e-6 per axis
    assert float(loss(CLASSES[label], label)) < 1e-5


def test_each_part_is_felt() -> None:
    label = torch.tensor([0, 1, 2, 0])
    perfect = CLASSES[label]
    assert float(loss(perfect + 1, label)) > 0.4, "projection: ½ (MSE = 1)"
    assert float(loss(perfect, label, nn.Identity())) > 10, "reconstruction"
    assert float(loss(CLASSES[(label + 1) % 3], label)) > 30, "triplet, besides the others"


def test_a_batch_of_one_class_has_no_clip_negatives() -> None:
    label = torch.tensor([1, 1, 1])
    assert torch.isfinite(loss(CLASSES[label] + 0.1, label))


def test_gradients_reach_the_embedding() -> None:
    embedding = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss(embedding, torch.tensor([0, 1, 2, 0])).backward()
    assert embedding.grad is not None and (embedding.grad != 0).any(dim=1).all()
