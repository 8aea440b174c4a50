"""What tells a real sensor's pixels from ideal ones: unequal thresholds, leak events, shot noise.

After v2e (Hu, Liu, Delbruck, CVPRW 2021, §3), in integers like the rule itself:

- mismatch: C_p = max(C + σ·g_p, C/4), g_p standard normal, drawn once per pixel and polarity;
- leak: every reference sinks in a straight line by `leak_hz` nominal ON thresholds a second, from a phase of its own,
  uniform in one threshold, so that pixels do not leak all at once. By L − (R − leak) = (L + leak) − R this is the
  same rule on a level that rises, and crossing times stay exact;
- shot noise: in each interval between two frames a pixel emits one event more with probability min(1, shot_hz · Δt), ON
  or OFF alike, at a time uniform in the interval's microseconds. References stay where they are. (v2e's lower rate in
  bright light is left out.)

Everything follows from the seed and, for shot noise, the number of the frame, so that a sequence cut into pieces has
the noise that it has whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.errors import ConfigError

MAX_LEAK_Q = 1 << 24
"""Bound on what leaks between two frames, as on levels."""
MICROSECONDS = 1_000_000
ON_PATTERN, OFF_PATTERN, PHASE, SHOTS = range(4)
"""Independent streams of random numbers under one seed."""


@dataclass(frozen=True, kw_only=True)
class PixelNoise:
    """Noise of all pixels of a sensor.

    Attributes:
        contrast_sigma_q: σ of the thresholds, in units of 2^-16.
        leak_q_per_s: what leaks in a second, in units of 2^-16.
        shot_hz: noise events per pixel and second.
        seed: of all random numbers.
    """

    contrast_sigma_q: int = 0
    leak_q_per_s: int = 0
    shot_hz: float = 0.0
    seed: int = 0

    def mismatched(self, contrast_q: list[NDArray[np.int32]], num_pixels: int) -> list[NDArray[np.int32]]:
        """Return the ON and OFF thresholds of each pixel, int32 `[P]`, from those of all, `[1]`."""
        if not self.contrast_sigma_q:
            return contrast_q
        own = []
        for stream, nominal_q in zip((ON_PATTERN, OFF_PATTERN), contrast_q, strict=True):
            normal = self._generator(stream).standard_normal(num_pixels)
            drawn_q = np.rint(nominal_q + self.contrast_sigma_q * normal)
            own.append(np.clip(drawn_q, lowest_q(int(nominal_q[0])), 1 << 24).astype(np.int32))
        return own

    def leaked_before_q(self, contrast_on_q: NDArray[np.int32], num_pixels: int) -> NDArray[np.int32]:
        """Return how far each reference has sunk at the first frame, int32 `[P]`, below one ON threshold."""
        if not self.leak_q_per_s:
            return np.zeros(num_pixels, np.int32)
        raw = self._generator(PHASE).bit_generator.random_raw(num_pixels)
        phase_q: NDArray[np.int32] = ((raw >> np.uint64(32)) * contrast_on_q.astype(np.uint64) >> np.uint64(32)).astype(
            np.int32
        )
        return phase_q

    def leak_q(self, start_us: int, end_us: int) -> int:
        """Return what leaks between two times; over pieces of time it adds up to what leaks in the whole.

        Raises:
            ConfigError: so much that it leaves the range of levels.
        """
        before_q, after_q = (time_us * self.leak_q_per_s // MICROSECONDS for time_us in (start_us, end_us))
        if after_q - before_q > MAX_LEAK_Q:
            raise ConfigError(
                f"leak_hz: {(end_us - start_us) / MICROSECONDS:g} s between two frames leak more than 256 nepers; "
                f"lower leak_hz"
            )
        return after_q - before_q

    def shots_us(self, frame: int, num_pixels: int, start_us: int, end_us: int) -> NDArray[np.int64]:
        """Return the time of each pixel's noise event on the way to the next frame.

        Args:
            frame: number of the frame at `start_us`, from 0.
            num_pixels: P.
            start_us: time of that frame.
            end_us: time of the next frame, less than 2^32 later.

        Returns:
            int64 `[P]`: t in start_us + 1..end_us for an ON event, −t for an OFF event, 0 for none.
        """
        interval_us = end_us - start_us
        raw = self._generator(SHOTS, frame).bit_generator.random_raw(num_pixels)
        chance = min(round(self.shot_hz * interval_us / MICROSECONDS * 2**32), 2**32)
        draw, moment = raw >> np.uint64(32), raw & np.uint64(0xFFFF_FFFF)
        time_us = start_us + 1 + (moment * np.uint64(interval_us) >> np.uint64(32)).astype(np.int64)
        sign = np.where(draw < chance // 2, 1, -1)
        return np.where(draw < chance, sign * time_us, 0)

    def _generator(self, stream: int, frame: int = 0) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence((self.seed, stream, frame))))


def lowest_q(contrast_q: int) -> int:
    """Return the lowest threshold that mismatch can make of a nominal one: a quarter."""
    return max(contrast_q // 4, 1)
