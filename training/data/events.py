r"""The event generation model: changes of log intensity become ON and OFF events, as in an event camera.

A pixel keeps a reference level R of its log intensity L. Between two frames L is taken to run in a straight
line. Whenever it is a contrast threshold C above (below) R, the pixel emits an ON (OFF) event and R moves up
(down) by C, so that what is left over stays and slow changes are not lost:

    n = ⌊|L[k] − R| / C⌋ events,   R ← R ± n·C,   t_j = t[k−1] + (R ± j·C − L[k−1]) / (L[k] − L[k−1]) · Δt

(ESIM: Rebecq, Gehrig, Scaramuzza, CoRL 2018, §3; counts per frame as in v2e: Hu, Liu, Delbruck, CVPRW 2021.)
With a refractory period, an event that comes less than that after the pixel's last one is dropped; R moves all the
same (ESIM). Noise is that of v2e and off unless asked for: `event_noise`.

Everything after the logarithm is integer arithmetic, hence exact and the same on every machine: levels and
thresholds are whole multiples of 2^-16 (`LEVEL_SCALE`), times are whole microseconds. Rounding and ties:

- levels and thresholds are rounded once, to the nearest multiple, ties to even;
- a level that exactly reaches the threshold fires (≥);
- an event's time is rounded up to the next microsecond, so t[k−1] < t_j ≤ t[k];
- bin b of T over a duration D holds b·D/T < t ≤ (b+1)·D/T. No event can have t = 0, so none is lost.

One frame at a time: `event_pixels` keeps the state, `event_kernels` holds the compiled loops, `event_torch` counts
frames that are tensors, on whatever device they are, to the same integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.errors import ConfigError

from . import event_kernels as kernels
from .event_noise import PixelNoise, lowest_q
from .event_pixels import MAX_DURATION_US, EventGenerator

LEVEL_SCALE = 1 << 16
"""Integer levels per unit of log intensity (nepers for light, decibels for sound)."""
LUMA_WEIGHTS = (77, 150, 29)
"""BT.601 luma 0.299 R + 0.587 G + 0.114 B in 256ths; they sum to 256."""
MAX_LUMA = 255 * 256

Frame = TypeVar("Frame")


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
        refractory_us: a pixel's events less than this after its last one are dropped, 0..10^9; 0 drops none.
        contrast_sigma: standard deviation (nepers) of the pixels' thresholds, 0..5.
        leak_hz: ON events per second that a pixel of nominal threshold makes where nothing moves, 0..100.
        shot_hz: random events per pixel and second, half of them ON, 0..1000.
        noise_seed: of thresholds, leak phases and random events, 0..2^32 − 1.
    """

    contrast_on: float = 0.2
    contrast_off: float = 0.2
    log_eps: float = 0.05
    cells: int = 16
    min_events: int = 3
    refractory_us: int = 0
    contrast_sigma: float = 0.0
    leak_hz: float = 0.0
    shot_hz: float = 0.0
    noise_seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("contrast_on", 0.01, 5),
            ("contrast_off", 0.01, 5),
            ("log_eps", 1e-4, 1),
            ("cells", 1, 128),
            ("min_events", 1, 10_000),
            ("refractory_us", 0, 1_000_000_000),
            ("contrast_sigma", 0, 5),
            ("leak_hz", 0, 100),
            ("shot_hz", 0, 1000),
            ("noise_seed", 0, 2**32 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are {low}..{high}")

    @property
    def contrast_on_q(self) -> int:
        """ON threshold in units of 2^-16."""
        return int(quantise_level(self.contrast_on))

    @property
    def contrast_off_q(self) -> int:
        """OFF threshold in units of 2^-16."""
        return int(quantise_level(self.contrast_off))

    @property
    def noise(self) -> PixelNoise | None:
        """The pixels' noise; None for ideal ones."""
        if not (self.contrast_sigma or self.leak_hz or self.shot_hz):
            return None
        return PixelNoise(
            contrast_sigma_q=int(quantise_level(self.contrast_sigma)),
            leak_q_per_s=round(self.leak_hz * self.contrast_on_q),
            shot_hz=self.shot_hz,
            seed=self.noise_seed,
        )

    @property
    def max_events_per_pixel(self) -> int:
        """Most events that one pixel can emit between two frames, leak apart: from black to white, or back."""
        span_q = LEVEL_SCALE * math.log((1 + self.log_eps) / self.log_eps)
        least_q = min(self.contrast_on_q, self.contrast_off_q)
        return math.ceil(span_q / (lowest_q(least_q) if self.contrast_sigma else least_q)) + 2

    def generator(self, level_q: NDArray[np.int32], time_us: int) -> EventGenerator:
        """Return the pixels at the first frame of a sequence."""
        return EventGenerator(
            level_q,
            time_us,
            contrast_on_q=self.contrast_on_q,
            contrast_off_q=self.contrast_off_q,
            refractory_us=self.refractory_us,
            noise=self.noise,
        )


def quantise_level(level: NDArray[np.float64] | float) -> NDArray[np.int64]:
    """Return level_q = round(level · 2^16), int64, ties to even."""
    level_q: NDArray[np.int64] = np.rint(np.asarray(level, np.float64) * LEVEL_SCALE).astype(np.int64)
    return level_q


def log_intensity_q(
    frames: NDArray[np.uint8], log_eps: float, out: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """Return L = ln(I + eps) of the grey intensity I in 0..1, in units of 2^-16.

    Args:
        frames: uint8 RGB `[..., 3]`.
        log_eps: eps above.
        out: contiguous; takes the result if given.

    Returns:
        int32 of the frames' shape without the last axis.
    """
    level_q = np.empty(frames.shape[:-1], np.int32) if out is None else out
    red, green, blue = (np.int32(weight) for weight in LUMA_WEIGHTS)
    rgb = np.ascontiguousarray(frames).reshape(-1)
    kernels.look_up_levels(rgb, log_table_q(log_eps), red, green, blue, level_q.reshape(-1))
    return level_q


@lru_cache(maxsize=4)
def log_table_q(log_eps: float) -> NDArray[np.int32]:
    """Return the level of every luma 0..255·256, int32."""
    table = quantise_level(np.log(np.arange(MAX_LUMA + 1) / MAX_LUMA + log_eps)).astype(np.int32)
    table.flags.writeable = False
    return table


def event_bins(time_us: NDArray[np.int64], duration_us: int, num_bins: int) -> NDArray[np.int64]:
    """Return the bin ⌈t·T/D⌉ − 1 of every time; bins outside 0..T−1 lie outside the duration."""
    return -((-time_us * num_bins) // duration_us) - 1


class Piece(NamedTuple, Generic[Frame]):
    """A part of the interval that ends with a frame: what lies in one bin.

    Attributes:
        bin: its number, from 0.
        frame: the frame that ends the interval.
        time_us: that frame's time.
        until_us: end of the piece.
    """

    bin: int
    frame: Frame
    time_us: int
    until_us: int


def bin_pieces(
    frames: Iterable[Frame], times_us: Iterable[int], *, num_bins: int, duration_us: int
) -> Iterator[Piece[Frame]]:
    """Cut the intervals between frames where bins end; pieces come in order of time and end with the last bin.

    Args:
        frames: those after the first, taken one at a time.
        times_us: their times, strictly increasing; the first frame's is 0.
        num_bins: T.
        duration_us: D.
    """
    assert 0 < duration_us <= MAX_DURATION_US
    ends_us = [(b + 1) * duration_us // num_bins for b in range(num_bins)]
    b, start_us = 0, 0
    for frame, time_us in zip(frames, times_us, strict=True):
        while ends_us[b] < time_us:
            # a bin that ends with the frame before has had its pieces, one shorter than a microsecond has none
            if ends_us[b] > start_us:
                start_us = ends_us[b]
                yield Piece(b, frame, time_us, start_us)
            b += 1
            if b == num_bins:
                return
        start_us = time_us
        yield Piece(b, frame, time_us, time_us)


def count_events(
    level_q: Iterable[NDArray[np.integer[Any]]],
    times_us: Iterable[int],
    *,
    contrast_on: float,
    contrast_off: float,
    num_bins: int,
    duration_us: int,
) -> NDArray[np.int32]:
    """Run the event rule over a sequence of frames and count events per time bin.

    Args:
        level_q: frames of log levels, each integer `[P]`, in units of 2^-16; taken one at a time.
        times_us: their times, strictly increasing, starting at 0.
        contrast_on: ON threshold in the unit of the levels.
        contrast_off: OFF threshold.
        num_bins: T, time bins of equal length.
        duration_us: D, the time that the bins cover; events after it are not counted.

    Returns:
        int32 `[T, 2, P]`, ON counts at index 0 and OFF counts at index 1 of the second axis.
    """
    frames, times = iter(level_q), iter(times_us)
    first_q = next(frames)
    pixels = EventGenerator(
        first_q,
        next(times),
        contrast_on_q=int(quantise_level(contrast_on)),
        contrast_off_q=int(quantise_level(contrast_off)),
    )
    return _counts(pixels, bin_pieces(frames, times, num_bins=num_bins, duration_us=duration_us), num_bins)


def visual_event_counts(
    frames: Iterable[NDArray[np.uint8]],
    times_us: Iterable[int],
    config: EventConfig,
    *,
    num_bins: int,
    duration_us: int,
) -> NDArray[np.int32]:
    """Turn RGB frames, each `[H, W, 3]`, into event counts int32 `[T, 2, H·W]`, one frame at a time."""
    pixels, pieces = _started(frames, times_us, config, num_bins=num_bins, duration_us=duration_us)
    return _counts(pixels, pieces, num_bins)


def visual_spikes(
    frames: NDArray[np.uint8], times_us: NDArray[np.int64], config: EventConfig, *, num_bins: int, duration_us: int
) -> NDArray[np.uint8]:
    """Turn RGB frames into binary spikes uint8 `[T, 2·cells·cells]`, ordered polarity, row, column.

    Counts of single pixels are held for one bin only.
    """
    height_px, width_px = frames.shape[1:3]
    pixels, pieces = _started(frames, times_us, config, num_bins=num_bins, duration_us=duration_us)
    pooled = np.zeros((num_bins, 2, config.cells, config.cells), np.int32)
    counts = np.empty((2, height_px * width_px), np.int32)
    for b, in_bin in groupby(pieces, attrgetter("bin")):
        _count_bin(pixels, in_bin, counts)
        patch_px = (height_px // config.cells, width_px // config.cells)
        kernels.add_patches(counts, width_px, patch_px, pooled[b])
    return binarise(pooled, config.min_events)


def _counts(pixels: EventGenerator, pieces: Iterable[Piece[Any]], num_bins: int) -> NDArray[np.int32]:
    """Return the counts of all bins, int32 `[T, 2, P]`."""
    counts = np.empty((num_bins, 2, len(pixels.level_q)), np.int32)
    done = 0
    for b, in_bin in groupby(pieces, attrgetter("bin")):
        counts[done:b] = 0
        _count_bin(pixels, in_bin, counts[b])
        done = b + 1
    counts[done:] = 0
    return counts


def _count_bin(pixels: EventGenerator, pieces: Iterable[Piece[Any]], counts: NDArray[np.int32]) -> None:
    """Write the counts `[2, P]` of one bin."""
    for nth, piece in enumerate(pieces):
        pixels.count(piece.frame, piece.time_us, piece.until_us, counts, add=nth > 0)


def _started(
    frames: Iterable[NDArray[np.uint8]],
    times_us: Iterable[int],
    config: EventConfig,
    *,
    num_bins: int,
    duration_us: int,
) -> tuple[EventGenerator, Iterator[Piece[NDArray[np.int32]]]]:
    """Return the pixels at the first frame, and the pieces of what follows, as levels."""
    levels = _levels(frames, config.log_eps)
    times = (int(time_us) for time_us in times_us)
    pixels = config.generator(next(levels), next(times))
    return pixels, bin_pieces(levels, times, num_bins=num_bins, duration_us=duration_us)


def _levels(frames: Iterable[NDArray[np.uint8]], log_eps: float) -> Iterator[NDArray[np.int32]]:
    """Yield the levels `[P]` of each frame; two frames share the memory, since no more are in use at once."""
    older = newer = None
    for frame in frames:
        older, newer = newer, log_intensity_q(frame, log_eps, older)
        yield newer.reshape(-1)


def binarise(counts: NDArray[np.integer[Any]], min_events: int) -> NDArray[np.uint8]:
    """Return spikes uint8 `[T, N]`: 1 where `counts` `[T, ...]` holds at least `min_events`."""
    return (counts >= min_events).reshape(len(counts), -1).astype(np.uint8)
