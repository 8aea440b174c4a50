"""The event rule's loops over pixels, compiled; `event_pixels` says what they compute and keeps their state.

Levels are int32 in units of 2^-16. With |L| ≤ 2^24, a drift of at most 2^24 per frame, references within a threshold of
their level and thresholds of 64 to 2^24, no sum leaves 32 bits and no pixel crosses 2^21 thresholds at once. Quotients
are guessed in floats and put right by their integer remainder: the guesses are off by less than 1 (relative errors
of 5 · 2^-24 on 2^21 in float32, of 3 · 2^-53 on 2^33 in float64), so the results are exact. Loops without integer
divisions and without branches are what the compiler turns into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.compiling import compiled

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
BLOCK = 1024
"""Pixels whose lumas stay in the first cache until their levels are looked up."""


@compiled
def look_up_levels(rgb: NDArray[np.uint8], table_q: Ints, red: Any, green: Any, blue: Any, level_q: Ints) -> None:
    """Write table[red·R + green·G + blue·B] for pixels uint8 `[P·3]` into `level_q` `[P]`; the weights sum to 256."""
    luma = np.empty(BLOCK, np.uint16)
    for start in range(0, level_q.shape[0], BLOCK):
        block = level_q[start : start + BLOCK]
        pixels = rgb[3 * start : 3 * start + 3 * BLOCK]
        for p in range(block.shape[0]):
            warm = np.uint16(np.uint16(red * pixels[3 * p]) + np.uint16(green * pixels[3 * p + 1]))
            luma[p] = np.uint16(warm + np.uint16(blue * pixels[3 * p + 2]))
        for p in range(block.shape[0]):
            block[p] = table_q[luma[p]]


@compiled
def cut_levels(level_q: Ints, target_q: Ints, drift_q: Any, part_us: int, whole_us: int, cut_q: Ints) -> None:
    """Write the levels after `part_us` of `whole_us` on the way from `level_q` to target + drift, toward the start.

    An event at or before that time has its crossing at or before this level, and no other has.
    """
    per_us = 1.0 / whole_us
    for p in range(cut_q.shape[0]):
        change = np.int64(target_q[p]) + drift_q - level_q[p]
        product = abs(change) * part_us
        moved = np.int64(np.float64(product) * per_us)
        rest = product - moved * whole_us
        moved += np.int64(rest >= whole_us) - np.int64(rest < 0)
        cut_q[p] = level_q[p] + (moved if change >= 0 else -moved)


@compiled
def inverse(contrast: Any) -> Any:
    """Return float32 1 / contrast."""
    return np.float32(1) / np.float32(contrast)


@compiled
def crossings(size: Any, contrast: Any, per_contrast: Any) -> Any:
    """Return ⌊size / contrast⌋, int32, given float32 1 / contrast: a product is faster than a division."""
    number = np.int32(np.float32(size) * per_contrast)
    rest = np.int32(size - np.int32(number * contrast))
    return np.int32(number + np.int32(rest >= contrast) - np.int32(rest < 0))


@compiled
def count_crossings(
    level_q: Ints, drift_q: Any, reference_q: Ints, on_q: Any, off_q: Any, counts: Ints, add: bool
) -> int:
    """Add ⌊|level + drift − R| / C⌋ to the counts `[2, P]` and move R by as many thresholds, the same C for all pixels.

    Without `add` the counts are written, whatever was there before: new memory is touched once less.

    Returns:
        All levels' L or −L − 1, whichever is not negative, joined by or: below 2^24 if every level is within its bound.
    """
    num_on, num_off = counts[0], counts[1]
    per_on, per_off = inverse(on_q), inverse(off_q)
    extent = np.int32(0)
    for p in range(level_q.shape[0]):
        level = level_q[p]
        change = np.int32(np.int32(level + drift_q) - reference_q[p])
        rises = change >= 0
        contrast = on_q if rises else off_q
        number = crossings(np.int32(abs(change)), contrast, per_on if rises else per_off)
        moved = np.int32(number * contrast)
        reference_q[p] += moved if rises else -moved
        on_here = number if rises else np.int32(0)
        off_here = np.int32(0) if rises else number
        if add:
            num_on[p] += on_here
            num_off[p] += off_here
        else:
            num_on[p] = on_here
            num_off[p] = off_here
        extent = np.int32(extent | np.int32(level ^ np.int32(level >> 31)))
    return int(extent)


@compiled
def count_crossings_mismatched(
    level_q: Ints, drift_q: Any, reference_q: Ints, on_q: Ints, off_q: Ints, counts: Ints, add: bool
) -> int:
    """Do the same with thresholds of each pixel's own, int32 `[P]`."""
    num_on, num_off = counts[0], counts[1]
    extent = np.int32(0)
    for p in range(level_q.shape[0]):
        level = level_q[p]
        change = np.int32(np.int32(level + drift_q) - reference_q[p])
        rises = change >= 0
        on, off = on_q[p], off_q[p]
        contrast = on if rises else off
        number = crossings(np.int32(abs(change)), contrast, inverse(contrast))
        moved = np.int32(number * contrast)
        reference_q[p] += moved if rises else -moved
        on_here = number if rises else np.int32(0)
        off_here = np.int32(0) if rises else number
        if add:
            num_on[p] += on_here
            num_off[p] += off_here
        else:
            num_on[p] = on_here
            num_off[p] = off_here
        extent = np.int32(extent | np.int32(level ^ np.int32(level >> 31)))
    return int(extent)


