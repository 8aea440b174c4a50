"""Event generation: `training.data.events` beside v2e's counting rule, written plainly in PyTorch.

v2e (Hu, Liu, Delbruck, arXiv 2006.07722, section 3): per frame and pixel floor(|L − L_ref| / C) events of one polarity,
and the reference moves by as many thresholds. That rule only counts per frame; ours also finds each event's time and
bins by it. Both get the same frames; noise and bandwidth models of v2e are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from training.data.events import EventConfig, visual_event_counts

from .comparison import Comparison, interleave

FRAME_INTERVAL_US = 62_500
LUMA = (77 / 256, 150 / 256, 29 / 256)
"""As in `training.data.events`, so that both see the same intensities."""


def compare(quick: bool, rounds: int) -> Comparison:
    """Time both on one synthetic clip, per pixel and frame interval."""
    side_px, num_frames = (64, 9) if quick else (256, 33)
    frames = drifting_clip(num_frames, side_px)
    config = EventConfig()
    times_us = np.arange(num_frames) * FRAME_INTERVAL_US
    duration_us = int(times_us[-1])

    def ours() -> npt.NDArray[np.int64]:
        return visual_event_counts(frames, times_us, config, num_bins=num_frames - 1, duration_us=duration_us)

    def plain() -> npt.NDArray[np.int64]:
        return count_per_frame(torch.from_numpy(frames), config)

    counts, plain_counts = ours(), plain()
    changes = (num_frames - 1) * side_px**2
    contenders: dict[str, Callable[[], float]] = {
        "v2e's counts per frame, PyTorch": lambda: _timed(plain) / changes * 1e9,
        "training.data.events, with event times": lambda: _timed(ours) / changes * 1e9,
    }
    return Comparison(
        title="Frames to events",
        unit="ns per pixel and frame",
        baseline="v2e's counts per frame, PyTorch",
        figures=interleave("events", contenders, rounds),
        settings={"frames": num_frames, "side in px": side_px},
        check=(
            f"{counts.sum()} and {plain_counts.sum()} events, {counts.sum() / changes:.2f} per pixel and frame; "
            f"{100 * float((counts != plain_counts).mean()):.2g} % of the counts differ (float32 against integers)."
        ),
    )


def drifting_clip(num_frames: int, side_px: int) -> npt.NDArray[np.uint8]:
    """Return a colour grating that drifts under a moving dark disc, uint8 [F, side, side, 3].

    No pixel comes back to a level by whole periods: there a change would be an exact multiple of the threshold, which
    floats round either way.
    """
    y, x = np.mgrid[:side_px, :side_px] / side_px
    frames = np.empty((num_frames, side_px, side_px, 3), np.uint8)
    for index in range(num_frames):
        shift = index / num_frames
        grating = 0.5 + 0.4 * np.sin(2 * np.pi * (6 * x + 2 * y + 2.618 * shift))
        disc = (x - 0.2 - 0.6 * shift) ** 2 + (y - 0.5) ** 2 < 0.03
        grey = np.where(disc, 0.1, grating)
        frames[index] = np.rint(255 * grey[..., None] * np.array([1.0, 0.9, 0.8]))
    return frames


def count_per_frame(frames: torch.Tensor, config: EventConfig) -> npt.NDArray[np.int64]:
    """Count ON and OFF events per frame interval, int64 [F − 1, 2, H·W]."""
    weights = torch.tensor(LUMA)
    reference, counts = torch.empty(0), []
    for index, frame in enumerate(frames):
        level = torch.log((frame.float() @ weights).flatten() / 255 + config.log_eps)
        if index == 0:
            reference = level
            continue
        change = level - reference
        num_on = torch.floor(torch.relu(change) / config.contrast_on)
        num_off = torch.floor(torch.relu(-change) / config.contrast_off)
        reference = reference + num_on * config.contrast_on - num_off * config.contrast_off
        counts.append(torch.stack([num_on, num_off]))
    per_frame: npt.NDArray[np.int64] = torch.stack(counts).long().numpy()
    return per_frame


def _timed(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s
