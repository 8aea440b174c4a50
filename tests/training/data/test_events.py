"""The event rule against a slow per-pixel reference in exact fractions, and against sequences derived by hand."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hardware_profiles.errors import ConfigError
from training.data.event_kernels import add_patches
from training.data.event_pixels import MAX_LEVEL_Q, EventGenerator
from training.data.events import (
    LEVEL_SCALE,
    EventConfig,
    binarise,
    count_events,
    event_bins,
    log_intensity_q,
    quantise_level,
    visual_event_counts,
    visual_spikes,
)

from .event_reference import by_pixel, run, slow_events

EXAMPLES = settings(deadline=None, derandomize=True, max_examples=150)


@st.composite
def sequences(draw):
    """Levels and thresholds: few values and hence ties, ordinary ones, and as large as they may be."""
    num_frames, num_pixels = draw(st.integers(2, 8)), draw(st.integers(1, 40))
    level, contrast = draw(
        st.sampled_from(
            (
                (st.integers(-60, 60).map(lambda value: 64 * value), st.integers(1, 25).map(lambda value: 64 * value)),
                (st.integers(-200_000, 200_000), st.integers(1000, 20_000)),
                (st.integers(1 - MAX_LEVEL_Q, MAX_LEVEL_Q - 1), st.integers(100_000, MAX_LEVEL_Q)),
            )
        )
    )
    row = st.lists(level, min_size=num_pixels, max_size=num_pixels)
    levels = draw(st.lists(row, min_size=num_frames, max_size=num_frames))
    gap_us = st.integers(1, 70_000) | st.just(1 << 32)
    gaps = draw(st.lists(gap_us, min_size=num_frames - 1, max_size=num_frames - 1))
    return np.array(levels), [0, *np.cumsum(gaps).tolist()], draw(contrast), draw(contrast)


@EXAMPLES
@given(sequences(), st.sampled_from((0, 1, 500, 20_000)), st.sampled_from((np.int32, np.int64)))
def test_every_event_equals_the_slow_reference(sequence, refractory_us, dtype):
    levels, times_us, on, off = sequence
    pixels = EventGenerator(
        levels[0].astype(dtype), 0, contrast_on_q=on, contrast_off_q=off, refractory_us=refractory_us
    )
    got = by_pixel(run(pixels, levels.astype(dtype), times_us), levels.shape[1])
    expected = [slow_events(column, times_us, on, off, refractory_us=refractory_us) for column in levels.T.tolist()]
    assert got == expected


def test_a_large_frame_equals_the_slow_reference():
    """More pixels than any block or vector, most of them firing, some not."""
    rng = np.random.default_rng(0)
    levels = rng.integers(-60_000, 60_000, (4, 2500))
    times_us = [0, 33_367, 66_733, 100_100]
    for refractory_us in (0, 9000):
        pixels = EventGenerator(levels[0], 0, contrast_on_q=13_107, contrast_off_q=9830, refractory_us=refractory_us)
        got = by_pixel(run(pixels, levels, times_us), 2500)
        expected = [slow_events(c, times_us, 13_107, 9830, refractory_us=refractory_us) for c in levels.T.tolist()]
        assert got == expected
        assert 1000 < sum(map(bool, got)) < 2500 and sum(map(len, got)) > 8000


def test_the_refractory_period_drops_events_and_moves_the_reference_all_the_same():
    # crossings at 20, 40, 60, 80, 100 µs; the one 40 µs after the last kept is just late enough
    pixels = EventGenerator(np.array([0]), 0, contrast_on_q=1000, contrast_off_q=1000, refractory_us=40)
    assert pixels.step(np.array([5000]), 100).time_us.tolist() == [20, 60, 100]
    assert pixels.reference_q.tolist() == [5000]
    # 39 µs after the event at 100 is too early, also across frames and for the other polarity
    assert pixels.step(np.array([4000]), 139).time_us.tolist() == []
    assert pixels.step(np.array([3000]), 140).time_us.tolist() == [140]


@EXAMPLES
@given(sequences(), st.integers(1, 20))
def test_bins_conserve_events_and_agree_with_the_definition(sequence, num_bins):
    levels, times_us, on, off = sequence
    assume(times_us[-1] <= 1 << 32)
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
    for pixel, column in enumerate(levels.T.tolist()):
        for polarity, time_us in slow_events(column, times_us, on, off):
            (inside,) = (b for b in range(num_bins) if b * duration_us < time_us * num_bins <= (b + 1) * duration_us)
            expected[inside, polarity, pixel] += 1
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.int32


@EXAMPLES
@given(sequences(), st.integers(1, 9), st.integers(0, 500))
def test_counts_up_to_any_time_are_those_of_the_listed_events(sequence, num_bins, refractory_us):
    levels, times_us, on, off = sequence
    listing, counting = (
        EventGenerator(levels[0], 0, contrast_on_q=on, contrast_off_q=off, refractory_us=refractory_us)
        for _ in range(2)
    )
    for start_us, end_us, level in zip(times_us, times_us[1:], levels[1:], strict=False):
        events = listing.step(level, end_us)
        untils = sorted({start_us + max(1, (end_us - start_us) * (n + 1) // num_bins) for n in range(num_bins)})
        before_us = start_us
        for until_us in untils:
            counts = np.zeros((2, levels.shape[1]), np.int32)
            counting.count(level, end_us, until_us, counts)
            new = (before_us < events.time_us) & (events.time_us <= until_us)
            expected = np.zeros_like(counts)
            np.add.at(expected, (events.polarity[new], events.pixel[new]), 1)
            np.testing.assert_array_equal(counts, expected)
            before_us = until_us
    np.testing.assert_array_equal(listing.reference_q, counting.reference_q)


def test_sequence_derived_by_hand():
    # C_on 1000, C_off 2000, frames 100 µs apart, reference 0 at first.
    # 0→2500: crossings 1000, 2000 at 40, 80 µs; reference 2000.   2500→2900: 900 is short of 1000: none.
    # 2900→3000: exactly 3000: fires (tie) at the frame's own time, 300 µs; reference 3000.
    # 3000→-1500: 1000, -1000 at 300+ceil(20/45·100)=345 and 300+ceil(40/45·100)=389 µs; reference -1000.
    pixels = EventGenerator(np.array([0]), 0, contrast_on_q=1000, contrast_off_q=2000)
    steps = [
        pixels.step(np.array([level]), time) for level, time in ((2500, 100), (2900, 200), (3000, 300), (-1500, 400))
    ]
    assert [list(zip(s.polarity.tolist(), s.time_us.tolist(), strict=True)) for s in steps] == [
        [(0, 40), (0, 80)],
        [],
        [(0, 300)],
        [(1, 345), (1, 389)],
    ]
    assert pixels.reference_q.tolist() == [-1000]


def test_slow_change_fires_because_the_residual_is_kept():
    levels = [np.array([300 * k]) for k in range(21)]  # 6000 in all, never 1000 between frames
    counts = count_events(
        levels, range(21), contrast_on=1000 / LEVEL_SCALE, contrast_off=1.0, num_bins=1, duration_us=20
    )
    assert counts.tolist() == [[[6], [0]]]


def test_bins_that_no_time_falls_into_are_empty_whatever_the_memory_held(monkeypatch):
    monkeypatch.setattr(np, "empty", lambda shape, dtype=float: np.full(shape, 7, dtype))
    levels = [np.array([0, 0]), np.array([2500, 0]), np.array([2500, -1000])]
    contrast = {"contrast_on": 1000 / LEVEL_SCALE, "contrast_off": 1000 / LEVEL_SCALE}
    # events at 2, 4 and 10 µs: bins of half a microsecond, and bins after the last frame
    counts = count_events(levels, (0, 5, 10), **contrast, num_bins=24, duration_us=12)
    assert np.argwhere(counts).tolist() == [[3, 0, 0], [7, 0, 0], [19, 1, 1]] and counts.max() == 1


def test_levels_out_of_range_are_refused():
    for dtype in (np.int32, np.int64):
        pixels = EventGenerator(np.array([0]), 0, contrast_on_q=1000, contrast_off_q=1000)
        with pytest.raises(AssertionError):
            pixels.count(np.array([MAX_LEVEL_Q], dtype), 10, 10, np.zeros((2, 1), np.int32))


def test_a_sequence_in_pieces_is_the_whole():
    """One frame at a time from a generator, and stopping amid it, change nothing."""
    frames = np.random.default_rng(1).integers(0, 255, (9, 16, 16, 3), np.uint8)
    times_us = np.arange(9) * 33_333
    config = EventConfig(refractory_us=2000)
    whole = visual_event_counts(frames, times_us, config, num_bins=5, duration_us=int(times_us[-1]))
    streamed = visual_event_counts(
        (frame for frame in frames), iter(times_us.tolist()), config, num_bins=5, duration_us=int(times_us[-1])
    )
    np.testing.assert_array_equal(streamed, whole)
    levels = [log_intensity_q(frame, config.log_eps).ravel() for frame in frames]
    pixels = config.generator(levels[0], 0)
    total = np.zeros((2, 256), np.int32)
    for level, time_us in zip(levels[1:], times_us[1:].tolist(), strict=True):
        for until_us in (time_us - 20_000, time_us):
            pixels.count(level, time_us, until_us, total)
    np.testing.assert_array_equal(total, whole.sum(axis=0))
    assert total.any() and not total.all()


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
    counts = np.random.default_rng(0).integers(0, 3, (4, 2, 16 * 24)).astype(np.int32)
    pooled = np.zeros((4, 2, 8, 8), np.int32)
    for in_bin, patches in zip(counts, pooled, strict=True):
        add_patches(in_bin, 24, (2, 3), patches)
    assert pooled.sum() == counts.sum()
    assert pooled[1, 1, 2, 3] == counts[1, 1].reshape(16, 24)[4:6, 9:12].sum()
    spikes = binarise(pooled, 6)
    assert spikes.dtype == np.uint8 and spikes.shape == (4, 128)
    assert spikes.any() and not spikes.all()
    np.testing.assert_array_equal(spikes.reshape(pooled.shape) == 1, pooled >= 6)


@pytest.mark.parametrize("num_bins", [1, 5, 8, 40])
def test_spikes_are_pooled_counts_of_pixels(num_bins):
    frames = np.random.default_rng(2).integers(0, 255, (9, 24, 32, 3), np.uint8)
    settings = {"num_bins": num_bins, "duration_us": 70_000}
    counts = visual_event_counts(frames, np.arange(9) * 10_000, EventConfig(), **settings)
    pooled = counts.reshape(num_bins, 2, 8, 3, 8, 4).sum(axis=(3, 5))
    config = EventConfig(cells=8, min_events=int(np.median(pooled)) + 1)
    spikes = visual_spikes(frames, np.arange(9) * 10_000, config, **settings)
    np.testing.assert_array_equal(spikes, (pooled >= config.min_events).reshape(num_bins, -1))
    assert spikes.any() and not spikes.all()


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
        ({"refractory_us": -1}, "refractory_us is -1, allowed"),
        ({"contrast_sigma": -0.1}, "contrast_sigma is -0.1, allowed"),
        ({"leak_hz": float("inf")}, "leak_hz is inf, allowed"),
        ({"shot_hz": -1.0}, "shot_hz is -1.0, allowed"),
        ({"noise_seed": -1}, "noise_seed is -1, allowed"),
    ],
)
def test_config_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        EventConfig(**values)