@compiled
def list_crossings(
    level_q: Ints,
    target_q: Ints,
    drift_q: Any,
    reference_q: Ints,
    on_q: Ints,
    off_q: Ints,
    start_us: int,
    end_us: int,
    shot_us: Longs,
    refractory_us: int,
    last_us: Longs,
    pixel: Ints,
    polarity: NDArray[np.uint8],
    time_us: Longs,
) -> int:
    """Write every event of a step and return their number; R and the times of last events move on.

    Args:
        level_q: int32 `[P]`, levels at `start_us`.
        target_q: int32 `[P]`, levels at `end_us`, to which the drift is added.
        drift_q: int32.
        reference_q: int32 `[P]`, changed.
        on_q: int32 `[P]` or `[1]`, thresholds of each pixel or of all.
        off_q: likewise.
        start_us: time of the frame before.
        end_us: time of this frame.
        shot_us: int64 `[P]` or `[0]`, times of noise events: t for ON, −t for OFF, 0 for none.
        refractory_us: an event earlier than this after the last one is dropped.
        last_us: int64 `[P]`, times of last events, changed; `[0]` where nothing is dropped.
        pixel: int32 `[E]`, written; E is at least the number of crossings and noise events.
        polarity: uint8 `[E]`, written.
        time_us: int64 `[E]`, written.
    """
    whole_us = end_us - start_us
    each_on, each_off = on_q.shape[0] > 1, off_q.shape[0] > 1
    listed = 0
    for p in range(level_q.shape[0]):
        first = listed
        goal = np.int64(target_q[p]) + drift_q
        change = goal - reference_q[p]
        rises = change >= 0
        contrast = on_q[p if each_on else 0] if rises else off_q[p if each_off else 0]
        if abs(change) >= contrast:
            slope = abs(goal - level_q[p])
            per_level = np.float64(whole_us) / np.float64(slope)
            number = crossings(np.int32(abs(change)), contrast, inverse(contrast))
            step = np.int64(contrast if rises else -contrast)
            crossing = np.int64(reference_q[p])
            for _ in range(number):
                crossing += step
                rise = abs(crossing - level_q[p])
                product = rise * whole_us
                after_us = np.int64(np.float64(rise) * per_level)
                # the least time with after_us · slope ≥ rise · whole_us
                if after_us * slope < product:
                    after_us += 1
                elif (after_us - 1) * slope >= product:
                    after_us -= 1
                pixel[listed], polarity[listed], time_us[listed] = p, 0 if rises else 1, start_us + after_us
                listed += 1
            reference_q[p] = crossing
        if shot_us.shape[0] and shot_us[p] != 0:
            listed = _insert(p, shot_us[p], first, listed, pixel, polarity, time_us)
        if last_us.shape[0] and listed > first:
            listed, last_us[p] = _drop(refractory_us, last_us[p], first, listed, pixel, polarity, time_us)
    return listed


