"""The state of all pixels between two frames, frame by frame: events with their times, or counts up to a time.

The rule is in `events`, the loops are in `event_kernels`. Memory does not grow with the length of the sequence.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.errors import ConfigError

from . import event_kernels as kernels
from .event_noise import PixelNoise

MAX_LEVEL_Q = 1 << 24
"""|level| is below this, 256 nepers or decibels: what keeps the loops' sums inside 32 bits."""
MIN_CONTRAST_Q = 64
MAX_DURATION_US = 1 << 32
MAX_EVENTS_PER_STEP = 1 << 26
"""Bound on the memory that one step takes; configurations that could exceed it are refused."""
ON, OFF = 0, 1
"""Polarity index of event counts."""

NONE_US = np.empty(0, np.int64)
LONG_AGO_US = -(1 << 62)


class Events(NamedTuple):
    """Events of one step, by pixel and, within a pixel, by time.

    Attributes:
        pixel: int32 `[E]`, flat pixel (or band) index.
        polarity: uint8 `[E]`, 0 ON, 1 OFF.
        time_us: int64 `[E]`, microseconds on the clock of the frames.
    """

    pixel: NDArray[np.int32]
    polarity: NDArray[np.uint8]
    time_us: NDArray[np.int64]

    def take(self, chosen: slice | NDArray[np.bool_]) -> Events:
        """Return the events chosen, in the same order."""
        return Events(self.pixel[chosen], self.polarity[chosen], self.time_us[chosen])


