"""Generalised zero-shot evaluation: S, U, HM and ZSL by mean class accuracy, with calibrated stacking.

As in the AVCA family (ExplainableML/AVCA-GZSL, `src/utils.py`): a clip belongs to the nearest class in embedding
space; an offset added to the distance of every seen class is chosen on the validation split and kept for the test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]

OFFSETS = np.linspace(0.0, 3.0, 61)
"""Candidates for the offset, in units of distance."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Accuracies in percent.

    Attributes:
        S: mean class accuracy on seen classes, all classes as candidates.
        U: the same on unseen classes.
        HM: harmonic mean of S and U.
        ZSL: mean class accuracy on unseen classes, unseen classes as candidates.
    """

    S: float
    U: float
    HM: float
    ZSL: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """Clips of one evaluation.

    Attributes:
        embedding: `[N, E]`.
        label: class index, `[N]`.
        class_embedding: `[C, E]`, of all classes.
        seen: candidate classes seen in training.
        unseen: candidate classes not seen.
    """

    embedding: npt.NDArray[np.float32]
    label: Int
    class_embedding: npt.NDArray[np.float32]
    seen: Int
    unseen: Int


def score(split: Split, offset: float) -> Scores:
    """Evaluate with a given offset on the distances of seen classes."""
    difference = split.embedding[:, None, :].astype(np.float64) - split.class_embedding[None]
    distance = np.sqrt((difference**2).sum(axis=2))
    distance[:, split.seen] += offset
    candidates = np.concatenate([split.seen, split.unseen])
    generalised = _nearest(distance, candidates)
    restricted = _nearest(distance, split.unseen)
    seen = mean_class_accuracy(generalised, split.label, split.seen)
    unseen = mean_class_accuracy(generalised, split.label, split.unseen)
    return Scores(
        S=100 * seen,
        U=100 * unseen,
        HM=100 * harmonic_mean(seen, unseen),
        ZSL=100 * mean_class_accuracy(restricted, split.label, split.unseen),
    )


def choose_offset(validation: Split) -> float:
    """Return the offset with the best HM on the validation split; the smallest of equals."""
    return float(max(OFFSETS, key=lambda offset: (score(validation, offset).HM, -offset)))


def harmonic_mean(a: float, b: float) -> float:
    """2ab / (a + b), 0 if both are 0."""
    return 2 * a * b / (a + b) if a + b else 0.0


def mean_class_accuracy(predicted: Int, label: Int, classes: Int) -> float:
    """Average over `classes` of the fraction of their clips that are right; classes without clips are left out."""
    accuracies = [float((predicted[label == index] == index).mean()) for index in classes if (label == index).any()]
    return float(np.mean(accuracies)) if accuracies else 0.0


def chance(num_seen: int, num_unseen: int) -> Scores:
    """Return the expected scores of uniform guessing."""
    share = 1 / (num_seen + num_unseen)
    return Scores(S=100 * share, U=100 * share, HM=100 * share, ZSL=100 / num_unseen)


def _nearest(distance: npt.NDArray[np.float64], candidates: Int) -> Int:
    nearest: Int = candidates[distance[:, candidates].argmin(axis=1)]
    return nearest
