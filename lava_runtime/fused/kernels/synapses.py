"""Synaptic sums from events: only values other than zero are looked at, weights stay int8, sums are int32 or int64.

Values of type uint8 are spikes, 0 or 1; all others are graded, int32 or int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from export.trace import Array
from hardware_profiles.compiling import chosen_by_type, compiled

INT16_EVENTS = 255
"""int8 weights within ±128 that int16 can add without wrapping."""
TILE = 16
"""Places that are turned from channels-last to channels-first together: one cache line of int32."""


def weighed(value: Any, weight: Any) -> Any:
    """Return what an event adds: its weight if it is a spike, else value · weight."""
    raise NotImplementedError


@chosen_by_type(weighed)
def _weighed(value: Any, weight: Any) -> Any:
    def spike(value: Any, weight: Any) -> Any:
        return weight

    def graded(value: Any, weight: Any) -> Any:
        return value * weight

    return spike if value == types.uint8 else graded


@compiled
def count_messages(values: Array, counts: Array) -> None:
    """Add to counts[i] how many of values[:, i] are not zero.  values [rows, n], counts int64 [n]."""
    rows, size = values.shape
    part = np.empty(size, np.uint8)
    for start in range(0, rows, 255):  # a byte counts so far, and a register holds many of them
        part[:] = 0
        for row in range(start, min(start + 255, rows)):
            for i in range(size):
                part[i] += values[row, i] != 0
        for i in range(size):
            counts[i] += part[i]


@compiled
def add_steps(values: Array, sums: Array) -> None:
    """Add to sums [B, n] what was sent in every step.  values [T, B, n]."""
    num_steps, batch, size = values.shape
    for t in range(num_steps):
        for b in range(batch):
            for i in range(size):
                sums[b, i] += values[t, b, i]


@compiled
def count_all(values: Array) -> int:
    """Return how many entries are not zero.  values [rows, n]."""
    rows, size = values.shape
    total = 0
    for row in range(rows):
        for i in range(size):
            total += values[row, i] != 0
    return total


@compiled
def events_of(values: Array, events: Array) -> int:
    """Write the indices of the values that are not zero into events, int64 [n]; return how many there are."""
    count = 0
    for i in range(len(values)):
        events[count] = i
        count += values[i] != 0
    return count


@compiled
def spikes_of(spikes: Array, events: Array) -> int:
    """The same as `events_of` for bytes: eight at a time, most of which are zero."""
    words = spikes[: len(spikes) // 8 * 8].view(np.uint64)
    count = 0
    for word in range(len(words)):
        if words[word]:
            for i in range(8 * word, 8 * word + 8):
                events[count] = i
                count += spikes[i] != 0
    for i in range(8 * len(words), len(spikes)):
        events[count] = i
        count += spikes[i] != 0
    return count


@compiled
def add_in_int16(columns: Array, events: Array, part: Array) -> None:
    """Overwrite `part`, int16 [out], with the sum of the columns of at most INT16_EVENTS events."""
    part[:] = 0
    count, done = len(events), 0
    while done + 4 <= count:  # four at a time: the sums are loaded and stored a quarter as often
        a, b = columns[events[done]], columns[events[done + 1]]
        c, d = columns[events[done + 2]], columns[events[done + 3]]
        for o in range(len(part)):
            part[o] += np.int16(a[o]) + np.int16(b[o]) + np.int16(c[o]) + np.int16(d[o])
        done += 4
    while done < count:
        a = columns[events[done]]
        for o in range(len(part)):
            part[o] += a[o]
        done += 1


@compiled
def linear_spikes(spikes: Array, columns: Array, exponent: int, sums: Array) -> int:
    """sums[r, o] = (Σ_i columns[i, o] · spikes[r, i]) << exponent, for int8 weights: in int16, as far as that reaches.

    Args:
        spikes: uint8 [rows, in].
        columns: int8 [in, out], the transposed weights: what a spike adds lies together.
        exponent: left shift.
        sums: int32 or int64 [rows, out], overwritten.

    Returns:
        How many events there were.
    """
    rows, size = spikes.shape
    num_out = columns.shape[1]
    num_events = 0
    events, part = np.empty(size, np.int64), np.empty(num_out, np.int16)
    for row in range(rows):
        total, count = sums[row], spikes_of(spikes[row], events)
        num_events += count
        if count <= INT16_EVENTS:
            add_in_int16(columns, events[:count], part)
            for o in range(num_out):
                total[o] = part[o] << exponent
            continue
        total[:] = 0
        for start in range(0, count, INT16_EVENTS):
            add_in_int16(columns, events[start : min(start + INT16_EVENTS, count)], part)
            for o in range(num_out):
                total[o] += part[o] << exponent
    return num_events


@compiled
def linear_events(values: Array, columns: Array, exponent: int, sums: Array) -> int:
    """The same for values and weights of any type; arrays as in `linear_spikes`."""
    rows, size = values.shape
    num_out = columns.shape[1]
    num_events = 0
    events = np.empty(size, np.int64)
    for row in range(rows):
        total = sums[row]
        total[:] = 0
        count = events_of(values[row], events)
        num_events += count
        for event in events[:count]:
            value, weights = values[row, event], columns[event]
            for o in range(num_out):
                total[o] += weighed(value, weights[o])
        if exponent:
            for o in range(num_out):
                total[o] <<= exponent
    return num_events


@compiled
def convolve_events(
    values: Array, taps: Array, reach_y: Array, reach_x: Array, places: Array, exponent: int, sums: Array
) -> int:
    """sums[r, o, p] = (Σ over the taps that see p of weight · value) << exponent, for a convolution in two dimensions.

    Every event is spread over the windows that see it. Neighbouring windows see it through neighbouring taps (see
    `maps.reach`), and their output channels lie together: such a run is one inner loop.

    Args:
        values: [rows, in · height · width].
        taps: int8, or wider, [in, kernel height, kernel width · out / groups], in the order of the reaches.
        reach_y: int64 [height, 1 + kernel height, 3]: how many runs reach each row of the input in [:, 0, 0], then
            for each run its first tap, its first window and its length, which is 1.
        reach_x: int64 [width, 1 + kernel width, 3], the same for columns; runs are longer than 1 in one group only.
        places: int64 [2], windows in height and width.
        exponent: left shift.
        sums: int32 or int64 [rows, out, windows], overwritten.

    Returns:
        How many events there were.
    """
    num_events = 0
    channels, height, width = len(taps), len(reach_y), len(reach_x)
    num_out, num_places = sums.shape[1], places[0] * places[1]
    per_group = taps.shape[2] // (reach_x.shape[1] - 1)
    channels_per_group = channels // (num_out // per_group)
    events = np.empty(values.shape[1], np.int64)
    total = np.empty(num_places * num_out, sums.dtype)
    for row in range(len(values)):
        total[:] = 0
        count = events_of(values[row], events)
        num_events += count
        for event in events[:count]:
            value = values[row, event]
            channel, place = event // (height * width), event % (height * width)
            seen_y, seen_x = reach_y[place // width], reach_x[place % width]
            first = channel // channels_per_group * per_group
            for m in range(1, seen_y[0, 0] + 1):
                line, kernel_row = seen_y[m, 1] * places[1], taps[channel, seen_y[m, 0]]
                for n in range(1, seen_x[0, 0] + 1):
                    start, tap = (line + seen_x[n, 1]) * num_out + first, seen_x[n, 0] * per_group
                    length = seen_x[n, 2] * per_group
                    target, weights = total[start : start + length], kernel_row[tap : tap + length]
                    for o in range(length):
                        target[o] += weighed(value, weights[o])
        for begin in range(0, num_places, TILE):
            for o in range(num_out):
                for place in range(begin, min(begin + TILE, num_places)):
                    sums[row, o, place] = total[place * num_out + o] << exponent
    return num_events
