"""Waveforms of the embedded benchmark: chirps and pulse trains above a noise floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FADE_S = 0.02


def render_sound(sound: str, *, num_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Synthesise one clip's sound; pitch, span, loudness, onset and noise floor are drawn at random.

    Args:
        sound: `rising` or `falling` (a chirp whose pitch moves evenly in octaves) or `pulses` (tone bursts).
        num_samples: N.
        sample_rate_hz: at least 12 000, so that the highest tone fits.
        rng: source of the draw.

    Returns:
        float32 mono `[N]`, −1..1.
    """
    time_s = np.arange(num_samples) / sample_rate_hz
    duration_s = num_samples / sample_rate_hz
    begin_s, end_s = rng.uniform(0, 0.1) * duration_s, rng.uniform(0.9, 1.0) * duration_s
    if sound == "pulses":
        wave = _pulses(time_s - begin_s, rng)
    else:
        wave = _chirp((time_s - begin_s) / (end_s - begin_s), end_s - begin_s, rising=sound == "rising", rng=rng)
    envelope = np.clip(np.minimum(time_s - begin_s, end_s - time_s) / FADE_S, 0, 1)
    amplitude = 10 ** rng.uniform(-0.7, -0.1)
    noise = 10 ** rng.uniform(-3.0, -2.3) * rng.standard_normal(num_samples)
    return np.clip(amplitude * envelope * wave + noise, -1, 1).astype(np.float32)


def _chirp(
    progress: NDArray[np.float64], span_s: float, *, rising: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a sine whose frequency runs from f0 to f1 as f0 (f1/f0)^progress."""
    low_hz, high_hz = rng.uniform(250, 450), rng.uniform(3000, 4800)
    start_hz, stop_hz = (low_hz, high_hz) if rising else (high_hz, low_hz)
    octaves = np.log(stop_hz / start_hz)
    cycles = start_hz * span_s * np.expm1(progress * octaves) / octaves
    return np.asarray(np.sin(2 * np.pi * cycles))


def _pulses(time_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return tone bursts of 30 % duty at 4..7 per second."""
    rate_hz, tone_hz = rng.uniform(4, 7), rng.uniform(600, 2000)
    burst = np.clip(8 * (0.3 - np.mod(time_s * rate_hz, 1.0)), 0, 1)
    return np.asarray(burst * np.sin(2 * np.pi * tone_hz * time_s))