class EventGenerator:
    """Reference levels, last levels and last time of all pixels, and when each last emitted an event.

    Example:
        >>> pixels = EventGenerator(np.array([0]), 0, contrast_on_q=1000, contrast_off_q=1000)
        >>> pixels.step(np.array([2500]), 100).time_us
        array([40, 80])
    """

    def __init__(
        self,
        level_q: NDArray[np.integer[Any]],
        time_us: int,
        *,
        contrast_on_q: int,
        contrast_off_q: int,
        refractory_us: int = 0,
        noise: PixelNoise | None = None,
    ) -> None:
        """Start at the first frame, whose levels become the references.

        Args:
            level_q: integer `[P]`, log intensity of the first frame in units of 2^-16, below 2^24 in magnitude. As
                with all frames, an int32 array is kept, and must not change before the next frame is done.
            time_us: its time.
            contrast_on_q: ON threshold, same unit, 64..2^24.
            contrast_off_q: OFF threshold, same unit.
            refractory_us: an event less than this after the pixel's last one is dropped; 0 drops none.
            noise: what tells these pixels from ideal ones.
        """
        assert all(MIN_CONTRAST_Q <= contrast_q <= MAX_LEVEL_Q for contrast_q in (contrast_on_q, contrast_off_q))
        self.level_q = _checked(level_q)
        self.reference_q = self.level_q.copy()
        self.time_us = int(time_us)
        self.contrast_q = [np.array([contrast_q], np.int32) for contrast_q in (contrast_on_q, contrast_off_q)]
        self.noise = noise
        if noise is not None:
            self.contrast_q = noise.mismatched(self.contrast_q, len(level_q))
            self.reference_q -= noise.leaked_before_q(self.contrast_q[ON], len(level_q))
        self.refractory_us = refractory_us
        self.last_us = np.full(len(level_q), LONG_AGO_US) if refractory_us else NONE_US
        self.frame = 0
        self._waiting: Events | None = None
        self._cut_q: NDArray[np.int32] | None = None

    def step(self, level_q: NDArray[np.integer[Any]], time_us: int) -> Events:
        """Advance to the next frame and return the events on the way to it.

        Args:
            level_q: integer `[P]`, log intensity of this frame.
            time_us: its time, later than the previous one.

        Raises:
            ConfigError: more than 2^26 events.
        """
        target_q = _checked(level_q)
        assert target_q.min(initial=0) > -MAX_LEVEL_Q and target_q.max(initial=0) < MAX_LEVEL_Q
        start_us, end_us = self.time_us, self._next_us(time_us)
        drift_q = self._drift_q(end_us)
        shot_us = NONE_US
        if self.noise is not None and self.noise.shot_hz:
            shot_us = self.noise.shots_us(self.frame, len(target_q), start_us, end_us)
        on_q, off_q = self.contrast_q
        most = kernels.number_of_crossings(target_q, drift_q, self.reference_q, on_q, off_q) + np.count_nonzero(shot_us)
        if most > MAX_EVENTS_PER_STEP:
            raise ConfigError(
                f"{most} events between two frames, allowed are {MAX_EVENTS_PER_STEP}; raise contrast_on and "
                f"contrast_off, lower leak_hz, or lower the frame size"
            )
        events = Events(np.empty(most, np.int32), np.empty(most, np.uint8), np.empty(most, np.int64))
        listed = kernels.list_crossings(
            self.level_q, target_q, drift_q, self.reference_q, on_q, off_q, start_us, end_us, shot_us,
            self.refractory_us, self.last_us, events.pixel, events.polarity, events.time_us,
        )  # fmt: skip
        self._settle(target_q, end_us, drift_q)
        return events.take(slice(listed))

    def count(
        self,
        level_q: NDArray[np.integer[Any]],
        time_us: int,
        until_us: int,
        counts: NDArray[np.int32],
        *,
        add: bool = True,
    ) -> None:
        """Add the events on the way to the next frame, up to and with `until_us`, to `counts`.

        Called with rising `until_us`, each call adds what is new; with `until_us` = `time_us` the frame is done.
        The number of crossings up to a time is known from the level then, so that ideal pixels need no event's own
        time; those with a refractory period or shot noise do.

            L(until) = L[k−1] ± ⌊|L[k] − L[k−1]| · (until − t[k−1]) / Δt⌋,   n = ⌊|L(until) − R| / C⌋

        Args:
            level_q: integer `[P]`, log intensity of that frame.
            time_us: its time.
            until_us: later than the previous frame, at most `time_us`.
            counts: int32 `[2, P]`, ON and OFF.
            add: whether to add to what `counts` holds, or to write over it.
        """
        if self.refractory_us or (self.noise is not None and self.noise.shot_hz):
            if not add:
                counts[...] = 0
            self._count_listed(level_q, time_us, until_us, counts)
            return
        target_q = _checked(level_q)
        start_us, end_us = self.time_us, self._next_us(time_us)
        assert start_us < until_us <= end_us
        drift_q = self._drift_q(end_us)
        if until_us < end_us:
            if self._cut_q is None:
                self._cut_q = np.empty_like(self.level_q)
            kernels.cut_levels(self.level_q, target_q, drift_q, until_us - start_us, end_us - start_us, self._cut_q)
            self._cross(self._cut_q, np.int32(0), counts, add)
            return
        self._cross(target_q, drift_q, counts, add)
        self._settle(target_q, end_us, drift_q)

    def _count_listed(
        self, level_q: NDArray[np.integer[Any]], time_us: int, until_us: int, counts: NDArray[np.int32]
    ) -> None:
        """Count by the events themselves; those later than `until_us` wait for the next call."""
        events = self.step(level_q, time_us) if self._waiting is None else self._waiting
        due = events.time_us <= until_us
        new = events.take(due)
        kernels.count_listed(new.pixel, new.polarity, counts)
        self._waiting = None if until_us == time_us else events.take(~due)

    def _cross(self, level_q: NDArray[np.int32], drift_q: np.int32, counts: NDArray[np.int32], add: bool) -> None:
        on_q, off_q = self.contrast_q
        if len(on_q) == len(off_q) == 1:
            extent = kernels.count_crossings(level_q, drift_q, self.reference_q, on_q[0], off_q[0], counts, add)
        else:
            extent = kernels.count_crossings_mismatched(level_q, drift_q, self.reference_q, on_q, off_q, counts, add)
        assert extent < MAX_LEVEL_Q

    def _next_us(self, time_us: int) -> int:
        assert 0 < time_us - self.time_us <= MAX_DURATION_US
        return int(time_us)

    def _drift_q(self, end_us: int) -> np.int32:
        return np.int32(0) if self.noise is None else np.int32(self.noise.leak_q(self.time_us, end_us))

    def _settle(self, target_q: NDArray[np.int32], end_us: int, drift_q: np.int32) -> None:
        """Make this frame the last one; what leaked is taken from the references, so that levels stay bounded."""
        if drift_q:
            self.reference_q -= drift_q
        self.level_q, self.time_us = target_q, end_us
        self.frame += 1


def _checked(level_q: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return levels as int32, a new array for any other type; those of int32 are checked where they are counted."""
    assert level_q.ndim == 1
    if level_q.dtype == np.int32:
        return level_q.astype(np.int32, copy=False)
    assert level_q.min(initial=0) > -MAX_LEVEL_Q and level_q.max(initial=0) < MAX_LEVEL_Q
    return level_q.astype(np.int32)
