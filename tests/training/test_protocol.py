from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import PAIRS, ProtocolConfig
from training.data.source import JUDGED_ON, ClassRoles
from training.protocol import (
    CHUNK,
    Nearest,
    Scores,
    chance,
    choose_offset,
    find_nearest,
    harmonic_mean,
    mean_class_accuracy,
    offsets,
    score,
)

ROLES = ClassRoles(seen=np.array([0, 1]), unseen=np.array([2, 3]))
OFFSETS = offsets(ProtocolConfig())


def on_a_line(embedding: list[float], label: list[int]) -> Nearest:
    """Classes 0, 1 (seen) and 2, 3 (unseen) lie at 0, 1, 2, 3 on a line."""
    return find_nearest(
        np.array(embedding, dtype=np.float32)[:, None],
        np.array(label, dtype=np.int64),
        np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32),
        ROLES,
    )


def test_scores_by_hand() -> None:
    # class 0: 2 of 2 right; class 1: 1 of 2; class 2: 1 of 2 (1.4 is nearest to 1); class 3: 1 of 1
    scores = score(on_a_line([0.1, -0.1, 1.1, 0.2, 2.1, 1.4, 3.3], [0, 0, 1, 1, 2, 2, 3]), offset=0.0)
    assert scores == Scores(S=75, U=75, HM=75, ZSL=100), "with unseen candidates only, 1.4 falls to class 2"


def test_offset_moves_clips_from_seen_to_unseen() -> None:
    clips = on_a_line([0.1, 1.0, 1.4, 3.0], [0, 1, 2, 3])
    assert score(clips, 0.0).U == 50
    # |1.4 − 1| + offset > |1.4 − 2| from an offset of 0.2 on
    assert score(clips, 0.25) == Scores(S=100, U=100, HM=100, ZSL=100)
    offset, scores = choose_offset(clips, OFFSETS)
    assert offset == pytest.approx(0.25) and offset in OFFSETS and scores == score(clips, offset)


def test_a_tie_goes_to_the_seen_class_and_equal_offsets_to_the_smallest() -> None:
    clips = on_a_line([1.5, 0.0, 3.0], [2, 0, 3])
    assert score(clips, 0.0).U == 50 and score(clips, 2.0**-40).U == 100
    assert choose_offset(on_a_line([0.0, 3.0], [0, 3]), OFFSETS)[0] == 0.0


def test_the_grids_of_the_field_can_be_had() -> None:
    avca = offsets(ProtocolConfig(offset_max=3.0, num_offsets=16))
    assert np.array_equal(avca, np.linspace(0, 3, 16))
    clipclap = offsets(ProtocolConfig(offset_max=4.97, num_offsets=72))
    assert np.allclose(clipclap, np.arange(0, 5, 0.07), rtol=0, atol=1e-12)


def test_the_tested_pair_is_stage_bs() -> None:
    assert PAIRS["test"] == JUDGED_ON["B"]


def test_mean_class_accuracy_weighs_classes_not_clips() -> None:
    label = np.array([0] * 98 + [1, 1])
    predicted = np.zeros(100, dtype=np.int64)
    assert mean_class_accuracy(predicted, label, np.array([0, 1, 7])) == 0.5, "class 7 has no clips"
    assert mean_class_accuracy(predicted, label, np.array([7])) == 0.0
    assert mean_class_accuracy(predicted[:0], label[:0], np.array([0, 1])) == 0.0


def test_harmonic_mean_and_chance() -> None:
    assert harmonic_mean(0.0, 0.0) == 0.0 and harmonic_mean(1.0, 0.5) == pytest.approx(2 / 3)
    assert chance(ClassRoles(seen=np.arange(16), unseen=np.arange(16, 20))) == Scores(S=5, U=5, HM=5, ZSL=25)


def test_no_array_of_clips_by_classes_is_made() -> None:
    num_clips, num_classes, width = 5 * CHUNK, 300, 16
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(num_clips, width)).astype(np.float32)
    classes = rng.normal(size=(num_classes, width)).astype(np.float32)
    roles = ClassRoles(seen=np.arange(200), unseen=np.arange(200, num_classes))
    tracemalloc.start()
    try:
        found = find_nearest(embedding, np.zeros(num_clips, np.int64), classes, roles)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * num_clips * num_classes / 2, "half of one float64 matrix"
    assert len(np.unique(found.seen)) > 100 and found.seen.max() < 200 <= found.unseen.min()


def slow(
    embedding: np.ndarray, label: np.ndarray, classes: np.ndarray, roles: ClassRoles, offset: float
) -> tuple[float, float, float]:
    """S, U, ZSL as the definition has it: clip by clip, class by class."""

    def predict(clip: np.ndarray, candidates: list[int]) -> int:
        shift = dict.fromkeys(roles.seen.tolist(), offset)
        distances = [math.dist(clip, classes[c]) + shift.get(c, 0.0) for c in candidates]
        return candidates[distances.index(min(distances))]

    def accuracy(wanted: np.ndarray, candidates: list[int]) -> float:
        shares = []
        for c in wanted.tolist():
            clips = [embedding[n] for n in range(len(label)) if label[n] == c]
            if clips:
                shares.append(sum(predict(clip, candidates) == c for clip in clips) / len(clips))
        return 100 * float(np.mean(shares)) if shares else 0.0

    every = [*roles.seen.tolist(), *roles.unseen.tolist()]
    return accuracy(roles.seen, every), accuracy(roles.unseen, every), accuracy(roles.unseen, roles.unseen.tolist())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scores_are_those_of_the_slow_loop(data: st.DataObject) -> None:
    num_classes = data.draw(st.integers(3, 7))
    num_seen = data.draw(st.integers(1, num_classes - 1))
    order = np.array(data.draw(st.permutations(range(num_classes))))
    roles = ClassRoles(seen=np.sort(order[:num_seen]), unseen=np.sort(order[num_seen:]))
    width, num_clips = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    # small integers: squares and sums are exact, so are ties
    embedding = rng.integers(-4, 5, (num_clips, width)).astype(np.float32)
    classes = rng.integers(-4, 5, (num_classes, width)).astype(np.float32)
    label = rng.integers(0, num_classes, num_clips)
    found = find_nearest(embedding, label, classes, roles)
    tried = [0.0, 0.5, 1.0, 2.5]
    for offset in tried:
        s, u, zsl = slow(embedding, label, classes, roles, offset)
        assert score(found, offset) == Scores(S=s, U=u, HM=pytest.approx(harmonic_mean(s, u)), ZSL=zsl)
    chosen, scores = choose_offset(found, np.array(tried))
    hms = [score(found, offset).HM for offset in tried]
    assert max(hms) == scores.HM and chosen == tried[hms.index(max(hms))]