@compiled
def _insert(p: int, shot_us: int, first: int, listed: int, pixel: Ints, polarity: Any, time_us: Longs) -> int:
    """Put a noise event among the pixel's events first..listed by time, after those of its own microsecond."""
    at, when = listed, abs(shot_us)
    while at > first and time_us[at - 1] > when:
        polarity[at], time_us[at] = polarity[at - 1], time_us[at - 1]
        at -= 1
    polarity[at], time_us[at] = 0 if shot_us > 0 else 1, when
    pixel[listed] = p
    return listed + 1


@compiled
def _drop(
    refractory_us: int, last_us: int, first: int, listed: int, pixel: Ints, polarity: Any, time_us: Longs
) -> tuple[int, int]:
    """Keep those of the pixel's events first..listed that come late enough after the one kept before."""
    kept = first
    for event in range(first, listed):
        if time_us[event] - last_us >= refractory_us:
            last_us = time_us[event]
            pixel[kept], polarity[kept], time_us[kept] = pixel[event], polarity[event], last_us
            kept += 1
    return kept, last_us


@compiled
def count_listed(pixel: Ints, polarity: NDArray[np.uint8], counts: Ints) -> None:
    """Add one to counts `[2, P]` for every event."""
    for event in range(pixel.shape[0]):
        counts[polarity[event], pixel[event]] += 1


@compiled
def number_of_crossings(target_q: Ints, drift_q: Any, reference_q: Ints, on_q: Ints, off_q: Ints) -> int:
    """Return how many events a step has, without moving anything; arguments as for `list_crossings`."""
    each = max(on_q.shape[0], off_q.shape[0]) > 1
    total = np.int64(0)
    for start in range(0, target_q.shape[0], BLOCK):
        target, reference = target_q[start : start + BLOCK], reference_q[start : start + BLOCK]
        if each:
            total += _number_mismatched(
                target, drift_q, reference, on_q[start : start + BLOCK], off_q[start : start + BLOCK]
            )
        else:
            total += _number(target, drift_q, reference, on_q[0], off_q[0])
    return int(total)


@compiled
def _number(target_q: Ints, drift_q: Any, reference_q: Ints, on_q: Any, off_q: Any) -> Any:
    """Return the number of a block, which fits int32."""
    per_on, per_off = inverse(on_q), inverse(off_q)
    total = np.int32(0)
    for p in range(target_q.shape[0]):
        change = np.int32(np.int32(target_q[p] + drift_q) - reference_q[p])
        rises = change >= 0
        contrast = on_q if rises else off_q
        total = np.int32(total + crossings(np.int32(abs(change)), contrast, per_on if rises else per_off))
    return total


@compiled
def _number_mismatched(target_q: Ints, drift_q: Any, reference_q: Ints, on_q: Ints, off_q: Ints) -> Any:
    """Do the same with thresholds of each pixel's own."""
    total = np.int32(0)
    for p in range(target_q.shape[0]):
        change = np.int32(np.int32(target_q[p] + drift_q) - reference_q[p])
        on, off = on_q[p], off_q[p]
        contrast = on if change >= 0 else off
        total = np.int32(total + crossings(np.int32(abs(change)), contrast, inverse(contrast)))
    return total


@compiled
def add_patches(counts: Ints, width_px: int, patch_px: tuple[int, int], pooled: Ints) -> None:
    """Add counts `[2, H·W]` to `pooled` `[2, rows, columns]`, the sums over patches of (height, width) `patch_px`."""
    tall, wide = patch_px
    columns = np.empty(width_px, np.int32)
    for sign in range(2):
        for row in range(pooled.shape[1]):
            # whole rows first, which is done in vectors
            columns[:] = 0
            for y in range(row * tall, (row + 1) * tall):
                pixels = counts[sign, y * width_px : (y + 1) * width_px]
                for x in range(width_px):
                    columns[x] += pixels[x]
            for column in range(pooled.shape[2]):
                total = np.int32(0)
                for x in range(column * wide, (column + 1) * wide):
                    total = np.int32(total + columns[x])
                pooled[sign, row, column] += total
