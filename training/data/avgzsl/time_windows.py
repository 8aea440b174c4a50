"""Sequences of any length to K vectors: a window is kept, then averaged over K equal parts of its time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def random_window(num_steps: int, longest: int, generator: np.random.Generator) -> slice:
    """Return a window of at most `longest` steps at a random place, as the field trims training clips."""
    start = int(generator.integers(0, max(num_steps - longest, 0) + 1))
    return slice(start, start + min(num_steps, longest))


def middle_window(num_steps: int, longest: int) -> slice:
    """Return the middle `longest` steps, as the field trims clips that are judged."""
    start = max(num_steps - longest, 0) // 2
    return slice(start, start + min(num_steps, longest))


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
