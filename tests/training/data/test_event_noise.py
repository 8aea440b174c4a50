"""Noise of the pixels: the rule with noise against the slow reference, rates, and independence of how it is cut."""

from itertools import pairwise

import numpy as np
import pytest

from hardware_profiles.errors import ConfigError
from training.data.event_noise import PixelNoise
from training.data.event_pixels import EventGenerator
from training.data.events import EventConfig, log_intensity_q, visual_event_counts, visual_spikes

from .event_reference import by_pixel, run, slow_events

NUM_PIXELS = 400
TIMES_US = [0, 40_000, 73_333, 73_334, 500_000, 1_500_000]
NOISES = {
    "mismatch": {"contrast_sigma_q": 3000},
    "leak": {"leak_q_per_s": 20_000},
    "shots": {"shot_hz": 4.0},
    "all": {"contrast_sigma_q": 3000, "leak_q_per_s": 20_000, "shot_hz": 4.0, "seed": 3},
}


def levels(seed=0):
    return np.random.default_rng(seed).integers(-30_000, 30_000, (len(TIMES_US), NUM_PIXELS))


def generator(first_q, noise, refractory_us=0):
    return EventGenerator(
        first_q, 0, contrast_on_q=9000, contrast_off_q=12_000, refractory_us=refractory_us, noise=noise
    )


