"""Generalised zero-shot evaluation: S, U, HM and ZSL by mean class accuracy, with calibrated stacking.

As in the AVCA family (ExplainableML/AVCA-GZSL, `src/utils.py`): a clip belongs to the nearest class in embedding
space (L2); an offset added to the distance of every seen class is chosen on the validation clips and kept for the test.

The offset is the same for all seen classes, so it never changes which of them is nearest: per clip, the nearest seen
and the nearest unseen class are all that any offset needs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from .config import ProtocolConfig
from .data.source import ClassRoles, Int

Float = npt.NDArray[np.float64]

EMBEDDINGS = {"video": "video_embedding", "joint": "joint_embedding"}
"""The heads that are scored, and their names among a network's outputs."""
CHUNK = 4096
"""Clips whose distances to all classes are in memory at once."""


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


SCORES = tuple(field.name for field in fields(Scores))
"""Names of the scores, in the order of tables."""


class Nearest(NamedTuple):
    """For N clips, the nearest class among the seen and among the unseen ones.

    Attributes:
        label: class of each clip, `[N]`.
        seen: nearest seen class, `[N]`.
        seen_distance: its L2 distance, `[N]`.
        unseen: nearest unseen class, `[N]`.
        unseen_distance: its L2 distance, `[N]`.
        roles: the candidates.
    """

    label: Int
    seen: Int
    seen_distance: Float
    unseen: Int
    unseen_distance: Float
    roles: ClassRoles


def offsets(config: ProtocolConfig) -> Float:
    """Return the candidates for the offset, in units of distance."""
    return np.linspace(0.0, config.offset_max, config.num_offsets)


def find_nearest(
    embedding: npt.NDArray[np.float32], label: Int, class_embedding: npt.NDArray[np.float32], roles: ClassRoles
) -> Nearest:
    """Compare clips with classes.

    Args:
        embedding: `[N, E]`.
        label: class index, `[N]`.
        class_embedding: `[C, E]`, of all classes.
        roles: candidates among them.
    """
    parts: dict[str, list[npt.NDArray[np.generic]]] = {"seen": [], "unseen": []}
    distances: dict[str, list[Float]] = {"seen": [], "unseen": []}
    for start in range(0, len(embedding), CHUNK):
        clips = embedding[start : start + CHUNK].astype(np.float64)
        for role, classes in roles._asdict().items():
            distance = cdist(clips, class_embedding[classes].astype(np.float64))
            place = distance.argmin(axis=1)
            parts[role].append(classes[place])
            distances[role].append(np.take_along_axis(distance, place[:, None], axis=1)[:, 0])
    return Nearest(
        label=label,
        seen=np.concatenate(parts["seen"]).astype(np.int64),
        seen_distance=np.concatenate(distances["seen"]),
        unseen=np.concatenate(parts["unseen"]).astype(np.int64),
        unseen_distance=np.concatenate(distances["unseen"]),
        roles=roles,
    )


def score(nearest: Nearest, offset: float) -> Scores:
    """Evaluate with a given offset on the distances of seen classes; at equal distance the seen class is taken."""
    predicted = np.where(nearest.seen_distance + offset <= nearest.unseen_distance, nearest.seen, nearest.unseen)
    seen = mean_class_accuracy(predicted, nearest.label, nearest.roles.seen)
    unseen = mean_class_accuracy(predicted, nearest.label, nearest.roles.unseen)
    restricted = mean_class_accuracy(nearest.unseen, nearest.label, nearest.roles.unseen)
    return Scores(S=100 * seen, U=100 * unseen, HM=100 * harmonic_mean(seen, unseen), ZSL=100 * restricted)


def choose_offset(validation: Nearest, candidates: Float) -> tuple[float, Scores]:
    """Return the candidate with the best HM on the validation clips, the smallest of equals, and its scores."""
    scored = [(float(offset), score(validation, float(offset))) for offset in candidates]
    return max(scored, key=lambda pair: (pair[1].HM, -pair[0]))


def harmonic_mean(a: float, b: float) -> float:
    """2ab / (a + b), 0 if both are 0."""
    return 2 * a * b / (a + b) if a + b else 0.0


def mean_class_accuracy(predicted: Int, label: Int, classes: Int) -> float:
    """Average over `classes` of the fraction of their clips that are right.

    Classes without clips are left out, and so are clips of other classes; 0 if nothing is left.
    """
    num_classes = 1 + max(int(label.max(initial=0)), int(classes.max(initial=0)))
    clips = np.bincount(label, minlength=num_classes)[classes]
    right = np.bincount(label[predicted == label], minlength=num_classes)[classes]
    return float(np.mean(right[clips > 0] / clips[clips > 0])) if clips.any() else 0.0


def chance(roles: ClassRoles) -> Scores:
    """Return the expected scores of uniform guessing."""
    share = 100 / (len(roles.seen) + len(roles.unseen))
    return Scores(S=share, U=share, HM=share, ZSL=100 / len(roles.unseen))
