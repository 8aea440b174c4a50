from __future__ import annotations

import numpy as np
import pytest

from training.protocol import OFFSETS, Split, chance, choose_offset, harmonic_mean, mean_class_accuracy, score


def split(embedding: list[float], label: list[int]) -> Split:
    """Classes 0, 1 (seen) and 2, 3 (unseen) lie at 0, 1, 2, 3 on a line."""
    return Split(
        embedding=np.array(embedding, dtype=np.float32)[:, None],
        label=np.array(label, dtype=np.int64),
        class_embedding=np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32),
        seen=np.array([0, 1]),
        unseen=np.array([2, 3]),
    )


def test_scores_by_hand() -> None:
    # class 0: 2 of 2 right; class 1: 1 of 2; class 2: 1 of 2 (1.4 is nearest to 1); class 3: 1 of 1
    clips = split([0.1, -0.1, 1.1, 0.2, 2.1, 1.4, 3.3], [0, 0, 1, 1, 2, 2, 3])
    scores = score(clips, offset=0.0)
    assert scores.S == 75 and scores.U == 75 and scores.HM == 75
    assert scores.ZSL == 100, "with unseen candidates only, 1.4 falls to class 2"


def test_offset_moves_clips_from_seen_to_unseen() -> None:
    clips = split([0.1, 1.0, 1.4, 3.0], [0, 1, 2, 3])
    assert score(clips, 0.0).U == 50
    # |1.4 − 1| + offset > |1.4 − 2| from an offset of 0.2 on
    assert score(clips, 0.25).U == 100 and score(clips, 0.25).S == 100
    assert choose_offset(clips) == pytest.approx(0.25) and choose_offset(clips) in OFFSETS


def test_mean_class_accuracy_weighs_classes_not_clips() -> None:
    label = np.array([0] * 98 + [1, 1])
    predicted = np.zeros(100, dtype=np.int64)
    assert mean_class_accuracy(predicted, label, np.array([0, 1, 7])) == 0.5


def test_harmonic_mean_and_chance() -> None:
    assert harmonic_mean(0.0, 0.0) == 0.0 and harmonic_mean(1.0, 0.5) == pytest.approx(2 / 3)
    guess = chance(16, 4)
    assert guess.S == guess.U == guess.HM == 5 and guess.ZSL == 25
