r"""The event generation model: changes of log intensity become ON and OFF events, as in an event camera.

A pixel keeps a reference level R of its log intensity L. Between two frames L is taken to run in a straight
line. Whenever it is a contrast threshold C above (below) R, the pixel emits an ON (OFF) event and R moves up
(down) by C, so that what is left over stays and slow changes are not lost:

    n = ⌊|L[k] − R| / C⌋ events,   R ← R ± n·C,   t_j = t[k−1] + (R ± j·C − L[k−1]) / (L[k] − L[k−1]) · Δt

(ESIM: Rebecq, Gehrig, Scaramuzza, CoRL 2018, §3; counts per frame as in v2e: Hu, Liu, Delbruck, CVPRW 2021.)

Everything after the logarithm is integer arithmetic, hence exact and the same on every machine: levels and
thresholds are whole multiples of 2^-16 (`LEVEL_SCALE`), times are whole microseconds. Rounding and ties:

- levels and thresholds are rounded once, to the nearest multiple, ties to even;
- a level that exactly reaches the threshold fires (≥);
- an event's time is rounded up to the next microsecond, so t[k−1] < t_j ≤ t[k];
- bin b of T over a duration D holds b·D/T < t ≤ (b+1)·D/T. No event can have t = 0, so none is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.errors import ConfigError

LEVEL_SCALE = 1 << 16
"""Integer levels per unit of log intensity (nepers for light, decibels for sound)."""
MAX_LEVEL_Q = 1 << 26
"""Bound on |level| that keeps every product of a level and a time in microseconds inside 64 bits."""
MAX_DURATION_US = 1 << 32
MAX_EVENTS_PER_STEP = 1 << 26
"""Bound on the memory that one step takes; configurations that could exceed it are refused."""
LUMA_WEIGHTS = (77, 150, 29)
"""BT.601 luma 0.299 R + 0.587 G + 0.114 B in 256ths; they sum to 256."""
MAX_LUMA = 255 * 256
ON, OFF = 0, 1
"""Polarity index of event counts."""


@dataclass(frozen=True, kw_only=True)
class EventConfig:
    """How frames become visual spikes.

    Attributes:
        contrast_on: rise of log intensity (nepers) that makes an ON event, 0.01..5.
        contrast_off: fall of log intensity (nepers) that makes an OFF event, 0.01..5.
        log_eps: added to the intensity (0..1) before the logarithm, 1e-4..1. At 0.05 one grey level of 255 is
            0.075 nepers at black, so that coding noise in the dark stays below a threshold of 0.2.
        cells: event counts are pooled to cells × cells patches, 1..128; must divide the frame size.
        min_events: a patch spikes in a bin if it counted at least this many events of one polarity.
    """

    contrast_on: float = 0.2
    contrast_off: float = 0.2
    log_eps: float = 0.05
    cells: int = 16
    min_events: int = 3

    def __post_init__(self) -> None:
        for name, low, high in (("contrast_on", 0.01, 5), ("contrast_off", 0.01, 5), ("log_eps", 1e-4, 1)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are {low}..{high}")
        for name, high in (("cells", 128), ("min_events", 10_000)):
            if not 1 <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are 1..{high}")

    @property
    def max_events_per_pixel(self) -> int:
        """Most events that one pixel can emit between two frames: from black to white, or back."""
        span = math.log((1 + self.log_eps) / self.log_eps)
        return math.ceil(span / min(self.contrast_on, self.contrast_off)) + 1


class Events(NamedTuple):
    """Events of one step, by pixel and, within a pixel, by time.

    Attributes:
        pixel: int64 `[E]`, flat pixel (or band) index.
        polarity: int64 `[E]`, 0 ON, 1 OFF.
        time_us: int64 `[E]`, microseconds on the clock of the frames.
    """

    pixel: NDArray[np.int64]
    polarity: NDArray[np.int64]
    time_us: NDArray[np.int64]


def quantise_level(level: NDArray[np.float64] | float) -> NDArray[np.int64]:
    """Return level_q = round(level · 2^16), int64, ties to even."""
    level_q: NDArray[np.int64] = np.rint(np.asarray(level, np.float64) * LEVEL_SCALE).astype(np.int64)
    return level_q


def log_intensity_q(frames: NDArray[np.uint8], log_eps: float) -> NDArray[np.int64]:
    """Return L = ln(I + eps) of the grey intensity I in 0..1, in units of 2^-16.

    Args:
        frames: uint8 RGB `[..., 3]`.
        log_eps: eps above.

    Returns:
        int64 of the frames' shape without the last axis.
    """
    red, green, blue = (frames[..., i].astype(np.int64) * weight for i, weight in enumerate(LUMA_WEIGHTS))
    level_q: NDArray[np.int64] = _log_table_q(log_eps)[red + green + blue]
    return level_q


@lru_cache(maxsize=4)
def _log_table_q(log_eps: float) -> NDArray[np.int64]:
    """Return the level of every luma 0..255·256."""
    table = quantise_level(np.log(np.arange(MAX_LUMA + 1) / MAX_LUMA + log_eps))
    table.flags.writeable = False
    return table


class EventGenerator:
    """The state of all pixels between two frames: reference levels, last levels, last time.

    Example:
        >>> pixels = EventGenerator(np.array([0]), 0, contrast_on_q=10, contrast_off_q=10)
        >>> pixels.step(np.array([25]), 100)
        Events(pixel=array([0, 0]), polarity=array([0, 0]), time_us=array([40, 80]))
    """

    def __init__(self, level_q: NDArray[np.int64], time_us: int, *, contrast_on_q: int, contrast_off_q: int) -> None:
        """Start at the first frame, whose levels become the references.

        Args:
            level_q: integer `[P]`, log intensity of the first frame in units of 2^-16.
            time_us: its time.
            contrast_on_q: ON threshold, same unit, > 0.
            contrast_off_q: OFF threshold, same unit, > 0.
        """
        assert contrast_on_q > 0 and contrast_off_q > 0
        self.level_q = self._checked(level_q)
        self.reference_q = self.level_q.copy()
        self.time_us = int(time_us)
        self.contrast_q = np.array([contrast_on_q, contrast_off_q], np.int64)

    @staticmethod
    def _checked(level_q: NDArray[np.int64]) -> NDArray[np.int64]:
        assert level_q.ndim == 1 and np.abs(level_q, dtype=np.int64).max(initial=0) <= MAX_LEVEL_Q
        return level_q.astype(np.int64)

    def step(self, level_q: NDArray[np.int64], time_us: int) -> Events:
        """Advance to the next frame and return the events on the way to it.

        Args:
            level_q: integer `[P]`, log intensity of this frame.
            time_us: its time, later than the previous one.
        """
        level_q = self._checked(level_q)
        interval_us = int(time_us) - self.time_us
        assert 0 < interval_us <= MAX_DURATION_US
        change_q = level_q - self.reference_q
        polarity_P = np.where(change_q >= 0, ON, OFF)
        contrast_P = self.contrast_q[polarity_P]
        num_P = np.abs(change_q) // contrast_P
        sign_P = np.sign(change_q)
        assert num_P.sum() <= MAX_EVENTS_PER_STEP

        pixel = np.repeat(np.arange(len(num_P)), num_P)
        nth = np.arange(len(pixel)) - np.repeat(np.cumsum(num_P) - num_P, num_P) + 1
        crossing_q = self.reference_q[pixel] + sign_P[pixel] * contrast_P[pixel] * nth
        # both differences carry the sign of the polarity; negating both turns the floor into a ceiling
        rise_q = (crossing_q - self.level_q[pixel]) * sign_P[pixel]
        slope_q = np.abs(level_q - self.level_q)[pixel]
        times_us = self.time_us - (-rise_q * interval_us) // slope_q

        self.reference_q = self.reference_q + sign_P * contrast_P * num_P
        self.level_q, self.time_us = level_q, int(time_us)
        return Events(pixel, polarity_P[pixel].astype(np.int64), times_us)


def event_bins(time_us: NDArray[np.int64], duration_us: int, num_bins: int) -> NDArray[np.int64]:
    """Return the bin ⌈t·T/D⌉ − 1 of every time; bins outside 0..T−1 lie outside the duration."""
    return -((-time_us * num_bins) // duration_us) - 1


def count_events(
    level_q: Iterable[NDArray[np.int64]],
    times_us: Iterable[int],
    *,
    contrast_on: float,
    contrast_off: float,
    num_bins: int,
    duration_us: int,
) -> NDArray[np.int64]:
    """Run the event rule over a sequence of frames and count events per time bin.

    Args:
        level_q: frames of log levels, each integer `[P]`, in units of 2^-16; taken one at a time.
        times_us: their times, strictly increasing, starting at 0.
        contrast_on: ON threshold in the unit of the levels.
        contrast_off: OFF threshold.
        num_bins: T, time bins of equal length.
        duration_us: D, the time that the bins cover; events after it are not counted.

    Returns:
        int64 `[T, 2, P]`, ON counts at index 0 and OFF counts at index 1 of the second axis.
    """
    assert 0 < duration_us <= MAX_DURATION_US
    sequence = iter(zip(level_q, times_us, strict=True))
    first_q, first_us = next(sequence)
    pixels = EventGenerator(
        first_q,
        first_us,
        contrast_on_q=int(quantise_level(contrast_on)),
        contrast_off_q=int(quantise_level(contrast_off)),
    )
    shape = (num_bins, 2, len(first_q))
    counts = np.zeros(num_bins * 2 * len(first_q), np.int64)
    for frame_q, time_us in sequence:
        events = pixels.step(frame_q, time_us)
        bins = event_bins(events.time_us, duration_us, num_bins)
        inside = bins < num_bins
        index = np.ravel_multi_index((bins[inside], events.polarity[inside], events.pixel[inside]), shape)
        np.add.at(counts, index, 1)
    return counts.reshape(shape)


def pool_events(counts: NDArray[np.int64], height_px: int, width_px: int, cells: int) -> NDArray[np.int64]:
    """Sum event counts `[T, 2, H·W]` over equal patches to `[T, 2, cells, cells]`."""
    num_bins = len(counts)
    patches = counts.reshape(num_bins, 2, cells, height_px // cells, cells, width_px // cells)
    pooled: NDArray[np.int64] = patches.sum(axis=(3, 5), dtype=np.int64)
    return pooled


def binarise(counts: NDArray[np.int64], min_events: int) -> NDArray[np.uint8]:
    """Return spikes uint8 `[T, N]`: 1 where `counts` `[T, ...]` holds at least `min_events`."""
    return (counts >= min_events).reshape(len(counts), -1).astype(np.uint8)


def visual_event_counts(
    frames: NDArray[np.uint8], times_us: NDArray[np.int64], config: EventConfig, *, num_bins: int, duration_us: int
) -> NDArray[np.int64]:
    """Turn RGB frames `[F, H, W, 3]` into event counts int64 `[T, 2, H·W]`, one frame at a time."""
    return count_events(
        (log_intensity_q(frame, config.log_eps).ravel() for frame in frames),
        times_us.tolist(),
        contrast_on=config.contrast_on,
        contrast_off=config.contrast_off,
        num_bins=num_bins,
        duration_us=duration_us,
    )


def visual_spikes(
    frames: NDArray[np.uint8], times_us: NDArray[np.int64], config: EventConfig, *, num_bins: int, duration_us: int
) -> NDArray[np.uint8]:
    """Turn RGB frames into binary spikes uint8 `[T, 2·cells·cells]`, ordered polarity, row, column."""
    counts = visual_event_counts(frames, times_us, config, num_bins=num_bins, duration_us=duration_us)
    height_px, width_px = frames.shape[1:3]
    return binarise(pool_events(counts, height_px, width_px, config.cells), config.min_events)
