"""Rendered waveforms: where the energy is, and when."""

import numpy as np
import pytest

from training.data.attributes import SOUNDS
from training.data.sounds import render_sound

RATE_HZ = 16_000


def sound_of(kind, seed):
    return render_sound(kind, num_samples=17_000, sample_rate_hz=RATE_HZ, rng=np.random.default_rng(seed))


def peak_hz(piece):
    return np.abs(np.fft.rfft(piece * np.hanning(len(piece)))).argmax() * RATE_HZ / len(piece)


@pytest.mark.parametrize("kind", SOUNDS)
def test_samples_are_in_range_and_decided_by_the_seed(kind):
    first = sound_of(kind, 1)
    assert first.dtype == np.float32 and first.shape == (17_000,)
    assert 0.1 < np.abs(first).max() <= 1
    np.testing.assert_array_equal(first, sound_of(kind, 1))
    assert not np.array_equal(first, sound_of(kind, 2))


@pytest.mark.parametrize(("kind", "sign"), [("rising", 1), ("falling", -1)])
def test_chirps_move_evenly_in_octaves(kind, sign):
    for seed in range(6):
        sound = sound_of(kind, seed)
        octaves = np.log2([peak_hz(sound[start : start + 1024]) for start in range(2500, 14_000, 1024)])
        steps = sign * np.diff(octaves)
        assert (steps > 0).all() and steps.max() < 3 * steps.min()


def test_pulses_come_and_go():
    for seed in range(6):
        sound = sound_of("pulses", seed)
        loud = np.array([piece.std() for piece in np.array_split(sound, 170)])
        is_on = loud > 0.3 * loud.max()
        bursts = np.count_nonzero(np.diff(is_on.astype(int)) == 1)
        assert 3 <= bursts <= 8 and 0.1 < is_on.mean() < 0.5
