"""The filter bank on tones of known power, and the events of chirps."""

import numpy as np
import pytest

from hardware_profiles.errors import ConfigError
from training.data.activity import WHOLE
from training.data.audio import AudioConfig, audio_features, band_levels_db, mel_filters
from training.data.sounds import Voice, render_sound

RATE_HZ = 16_000
SECOND_US = 1_000_000


def features(sound, **settings):
    return audio_features(sound, RATE_HZ, AudioConfig(**settings), num_bins=16, duration_us=SECOND_US)


def chirp(kind, seed=0):
    voice = Voice(kind=kind, activity=WHOLE, amplitude=0.5)
    rng = np.random.default_rng(seed)
    return render_sound((voice,), num_samples=RATE_HZ, shown_samples=RATE_HZ, sample_rate_hz=RATE_HZ, rng=rng)


def test_filters_are_triangles_that_add_up_to_one():
    filters = mel_filters(32, 125.0, 512, RATE_HZ)
    frequency_hz = np.fft.rfftfreq(512, 1 / RATE_HZ)
    centres = filters.argmax(axis=1)
    assert filters.shape == (32, 257) and (np.diff(centres) > 0).all()
    inside = (frequency_hz >= frequency_hz[centres[0]] + 50) & (frequency_hz <= frequency_hz[centres[-1]] - 50)
    np.testing.assert_allclose(filters.sum(axis=0)[inside], 1.0, rtol=1e-12)


def test_a_full_scale_sine_has_minus_3_db_in_all():
    sine = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    levels = band_levels_db(sine, RATE_HZ, AudioConfig(floor_db=-120.0), num_times=9, duration_us=SECOND_US)
    power = (10 ** (levels / 10)).sum(axis=1)
    np.testing.assert_allclose(10 * np.log10(power), -3.0103, atol=0.02)


@pytest.mark.parametrize("num_times", [2, 64, 65, 200])
def test_levels_are_those_of_each_window_alone(num_times):
    sound = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)
    levels = band_levels_db(sound, RATE_HZ, AudioConfig(), num_times=num_times, duration_us=SECOND_US)
    window, filters = np.hanning(513)[:-1], mel_filters(32, 125.0, 512, RATE_HZ)
    for k, centre in enumerate(np.linspace(0, RATE_HZ, num_times)):
        first = int(np.clip(np.rint(centre - 256), 0, RATE_HZ - 512))
        spectrum = np.fft.rfft(sound[first : first + 512].astype(np.float64) * window)
        power = 2 * np.abs(spectrum) ** 2 / (512 * np.sum(window**2))
        np.testing.assert_array_equal(levels[k], np.maximum(10 * np.log10(filters @ power + 1e-30), -60.0))
    assert levels.min() > -60


def test_energies_follow_the_pitch_and_stay_in_0_to_1():
    energies, _ = features(chirp("rising"))
    assert energies.dtype == np.float32 and energies.shape == (16, 32)
    assert energies.min() == 0 and 0.5 < energies.max() <= 1
    loudest = energies[2:14].argmax(axis=1)
    assert (np.diff(loudest) >= 0).all() and loudest[-1] - loudest[0] > 8


def test_rising_and_falling_chirps_differ_in_order_not_in_band():
    def onset_slope(kind, seed):
        _, spikes = features(chirp(kind, seed))
        time, band = np.nonzero(spikes.reshape(16, 2, 32)[:, 0])
        return np.corrcoef(time, band)[0, 1]

    for seed in range(8):
        assert onset_slope("rising", seed) > 0.8
        assert onset_slope("falling", seed) < -0.8
        assert abs(onset_slope("pulses", seed)) < 0.5


def test_tone_burst_makes_on_then_off_events_in_its_band():
    time_s = np.arange(RATE_HZ) / RATE_HZ
    burst = np.where((time_s > 0.3) & (time_s < 0.6), np.sin(2 * np.pi * 1000 * time_s), 0).astype(np.float32)
    energies, spikes = features(burst)
    on, off = spikes.reshape(16, 2, 32).transpose(1, 0, 2)
    band = energies.max(axis=0).argmax()
    assert set(np.nonzero(on[:, band])[0]) <= {4, 5}
    assert set(np.nonzero(off[:, band])[0]) <= {8, 9, 10}
    assert on[:, band].any() and off[:, band].any()


def test_silence_and_constant_noise_floor_below_the_level_floor_are_silent():
    energies, spikes = features(np.zeros(RATE_HZ, np.float32))
    assert not energies.any() and not spikes.any()


def test_short_sound_is_followed_by_silence():
    energies, _ = features(chirp("rising")[: RATE_HZ // 2])
    assert energies[:7].any() and not energies[9:].any()
    assert features(np.zeros(0, np.float32))[0].shape == (16, 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_bands": 2}, "num_bands is 2, allowed"),
        ({"floor_db": 0.0}, "floor_db is 0.0, allowed"),
        ({"contrast_db": float("nan")}, "contrast_db is nan, allowed"),
        ({"samples_per_bin": 0}, "samples_per_bin is 0, allowed"),
    ],
)
def test_config_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        AudioConfig(**values)


def test_filter_bank_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="low_hz is 9000, allowed is below half"):
        features(np.zeros(RATE_HZ, np.float32), low_hz=9000.0)
    with pytest.raises(ConfigError, match=r"num_bands 128 .* fewer bands or a longer window_ms"):
        features(np.zeros(RATE_HZ, np.float32), num_bands=128, window_ms=5.0)
