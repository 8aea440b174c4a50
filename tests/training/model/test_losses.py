from __future__ import annotations

import pytest
import torch
from torch import nn

from training.model.losses import Targets, stage_loss
from training.model.reasoning import Heads

from .clips import config

CLASSES = torch.eye(3) * 10
ATTRIBUTES = torch.eye(3)
LABEL = torch.tensor([0, 1, 2, 0])


class Perfect(nn.Module):
    """Decoders that are right for embeddings at their class and features like them."""

    def __init__(self) -> None:
        super().__init__()
        self.decode_video = self.decode_audio = nn.Identity()

    def decode_class(self, embedding: torch.Tensor) -> torch.Tensor:
        return embedding / 10


def loss(embedding: torch.Tensor, features: torch.Tensor | None = None, label: torch.Tensor = LABEL, **changes: object):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    targets = Targets.draw(label, ATTRIBUTES, CLASSES)
    seen = embedding if features is None else features
    return stage_loss(Perfect(), Heads(embedding, embedding, seen, seen), targets, config(**changes))  # type: ignore[arg-type]


def test_perfect_embeddings_cost_nothing() -> None:
    # distances between classes are 14, far beyond the margin; triplet_margin_loss adds an eps of 1e-6 per axis
    total, terms = loss(CLASSES[LABEL], cross_entropy_weight=1.0)
    assert float(total) < 1e-5 and set(terms) == {"triplet", "projection", "reconstruction", "cross_entropy"}


def test_each_part_is_felt_and_weighted() -> None:
    perfect = CLASSES[LABEL]
    total, terms = loss(perfect + 1)
    assert float(terms["projection"]) == pytest.approx(3), "MSE 1 of each of three heads"
    assert float(terms["reconstruction"]) == pytest.approx(0.03), "decoded: 0.01 each"
    assert float(total) == pytest.approx(0.5 * float(sum(terms.values())))
    _, terms = loss(perfect, features=perfect + 2)
    assert float(terms["reconstruction"]) == pytest.approx(8), "MSE 4 of both features"
    wrong = CLASSES[(LABEL + 1) % 3]
    assert float(loss(wrong)[1]["triplet"]) > 20
    plain, entropic = (float(loss(wrong, cross_entropy_weight=weight)[0]) for weight in (0.0, 0.5))
    assert entropic == pytest.approx(plain + 0.5 * 200), "a squared distance of 200 from the right class"


def test_negatives_are_of_other_classes() -> None:
    torch.manual_seed(0)
    label = torch.arange(3).repeat(200)
    targets = Targets.draw(label, ATTRIBUTES, CLASSES)
    assert not (targets.negative == targets.positive).all(dim=1).any()
    assert torch.equal(targets.differs, label != label[targets.shuffled]) and 0 < targets.differs.float().mean() < 1
    counts = torch.stack([(targets.negative[label == 0] == CLASSES[c]).all(dim=1).sum() for c in (1, 2)])
    assert counts.min() > 60, "both other classes are drawn"


def test_a_batch_of_one_class_has_no_clip_negatives() -> None:
    label = torch.tensor([1, 1, 1])
    total, _ = loss(CLASSES[label] + 0.1, label=label)
    assert torch.isfinite(total)
