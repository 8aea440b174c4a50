"""The host's half before and after the chip: causal statistics, recurrence, reasoning."""

from __future__ import annotations

import pytest
import torch

from training.errors import TrainingError
from training.model.context import Attention, ContextStream, RecurrentJointLearningUnit
from training.model.reasoning import CrossModalReasoning, Readout

from .clips import SIZES, batch, config


def stream(**changes: object) -> ContextStream:
    torch.manual_seed(0)
    return ContextStream(SIZES, config(**changes)).eval()


@pytest.mark.parametrize("use_joint_learning", [True, False])
def test_statistics_know_nothing_of_what_comes(use_joint_learning: bool) -> None:
    network, clips = stream(use_joint_learning=use_joint_learning), batch(3)
    before, *_ = network(clips.frame_features, clips.audio_features)
    for segment in range(4):
        changed = clips.frame_features.clone()
        changed[:, 2 * segment :] += 1
        after, *_ = network(changed, clips.audio_features)
        same = (after == before).flatten(2).all(dim=2).all(dim=0)
        # the statistics of the segment itself are of the one before it
        assert same[: 2 * segment + 2].all() and not same[2 * segment + 2 :].any()
    assert (before[:, :2] == 0).all(), "nothing is known in the first segment"
    assert before[:, 2:].std() > 0


def test_a_single_vector_is_known_from_the_start() -> None:
    network, clips = stream(), batch(3, vectors=1)
    statistics, visual, *_ = network(clips.frame_features, clips.audio_features)
    assert statistics.shape == (3, 8, 4) and visual.shape == (3, 8)
    assert (statistics == statistics[:, :1]).all() and statistics.abs().min() > 0


def test_vectors_that_fill_no_segments_are_refused() -> None:
    with pytest.raises(TrainingError, match="context_segments 4: the 6 feature vectors of a clip are no multiple"):
        stream()(torch.zeros(2, 6, 12), torch.zeros(2, 6, 5))


def test_the_joint_unit_remembers() -> None:
    torch.manual_seed(0)
    unit = RecurrentJointLearningUnit(config()).eval()
    visual, audio = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    first = unit(visual, audio)
    changed = visual.clone()
    changed[:, 0] += 1
    second = unit(changed, audio)
    assert not torch.equal(first[1][:, 3], second[1][:, 3]), "sound of the last segment feels the first picture"
    swapped = unit(visual, audio.flip(dims=(1,)))
    assert not torch.equal(first[0][:, 0], swapped[0][:, 0])


def test_attention_is_softmax_of_products() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2).eval()
    asking, asked = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    query, key, value = attention.query(asking), attention.key(asked), attention.value(asked)
    parts = []
    for head in (slice(0, 4), slice(4, 8)):
        weight = torch.softmax(query[..., head] @ key[..., head].transpose(1, 2) / 2, dim=2)
        parts.append(weight @ value[..., head])
    torch.testing.assert_close(attention(asking, asked), attention.out(torch.cat(parts, dim=2)))


def test_reasoning_mixes_all_four_tokens() -> None:
    torch.manual_seed(0)
    reasoning = CrossModalReasoning(config()).eval()
    tokens = torch.randn(1, 4, 8)
    before = reasoning(tokens)
    for token in range(4):
        changed = tokens.clone()
        changed[:, token, 0] += 1
        moved = (reasoning(changed) != before).any(dim=2)[0]
        assert moved.all(), f"token {token} reaches all"


def test_without_reasoning_sound_stays_out_of_the_video_embedding() -> None:
    torch.manual_seed(0)
    with_it, without = (Readout(6, 5, config(use_reasoning=use)).eval() for use in (True, False))
    inputs = torch.rand(2, 6), torch.rand(2, 5), torch.rand(2, 8), torch.rand(2, 8)
    louder = (inputs[0], inputs[1] + 1, *inputs[2:])
    assert torch.equal(without(*inputs)[0], without(*louder)[0])
    assert not torch.equal(with_it(*inputs)[0], with_it(*louder)[0])
