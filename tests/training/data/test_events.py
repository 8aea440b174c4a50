"""The event rule against a slow per-pixel reference in exact fractions, and against sequences derived by hand."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.errors import ConfigError
from training.data.events import (
    LEVEL_SCALE,
    EventConfig,
    EventGenerator,
    binarise,
    count_events,
    event_bins,
    log_intensity_q,
    pool_events,
    quantise_level,
    visual_event_counts,
    visual_spikes,
)

EXAMPLES = settings(deadline=None, derandomize=True, max_examples=150)


def slow_events(levels, times_us, on, off):
    """All events of one pixel, one crossing at a time: (polarity, time rounded up to whole microseconds)."""
    events = []
    reference, last_level, last_time = levels[0], levels[0], times_us[0]
    for level, time in zip(levels[1:], times_us[1:], strict=True):
        while level - reference >= on:
            reference += on
            when = last_time + Fraction(reference - last_level, level - last_level) * (time - last_time)
            events.append((0, ceil(when)))
        while reference - level >= off:
            reference -= off
            when = last_time + Fraction(reference - last_level, level - last_level) * (time - last_time)
            events.append((1, ceil(when)))
        last_level, last_time = level, time
    return events


@st.composite
def sequences(draw):
    num_frames, num_pixels = draw(st.integers(2, 8)), draw(st.integers(1, 4))
    level = st.integers(-60, 60) | st.integers(-200_000, 200_000)
    levels = draw(
        st.lists(st.lists(level, min_size=num_pixels, max_size=num_pixels), min_size=num_frames, max_size=num_frames)
    )
    gaps = draw(st.lists(st.integers(1, 70_000), min_size=num_frames - 1, max_size=num_frames - 1))
    large = max(abs(value) for row in levels for value in row) > 60
    contrast = st.integers(1000, 20_000) if large else st.integers(1, 25)
    return np.array(levels), [0, *np.cumsum(gaps).tolist()], draw(contrast), draw(contrast)


@EXAMPLES
@given(sequences())
def test_every_event_equals_the_slow_reference(sequence):
    levels, times_us, on, off = sequence
    pixels = EventGenerator(levels[0], 0, contrast_on_q=on, contrast_off_q=off)
    got = [[] for _ in levels[0]]
    for level, time in zip(levels[1:], times_us[1:], strict=True):
        previous_us = pixels.time_us
        events = pixels.step(level, time)
        assert ((previous_us < events.time_us) & (events.time_us <= time)).all()
        for pixel, polarity, when in zip(*(array.tolist() for array in events), strict=True):
            got[pixel].append((polarity, when))
    expected = [slow_events(levels[:, p].tolist(), times_us, on, off) for p in range(levels.shape[1])]
    assert got == expected


@EXAMPLES
@given(sequences(), st.integers(1, 20))
def test_bins_conserve_events_and_agree_with_the_definition(sequence, num_bins):
    levels, times_us, on, off = sequence
    duration_us = times_us[-1]
    counts = count_events(
        levels,
        times_us,
        contrast_on=on / LEVEL_SCALE,
        contrast_off=off / LEVEL_SCALE,
        num_bins=num_bins,
        duration_us=duration_us,
    )
    expected = np.zeros_like(counts)
    for pixel in range(levels.shape[1]):
        for polarity, time_us in slow_events(levels[:, pixel].tolist(), times_us, on, off):
            inside = [b for b in range(num_bins) if b * duration_us < time_us * num_bins <= (b + 1) * duration_us]
            expected[inside[0], polarity, pixel] += 1
            assert len(inside) == 1
    np.testing.assert_array_equal(counts, expected)


def test_sequence_derived_by_hand():
    # C_on 10, C_off 20, frames 100 µs apart, reference 0 at first.
    # 0→25: crossings 10, 20 at 40, 80 µs; reference 20.   25→29: +9 is short of 10: none.
    # 29→30: exactly 30: fires (tie) at the frame's own time, 300 µs; reference 30.
    # 30→-15: 10, -10 at 300+ceil(20/45·100)=345 and 300+ceil(40/45·100)=389 µs; reference -10.
    pixels = EventGenerator(np.array([0]), 0, contrast_on_q=10, contrast_off_q=20)
    steps = [pixels.step(np.array([level]), time) for level, time in ((25, 100), (29, 200), (30, 300), (-15, 400))]
    assert [list(zip(s.polarity.tolist(), s.time_us.tolist(), strict=True)) for s in steps] == [
        [(0, 40), (0, 80)],
        [],
        [(0, 300)],
        [(1, 345), (1, 389)],
    ]
    assert pixels.reference_q.tolist() == [-10]


def test_slow_change_fires_because_the_residual_is_kept():
    levels = [np.array([3 * k]) for k in range(21)]  # 60 in all, never 10 between frames
    counts = count_events(levels, range(21), contrast_on=10 / LEVEL_SCALE, contrast_off=1.0, num_bins=1, duration_us=20)
    assert counts.tolist() == [[[6], [0]]]


def test_bin_edges_belong_to_the_earlier_bin():
    assert event_bins(np.array([1, 25, 26, 50, 100, 101]), 100, 4).tolist() == [0, 0, 1, 1, 3, 4]


def test_events_after_the_duration_are_not_counted():
    levels = [np.array([0]), np.array([100]), np.array([200])]
    counts = count_events(
        levels, (0, 10, 20), contrast_on=100 / LEVEL_SCALE, contrast_off=1.0, num_bins=2, duration_us=10
    )
    assert counts[:, 0, 0].tolist() == [0, 1]


def test_log_intensity_is_that_of_the_luma():
    frames = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [10, 200, 30]]], np.uint8)
    luma = np.array([0, 1, 77 / 256, (77 * 10 + 150 * 200 + 29 * 30) / 65280])
    assert log_intensity_q(frames, 0.05)[0].tolist() == quantise_level(np.log(luma + 0.05)).tolist()


def test_a_bright_object_has_on_events_ahead_and_off_events_behind():
    frames = np.full((9, 32, 32, 3), 60, np.uint8)
    for k in range(9):
        frames[k, 12:20, 4 + 2 * k : 12 + 2 * k] = 220
    counts = visual_event_counts(frames, np.arange(9) * 10_000, EventConfig(), num_bins=8, duration_us=80_000).reshape(
        8, 2, 32, 32
    )
    for b in range(8):
        # interval b moves the object from columns 4+2b.. to 6+2b..
        assert set(np.nonzero(counts[b, 0].sum(axis=0))[0]) == {12 + 2 * b, 13 + 2 * b}
        assert set(np.nonzero(counts[b, 1].sum(axis=0))[0]) == {4 + 2 * b, 5 + 2 * b}
    # ln((220/255 + .05)/(60/255 + .05)) = 1.162 nepers: five thresholds of 0.2
    assert counts[0, 0, 12, 12] == 5


def test_still_frames_make_no_event():
    frames = np.repeat(np.random.default_rng(0).integers(0, 255, (1, 16, 16, 3), np.uint8), 5, axis=0)
    assert not visual_event_counts(frames, np.arange(5), EventConfig(), num_bins=4, duration_us=4).any()


def test_pooling_conserves_events_and_spikes_are_thresholded_counts():
    counts = np.random.default_rng(0).integers(0, 3, (4, 2, 16 * 24))
    pooled = pool_events(counts, 16, 24, 8)
    assert pooled.shape == (4, 2, 8, 8) and pooled.sum() == counts.sum()
    assert pooled[1, 1, 2, 3] == counts[1, 1].reshape(16, 24)[4:6, 9:12].sum()
    spikes = binarise(pooled, 6)
    assert spikes.dtype == np.uint8 and spikes.shape == (4, 128)
    assert spikes.any() and not spikes.all()
    np.testing.assert_array_equal(spikes.reshape(pooled.shape) == 1, pooled >= 6)


def test_visual_spikes_order_is_polarity_row_column():
    frames = np.full((2, 32, 32, 3), 60, np.uint8)
    frames[1, 8:16, 24:32] = 220
    spikes = visual_spikes(frames, np.array([0, 100]), EventConfig(cells=4, min_events=1), num_bins=1, duration_us=100)
    assert np.nonzero(spikes[0])[0].tolist() == [1 * 4 + 3]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"contrast_on": 0.0}, "contrast_on is 0.0, allowed"),
        ({"contrast_off": float("nan")}, "contrast_off is nan, allowed"),
        ({"log_eps": 2.0}, "log_eps is 2.0, allowed"),
        ({"cells": 0}, "cells is 0, allowed"),
        ({"min_events": 0}, "min_events is 0, allowed"),
    ],
)
def test_config_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        EventConfig(**values)
