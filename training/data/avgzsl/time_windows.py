"""Sequences of any length to K vectors: a window is kept, then averaged over K equal parts of its time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MIDDLE = 0.5


@dataclass(frozen=True, kw_only=True)
class Trim:
    """How sequences of any length become K vectors.

    Attributes:
        longest: vectors of a clip that are kept at most.
        num_parts: K.
        seed: windows lie at random places, the same in both modalities; None: in the middle.
    """

    longest: int
    num_parts: int
    seed: int | None

    def places(self, num_clips: int, number: int) -> NDArray[np.float64]:
        """Return where in its clip each window lies, 0 (start) to below 1; `number` tells classes apart."""
        if self.seed is None:
            return np.full(num_clips, MIDDLE)
        return np.random.default_rng((self.seed, number)).random(num_clips)

    def __call__(self, vectors: NDArray[np.float32], place: float) -> NDArray[np.float32]:
        """Return the window's K vectors, float32 `[K, d]`, of `vectors` `[n, d]`."""
        start = int(place * (max(len(vectors) - self.longest, 0) + 1))
        return resample(vectors[start : start + self.longest], self.num_parts)


def resample(vectors: NDArray[np.float32], num_parts: int) -> NDArray[np.float32]:
    """Return the time average of a step-wise constant sequence over K equal parts.

    Vector i of n holds from i/n to (i+1)/n; part k is the average from k/K to (k+1)/K. For n = K nothing changes, for
    n < K vectors are repeated, and the mean over time is always kept.

    Args:
        vectors: `[n, d]`.
        num_parts: K.

    Returns:
        float32 `[K, d]`.
    """
    if len(vectors) == num_parts:
        return vectors.astype(np.float32)
    return (_shares(len(vectors), num_parts) @ vectors.astype(np.float64)).astype(np.float32)


@lru_cache(maxsize=1024)
def _shares(num_steps: int, num_parts: int) -> NDArray[np.float64]:
    """Return which share of part k vector i has, `[K, n]`; rows sum to 1. In units of 1/(n·K) all ends are integers."""
    part = np.arange(num_parts)[:, None] * num_steps
    step = np.arange(num_steps)[None] * num_parts
    overlap = np.minimum(part + num_steps, step + num_parts) - np.maximum(part, step)
    shares: NDArray[np.float64] = np.maximum(overlap, 0) / num_steps
    return shares
