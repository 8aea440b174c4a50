"""The event rule on tensors: frames are counted on the device that holds them, to the integers of `event_pixels`.

The operations are PyTorch's, in int32 and, where a level meets a time, int64; nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from hardware_profiles.errors import ConfigError

from .event_pixels import MAX_DURATION_US
from .events import LUMA_WEIGHTS, EventConfig, bin_pieces, log_table_q


class TensorPixels:
    """Reference levels, last levels and last time of all pixels, on one device."""

    def __init__(self, level_q: Tensor, config: EventConfig) -> None:
        """Start at time 0.

        Args:
            level_q: int32 `[P]`, log intensity of the first frame in units of 2^-16.
            config: thresholds and noise.

        Raises:
            ConfigError: a refractory period or shot noise, which need each event's time.
        """
        if config.refractory_us or config.shot_hz:
            raise ConfigError(
                "frames on a device with refractory_us or shot_hz: allowed are 0, since tensors count events without "
                "listing them; give the frames as NumPy arrays"
            )
        pixels = config.generator(level_q.cpu().numpy(), 0)
        self.noise = pixels.noise
        self.level_q = level_q
        self.reference_q, self.on_q, self.off_q = (
            torch.from_numpy(array).to(level_q.device) for array in (pixels.reference_q, *pixels.contrast_q)
        )
        self.time_us = 0

    def count(self, level_q: Tensor, time_us: int, until_us: int, counts: Tensor) -> None:
        """Do what `EventGenerator.count` does; `level_q` int32 `[P]`, `counts` int32 `[2, P]`."""
        whole_us = time_us - self.time_us
        assert 0 < whole_us <= MAX_DURATION_US and self.time_us < until_us <= time_us
        leak_q = 0 if self.noise is None else self.noise.leak_q(self.time_us, time_us)
        goal_q = level_q + leak_q
        if until_us < time_us:
            product = (goal_q - self.level_q).long() * (until_us - self.time_us)
            # toward the start, as an event at that time has its crossing no farther
            self._cross(self.level_q + product.div(whole_us, rounding_mode="trunc").int(), counts)
            return
        self._cross(goal_q, counts)
        self.reference_q -= leak_q
        self.level_q, self.time_us = level_q, time_us

    def _cross(self, level_q: Tensor, counts: Tensor) -> None:
        change_q = level_q - self.reference_q
        for sign, contrast_q, size_q in ((0, self.on_q, change_q), (1, self.off_q, -change_q)):
            number = size_q.clamp(min=0).div(contrast_q, rounding_mode="floor")
            counts[sign] += number
            self.reference_q += number * (contrast_q if sign == 0 else -contrast_q)


def tensor_event_counts(
    frames: Iterable[Tensor], times_us: Iterable[int], config: EventConfig, *, num_bins: int, duration_us: int
) -> Tensor:
    """Turn RGB frames, uint8 tensors `[H, W, 3]`, into event counts int32 `[T, 2, H·W]` on their device.

    Equal to `visual_event_counts` of the same frames. Tensors `[F, H, W, 3]` are frames one at a time.

    Raises:
        ConfigError: a refractory period or shot noise.
    """
    levels = _levels(frames, config.log_eps)
    times = (int(time_us) for time_us in times_us)
    first_q, first_us = next(levels), next(times)
    assert first_us == 0
    pixels = TensorPixels(first_q, config)
    counts = torch.zeros((num_bins, 2, len(first_q)), dtype=torch.int32, device=first_q.device)
    for piece in bin_pieces(levels, times, num_bins=num_bins, duration_us=duration_us):
        pixels.count(piece.frame, piece.time_us, piece.until_us, counts[piece.bin])
    return counts


def _levels(frames: Iterable[Tensor], log_eps: float) -> Iterator[Tensor]:
    """Yield the levels of each frame, int32 `[P]`."""
    table_q = torch.from_numpy(log_table_q(log_eps).copy())
    for frame in frames:
        table_q = table_q.to(frame.device)
        red, green, blue = (frame[..., i].int().flatten() * weight for i, weight in enumerate(LUMA_WEIGHTS))
        yield table_q[red + green + blue]
