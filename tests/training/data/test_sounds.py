"""Rendered waveforms: where the energy is, and when."""

import numpy as np
import pytest

from training.data.activity import WHOLE, Activity, Burst, draw_activity
from training.data.attributes import SOUNDS
from training.data.sounds import Voice, draw_amplitude, render_sound

RATE_HZ = 16_000
BURSTS = Activity((Burst(0.1, 0.4, 1.0), Burst(0.6, 0.9, 0.7)))


def sound_of(*voices, seed=0):
    return render_sound(
        voices, num_samples=17_000, shown_samples=16_000, sample_rate_hz=RATE_HZ, rng=np.random.default_rng(seed)
    )


def one(kind, seed=0, activity=WHOLE):
    return sound_of(Voice(kind=kind, activity=activity, amplitude=0.5), seed=seed)


def peak_hz(piece):
    return np.abs(np.fft.rfft(piece * np.hanning(len(piece)))).argmax() * RATE_HZ / len(piece)


@pytest.mark.parametrize("kind", SOUNDS)
def test_samples_are_in_range_and_decided_by_the_seed(kind):
    first = one(kind, 1)
    assert first.dtype == np.float32 and first.shape == (17_000,)
    assert 0.4 < np.abs(first).max() <= 0.55
    np.testing.assert_array_equal(first, one(kind, 1))
    assert not np.array_equal(first, one(kind, 2))


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_loud_in_bursts_as_they_are_fast_and_silent_in_rests(kind, seed):
    sound = one(kind, seed, BURSTS)

    def rms(begin, end):
        return sound[round(begin * 16_000) : round(end * 16_000)].std()

    floor = rms(0.41, 0.59)
    assert max(floor, rms(0, 0.1), rms(0.91, 1.06)) < 0.008
    assert rms(0.1, 0.4) > 10 * floor and rms(0.6, 0.9) > 10 * floor
    assert rms(0.6, 0.9) / rms(0.1, 0.4) == pytest.approx(0.7, rel=0.1)


@pytest.mark.parametrize(("kind", "sign"), [("rising", 1), ("falling", -1)])
def test_chirps_move_evenly_in_octaves_in_every_burst(kind, sign):
    for seed in range(6):
        for activity, pieces in ((WHOLE, [(1500, 14_500)]), (BURSTS, [(2100, 6000), (10_100, 14_000)])):
            sound = one(kind, seed, activity)
            for first, last in pieces:
                octaves = np.log2([peak_hz(sound[start : start + 512]) for start in range(first, last - 512, 512)])
                steps = sign * np.diff(octaves)
                assert (steps > 0).all() and steps.max() < 3.5 * steps.min()


def test_pulses_come_and_go():
    for seed in range(6):
        loud = np.array([piece.std() for piece in np.array_split(one("pulses", seed)[:16_000], 200)])
        is_on = loud > 0.3 * loud.max()
        assert 10 <= np.count_nonzero(np.diff(is_on.astype(int)) == 1) <= 15 and 0.2 < is_on.mean() < 0.55


def test_noise_has_no_pitch_and_the_others_have():
    def flatness(kind, seed):
        power = np.abs(np.fft.rfft(one(kind, seed)[4000:5024])) ** 2
        return np.exp(np.log(power).mean()) / power.mean()

    for seed in range(6):
        assert flatness("noise", seed) > 0.4
        assert all(flatness(kind, seed) < 0.1 for kind in ("rising", "falling"))


def test_voices_add_up():
    own = Voice(kind="rising", activity=BURSTS, amplitude=0.5)
    distractor = Voice(kind="noise", activity=BURSTS.rests(), amplitude=0.5)
    alone, both = sound_of(own), sound_of(own, distractor)
    np.testing.assert_array_equal(alone[1700:6300], both[1700:6300])
    assert both[6600:9400].std() > 10 * alone[6600:9400].std()
    assert not np.array_equal(sound_of(own), sound_of())


def test_loudness_is_drawn():
    drawn = [draw_amplitude(np.random.default_rng(seed)) for seed in range(50)]
    assert 0.19 < min(drawn) < 0.3 and 0.65 < max(drawn) < 0.8


def test_every_burst_of_a_drawn_activity_is_heard():
    for seed in range(8):
        activity = draw_activity(0.5, np.random.default_rng(seed))
        sound = one("rising", seed, activity)
        loud = [sound[round(b.begin * 16_000) : round(b.end * 16_000)].std() for b in activity.bursts]
        assert min(loud) > 0.1
