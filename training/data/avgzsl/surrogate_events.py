"""SURROGATE events of feature vectors: the project's event rule on features, where there are no frames. Not an EGM.

The field's feature files hold no frames, so there is nothing that an event generation model could look at. What is done
instead: every feature is taken for a pixel. Its level L is the feature over the modality's standard deviation on the
training clips; it starts at 0, and the rule of `training/data/events.py` (thresholds C, references, integers) says when
it emits ON and OFF events. Levels go in straight lines, at bin borders through

    averaged file, one vector x:        0, x/T, 2x/T, …, x          (one ramp over the clip)
    T vectors x[0] … x[T−1]:            0, x[0], x[1], …, x[T−1]

For one ramp the j-th event is due at t_j = ⌈j·C·D/|L|⌉; with D a multiple of T it lies in bins 0..b if and only if
j·C·T ≤ (b+1)·|L|, so that bins 0..b hold ⌊(b+1)·|L| / (C·T)⌋ events. For T vectors every crossing between two of them
lies in one bin, which holds ⌊|L[k] − R| / C⌋ events. Both equal `count_events` (tested), and need no single event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..event_pixels import MAX_LEVEL_Q, OFF, ON
from ..events import quantise_level


@dataclass(frozen=True, eq=False, kw_only=True)
class Contrast:
    """How features of one modality become levels, and which changes make events.

    Attributes:
        start: level zero, in the unit of the features: 0, or their means over training clips; float32 `[d]`.
        scale: standard deviation of the modality over training clips, > 0.
        on: ON threshold in standard deviations.
        off: OFF threshold.
    """

    start: NDArray[np.float32]
    scale: float
    on: float
    off: float

    def level_q(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return round((x − start) / scale · 2^16), int64 of the features' shape."""
        return quantise_level((features.astype(np.float64) - self.start) / self.scale)

    @property
    def thresholds_q(self) -> tuple[int, int]:
        """ON and OFF thresholds in units of 2^-16."""
        return int(quantise_level(self.on)), int(quantise_level(self.off))


def fits(level_q: NDArray[np.int64]) -> bool:
    """Tell whether levels lie in the range of the event rule."""
    return bool(np.abs(level_q).max(initial=0) < MAX_LEVEL_Q)


def ramp_spikes(level_q: NDArray[np.int64], num_steps: int, thresholds_q: tuple[int, int]) -> NDArray[np.float32]:
    """Return the spikes of one straight ramp from 0 to `level_q` over T bins.

    Args:
        level_q: int64 `[B, d]`.
        num_steps: T.
        thresholds_q: ON and OFF.

    Returns:
        float32 `[B, T, 2·d]`, 1 where a feature emits at least one event of a polarity in a bin; polarity, feature.
    """
    num_clips, num_features = level_q.shape
    spikes = np.zeros((num_clips, num_steps, 2, num_features), np.float32)
    # half the width is as exact where the products fit, and faster
    narrow: type[np.int32] | type[np.int64] = np.int32 if num_steps * MAX_LEVEL_Q < 1 << 31 else np.int64
    for polarity, sign in ((ON, 1), (OFF, -1)):
        rise_q: NDArray[Any] = np.maximum(sign * level_q, 0).astype(narrow)
        before = np.zeros_like(rise_q)
        for step in range(num_steps):
            until = (step + 1) * rise_q // narrow(num_steps * thresholds_q[polarity])
            np.greater(until, before, out=spikes[:, step, polarity], casting="unsafe")
            before = until
    return spikes.reshape(num_clips, num_steps, 2 * num_features)


def piecewise_spikes(level_q: NDArray[np.int64], thresholds_q: tuple[int, int]) -> NDArray[np.float32]:
    """Return the spikes of levels that go in straight lines from 0 through T vectors, one per bin.

    Args:
        level_q: int64 `[B, T, d]`, the levels at the ends of the bins.
        thresholds_q: ON and OFF.

    Returns:
        float32 `[B, T, 2·d]` as `ramp_spikes`.
    """
    num_clips, num_steps, num_features = level_q.shape
    spikes = np.zeros((num_clips, num_steps, 2, num_features), np.float32)
    reference_q = np.zeros((num_clips, num_features), np.int64)
    for step in range(num_steps):
        change_q = level_q[:, step] - reference_q
        for polarity, sign in ((ON, 1), (OFF, -1)):
            count = np.maximum(sign * change_q, 0) // thresholds_q[polarity]
            np.greater(count, 0, out=spikes[:, step, polarity], casting="unsafe")
            reference_q = reference_q + sign * thresholds_q[polarity] * count
    return spikes.reshape(num_clips, num_steps, 2 * num_features)
