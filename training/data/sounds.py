"""Waveforms of the embedded benchmark: one pattern per burst of activity, above a noise floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .activity import Activity

Wave = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One sound of a clip.

    Attributes:
        kind: one of `attributes.SOUNDS`.
        activity: when it is heard; its amplitude follows the speed.
        amplitude: at full speed, 0..1.
    """

    kind: str
    activity: Activity
    amplitude: float


def draw_amplitude(rng: np.random.Generator) -> float:
    """Draw how loud a clip's own sound is: −14 to −2 dB."""
    return float(10 ** rng.uniform(-0.7, -0.1))


def render_sound(
    voices: tuple[Voice, ...], *, num_samples: int, shown_samples: int, sample_rate_hz: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Synthesise one clip's sound; pitches, rates and the noise floor (−60 to −46 dB) are drawn at random.

    Args:
        voices: what is heard.
        num_samples: N.
        shown_samples: samples until the last frame appears, which is where activities end; later ones are rest.
        sample_rate_hz: at least 12 000, so that the highest tone fits.
        rng: source of the draw.

    Returns:
        float32 mono `[N]`, −1..1.
    """
    time = (np.arange(num_samples) + 0.5) / shown_samples
    duration_s = shown_samples / sample_rate_hz
    mixed = 10 ** rng.uniform(-3.0, -2.3) * rng.standard_normal(num_samples)
    for voice in voices:
        mixed += voice.amplitude * voice.activity.speed(time) * _wave(voice, time, duration_s, rng)
    return np.clip(mixed, -1, 1).astype(np.float32)


def _wave(voice: Voice, time: Wave, duration_s: float, rng: np.random.Generator) -> Wave:
    """Return the wave at full amplitude; every burst begins its pattern anew."""
    low_hz, high_hz = rng.uniform(250, 450), rng.uniform(3000, 4800)
    tone_hz, rate_hz = rng.uniform(600, 2000), rng.uniform(11, 15)
    wave = np.zeros_like(time)
    for burst in voice.activity.bursts:
        now = slice(*np.searchsorted(time, (burst.begin, burst.end)))
        since_s, span_s = (time[now] - burst.begin) * duration_s, (burst.end - burst.begin) * duration_s
        if voice.kind == "rising":
            wave[now] = _chirp(since_s, span_s, low_hz, high_hz)
        elif voice.kind == "falling":
            wave[now] = _chirp(since_s, span_s, high_hz, low_hz)
        elif voice.kind == "pulses":
            wave[now] = _pulses(since_s, rate_hz, tone_hz)
        else:
            wave[now] = rng.uniform(-1, 1, len(since_s))
    return wave


def _chirp(since_s: Wave, span_s: float, start_hz: float, stop_hz: float) -> Wave:
    """Return a sine whose frequency runs from f0 to f1 as f0 (f1/f0)^(t/span), evenly in octaves."""
    octaves = np.log(stop_hz / start_hz)
    cycles = start_hz * span_s * np.expm1(since_s / span_s * octaves) / octaves
    return np.asarray(np.sin(2 * np.pi * cycles))


def _pulses(since_s: Wave, rate_hz: float, tone_hz: float) -> Wave:
    """Return tone bursts of 40 % duty."""
    burst = np.clip(8 * (0.4 - np.mod(since_s * rate_hz, 1.0)), 0, 1)
    return np.asarray(burst * np.sin(2 * np.pi * tone_hz * since_s))