@pytest.mark.parametrize("refractory_us", [0, 30_000])
@pytest.mark.parametrize("name", NOISES)
def test_every_event_equals_the_slow_reference_on_levels_that_rise(name, refractory_us):
    """References that sink are levels that rise: here the levels of the whole sequence rise, once and for all."""
    noise = PixelNoise(**NOISES[name])
    level_q = levels()
    pixels = generator(level_q[0], noise, refractory_us)
    start_q = pixels.reference_q.tolist()
    thresholds = [np.broadcast_to(contrast_q, NUM_PIXELS).tolist() for contrast_q in pixels.contrast_q]
    got = by_pixel(run(pixels, level_q, TIMES_US), NUM_PIXELS)
    risen = level_q + np.array([[time_us * noise.leak_q_per_s // 1_000_000] for time_us in TIMES_US])
    shots = [[] for _ in range(NUM_PIXELS)]
    if noise.shot_hz:
        for frame, (start_us, end_us) in enumerate(pairwise(TIMES_US)):
            for pixel, signed_us in enumerate(noise.shots_us(frame, NUM_PIXELS, start_us, end_us).tolist()):
                assert signed_us == 0 or start_us < abs(signed_us) <= end_us
                shots[pixel] += [(int(signed_us < 0), abs(signed_us))] if signed_us else []
    expected = [
        slow_events(
            risen[:, p].tolist(), TIMES_US, thresholds[0][p], thresholds[1][p],
            refractory_us=refractory_us, reference=start_q[p], shots=shots[p],
        )
        for p in range(NUM_PIXELS)
    ]  # fmt: skip
    assert got == expected
    ideal = by_pixel(run(generator(level_q[0], None, refractory_us), level_q, TIMES_US), NUM_PIXELS)
    assert got != ideal and sum(map(len, got)) > 1000


def test_a_shot_comes_after_a_crossing_of_its_microsecond_and_holds_back_what_follows():
    class Shots(PixelNoise):
        def shots_us(self, frame, num_pixels, start_us, end_us):
            return np.array([-40, 0, 1])

    def listed(refractory_us):
        pixels = EventGenerator(
            np.zeros(3, np.int64), 0, contrast_on_q=1000, contrast_off_q=1000, refractory_us=refractory_us,
            noise=Shots(shot_hz=1.0),
        )  # fmt: skip
        return by_pixel([pixels.step(np.array([3500, 0, -1000]), 70)], 3)

    # crossings at 20, 40 and 60 µs, and at 70
    assert listed(0) == [[(0, 20), (0, 40), (1, 40), (0, 60)], [], [(0, 1), (1, 70)]]
    assert listed(21) == [[(0, 20), (0, 60)], [], [(0, 1), (1, 70)]]
    assert listed(70) == [[(0, 20)], [], [(0, 1)]]


@pytest.mark.parametrize("name", NOISES)
def test_counts_are_those_of_the_listed_events(name):
    level_q = levels(1)
    listing, counting = (generator(level_q[0], PixelNoise(**NOISES[name])) for _ in range(2))
    for start_us, end_us, level in zip(TIMES_US, TIMES_US[1:], level_q[1:], strict=False):
        events = listing.step(level, end_us)
        for until_us in sorted({(start_us + end_us + 1) // 2, end_us}):
            counts = np.zeros((2, NUM_PIXELS), np.int32)
            counting.count(level, end_us, until_us, counts)
            new = (events.time_us > start_us) & (events.time_us <= until_us)
            expected = np.zeros_like(counts)
            np.add.at(expected, (events.polarity[new], events.pixel[new]), 1)
            np.testing.assert_array_equal(counts, expected)
            start_us = until_us


def test_thresholds_scatter_by_sigma_and_stay_above_a_quarter():
    nominal_q = [np.array([10_000], np.int32), np.array([20_000], np.int32)]
    on_q, off_q = PixelNoise(contrast_sigma_q=1500).mismatched(nominal_q, 20_000)
    for own_q, contrast_q in ((on_q, 10_000), (off_q, 20_000)):
        assert abs(own_q.mean() - contrast_q) < 50 and abs(own_q.std() - 1500) < 50
    assert abs(np.corrcoef(on_q, off_q)[0, 1]) < 0.03
    wide_q, _ = PixelNoise(contrast_sigma_q=9000).mismatched(nominal_q, 20_000)
    assert wide_q.min() == 2500


def test_still_frames_leak_on_events_at_the_rate_and_not_all_at_once():
    frames = np.full((26, 40, 40, 3), 90, np.uint8)
    times_us = np.arange(26) * 1_000_000
    counts = visual_event_counts(frames, times_us, EventConfig(leak_hz=0.1), num_bins=25, duration_us=25_000_000)
    assert not counts[:, 1].any()
    assert set(counts[:, 0].sum(axis=0)) <= {2, 3} and abs(counts.sum() - 1600 * 2.5) < 100
    assert counts[:, 0].sum(axis=1).min() > 100


def test_shots_have_their_rate_both_polarities_and_all_times():
    noise = PixelNoise(shot_hz=2.0, seed=1)
    signed_us = np.concatenate([noise.shots_us(k, 10_000, 50_000 * k, 50_000 * (k + 1)) for k in range(4)])
    num = np.count_nonzero(signed_us)
    again = np.count_nonzero((signed_us[:10_000] != 0) & (signed_us[10_000:20_000] != 0))
    assert again < 200  # 1000 in each frame, and not of the same pixels
    assert abs(num - 40_000 * 0.1) < 250 and abs(np.count_nonzero(signed_us > 0) - num / 2) < 150
    within_us = (np.abs(signed_us[signed_us != 0]) - 1) % 50_000
    assert abs(within_us.mean() - 25_000) < 1000 and within_us.min() < 200 and within_us.max() > 49_800
    assert np.count_nonzero(PixelNoise(shot_hz=1000.0).shots_us(0, 100, 0, 1_000_000)) == 100


def test_noise_follows_from_the_seed_alone():
    frames = np.random.default_rng(0).integers(0, 255, (7, 16, 16, 3), np.uint8)
    times_us = np.arange(7) * 33_333

    def counts(num_frames=7, **settings):
        config = EventConfig(contrast_sigma=0.03, leak_hz=1.0, shot_hz=10.0, **settings)
        return visual_event_counts(
            frames[:num_frames], times_us[:num_frames], config, num_bins=6, duration_us=int(times_us[-1])
        )

    whole = counts()
    np.testing.assert_array_equal(counts(), whole)
    # a shorter sequence has the same noise as the beginning of a longer one
    np.testing.assert_array_equal(counts(4)[:3], whole[:3])
    assert (counts(noise_seed=1) != whole).any()
    assert visual_spikes(
        frames, times_us, EventConfig(shot_hz=100.0, min_events=1), num_bins=6, duration_us=200_000
    ).any()


def test_leak_between_frames_far_apart_is_refused():
    config = EventConfig(leak_hz=100.0, contrast_on=5.0)
    level_q = log_intensity_q(np.zeros((4, 4, 3), np.uint8), config.log_eps).ravel()
    with pytest.raises(ConfigError, match="leak_hz: 3600 s between two frames") as caught:
        config.generator(level_q, 0).step(level_q, 3_600_000_000)
    assert "\n" not in str(caught.value)
