"""Sound to band energies and to events: a filter bank whose bands obey the event rule, as in a silicon cochlea.

A band emits an ON (OFF) event whenever its level in decibels has risen (fallen) by one contrast threshold, by
exactly the rule of `events`. (Silicon cochleae with level-crossing outputs: Liu, van Schaik, Minch, Delbruck,
IEEE TBioCAS 8(4), 2014. The filter bank is the usual mel one: triangles that add up to 1.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.errors import ConfigError

from .events import binarise, count_events, quantise_level
from .video import MICROSECONDS

WINDOWS_AT_ONCE = 64
"""Windows that are transformed together, so that memory does not grow with the length of the sound."""


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """How sound becomes band energies and audio spikes.

    Attributes:
        num_bands: mel bands, 4..256.
        low_hz: lower edge of the lowest band, ≥ 20; the highest band ends at half the sampling rate.
        window_ms: length of the (Hann) analysis window, 5..200.
        floor_db: level taken for silence, in dB relative to a full-scale square wave, −120..−20.
        samples_per_bin: times that levels are sampled in each time bin, 1..64.
        contrast_db: rise or fall of a band's level that makes an event, 0.5..60.
    """

    num_bands: int = 32
    low_hz: float = 125.0
    window_ms: float = 32.0
    floor_db: float = -60.0
    samples_per_bin: int = 4
    contrast_db: float = 6.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("num_bands", 4, 256),
            ("low_hz", 20, 20_000),
            ("window_ms", 5, 200),
            ("floor_db", -120, -20),
            ("samples_per_bin", 1, 64),
            ("contrast_db", 0.5, 60),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are {low}..{high}")


@lru_cache(maxsize=8)
def mel_filters(num_bands: int, low_hz: float, num_window: int, sample_rate_hz: int) -> NDArray[np.float64]:
    """Return triangular filters `[num_bands, num_window // 2 + 1]` over the bins of a real FFT.

    Neighbouring triangles cross at one half and add up to 1; mel = 2595 log10(1 + f / 700).

    Raises:
        ConfigError: `low_hz` is not below half the sampling rate, or a band is narrower than the FFT can tell.
    """
    if low_hz >= sample_rate_hz / 2:
        raise ConfigError(f"low_hz is {low_hz:g}, allowed is below half of sample_rate_hz, {sample_rate_hz / 2:g}")
    mel_low, mel_high = (2595 * np.log10(1 + f / 700) for f in (low_hz, sample_rate_hz / 2))
    edges_hz = 700 * (10 ** (np.linspace(mel_low, mel_high, num_bands + 2) / 2595) - 1)
    frequency_hz = np.fft.rfftfreq(num_window, 1 / sample_rate_hz)[None, :]
    low, centre, high = (edges_hz[i : i + num_bands, None] for i in range(3))
    rising, falling = (frequency_hz - low) / (centre - low), (high - frequency_hz) / (high - centre)
    filters: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    if not filters.sum(axis=1).all():
        raise ConfigError(
            f"num_bands {num_bands} from {low_hz:g} Hz: the lowest bands fall between the frequencies of a window of "
            f"{num_window} samples; use fewer bands or a longer window_ms"
        )
    filters.flags.writeable = False
    return filters


def band_levels_db(
    sound: NDArray[np.float32], sample_rate_hz: int, config: AudioConfig, *, num_times: int, duration_us: int
) -> NDArray[np.float64]:
    """Return band levels L = max(10 log10 P, floor_db) at `num_times` equally spaced times 0..duration.

    P is the mean power that the band's filter passes, from a Hann window centred on the time; at both ends the
    window is moved inside the sound, so that no edge is heard. A sine of amplitude 1 has −3 dB in all.

    Args:
        sound: float32 mono `[N]`.
        sample_rate_hz: samples per second.
        config: filter bank.
        num_times: K ≥ 2.
        duration_us: time of the last sample.

    Returns:
        float64 `[K, num_bands]`, floor_db and above.
    """
    num_window = round(config.window_ms * 1e-3 * sample_rate_hz)
    filters = mel_filters(config.num_bands, config.low_hz, num_window, sample_rate_hz)
    num_needed = max(round(duration_us * sample_rate_hz / MICROSECONDS), num_window)
    heard = sound[:num_needed].astype(np.float64)
    heard = np.pad(heard, (0, num_needed - len(heard)))
    centre = np.linspace(0, num_needed, num_times)
    start = np.clip(np.rint(centre - num_window / 2), 0, num_needed - num_window).astype(np.int64)
    window = np.hanning(num_window + 1)[:-1]
    power_passed = np.empty((num_times, config.num_bands))
    for first in range(0, num_times, WINDOWS_AT_ONCE):
        block = slice(first, first + WINDOWS_AT_ONCE)
        spectra = np.fft.rfft(heard[start[block, None] + np.arange(num_window)] * window)
        # one-sided spectrum: twice the power; Parseval with the window's own power
        power = 2 * np.abs(spectra) ** 2 / (num_window * np.sum(window**2))
        for k, row in enumerate(power, first):  # one by one: a product of matrices would sum in another order
            power_passed[k] = filters @ row
    levels_db: NDArray[np.float64] = np.maximum(10 * np.log10(power_passed + 1e-30), config.floor_db)
    return levels_db


def audio_features(
    sound: NDArray[np.float32], sample_rate_hz: int, config: AudioConfig, *, num_bins: int, duration_us: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn sound into band energies and audio spikes over the same time bins.

    Args:
        sound: float32 mono `[N]`, starting with the first bin; zeros are added if it ends early.
        sample_rate_hz: samples per second.
        config: filter bank and event threshold.
        num_bins: T.
        duration_us: time that the bins cover.

    Returns:
        energies: float32 `[T, num_bands]`, mean level in each bin, 0 at floor_db and 1 at 0 dB.
        spikes: uint8 `[T, 2·num_bands]`, ordered polarity (ON, OFF), band from low to high.
    """
    num_times = num_bins * config.samples_per_bin + 1
    levels_db = band_levels_db(sound, sample_rate_hz, config, num_times=num_times, duration_us=duration_us)
    counts = count_events(
        quantise_level(levels_db),
        [k * duration_us // (num_times - 1) for k in range(num_times)],
        contrast_on=config.contrast_db,
        contrast_off=config.contrast_db,
        num_bins=num_bins,
        duration_us=duration_us,
    )
    in_bin = levels_db[1:].reshape(num_bins, config.samples_per_bin, config.num_bands).mean(axis=1)
    energies = np.clip(1 - in_bin / config.floor_db, 0, 1).astype(np.float32)
    return energies, binarise(counts, 1)
