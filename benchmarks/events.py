"""Event generation: `training.data.events` beside v2e's counting rule, written plainly in PyTorch.

v2e (Hu, Liu, Delbruck, arXiv 2006.07722, section 3): per frame and pixel floor(|L − L_ref| / C) events of one polarity,
and the reference moves by as many thresholds. That rule counts per frame interval. Ours gives the same counts; counts
in bins that end between frames, where an event belongs by its interpolated time; patches that spike; and the list of
events with their times. All get the same frames, one at a time, on one thread; noise and bandwidth models are off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from training.data.events import EventConfig, log_intensity_q, visual_event_counts, visual_spikes

from .comparison import Comparison, interleave

FRAME_INTERVAL_US = 33_333
BASELINE = "v2e's counts per frame, PyTorch"
LUMA = (77 / 256, 150 / 256, 29 / 256)
"""As in `training.data.events`, so that both see the same intensities."""


def compare(quick: bool, rounds: int, height_px: int, width_px: int) -> Comparison:
    """Time all on one synthetic clip, per pixel and frame interval."""
    num_frames = 9 if quick else 33
    frames = drifting_clip(num_frames, height_px, width_px)
    config = EventConfig(cells=2)
    times_us = np.arange(num_frames) * FRAME_INTERVAL_US
    duration_us = int(times_us[-1])

    def plain() -> npt.NDArray[np.int32]:
        return count_per_frame(torch.from_numpy(frames), config)

    def counts(num_bins: int) -> npt.NDArray[np.int32]:
        return visual_event_counts(frames, times_us, config, num_bins=num_bins, duration_us=duration_us)

    def spikes() -> npt.NDArray[np.uint8]:
        return visual_spikes(frames, times_us, config, num_bins=16, duration_us=duration_us)

    ours, plain_counts, listed = counts(num_frames - 1), plain(), list_events(frames, times_us, config)
    if listed != ours.sum():
        raise AssertionError(f"{listed} events are listed, {ours.sum()} are counted")
    changes = (num_frames - 1) * height_px * width_px
    work: dict[str, Callable[[], object]] = {
        BASELINE: plain,
        "counts per frame interval": lambda: counts(num_frames - 1),
        "counts in bins of 3/4 of an interval": lambda: counts((num_frames - 1) * 4 // 3),
        "spikes of patches in 16 bins": spikes,
        "list of events with their times": lambda: list_events(frames, times_us, config),
    }
    for run in work.values():
        run()  # compiles
    contenders = {name: partial(_timed, run, changes) for name, run in work.items()}
    return Comparison(
        title=f"Frames to events, {width_px} × {height_px}",
        unit="ns per pixel and frame",
        baseline=BASELINE,
        figures=interleave("events", contenders, rounds),
        settings={"frames": num_frames, "height in px": height_px, "width in px": width_px},
        check=(
            f"{ours.sum()} and {plain_counts.sum()} events, {ours.sum() / changes:.2f} per pixel and frame; "
            f"{100 * float((ours != plain_counts).mean()):.2g} % of the counts differ (float32 against integers)."
        ),
    )


def drifting_clip(num_frames: int, height_px: int, width_px: int) -> npt.NDArray[np.uint8]:
    """Return a colour grating that drifts under a moving dark disc, uint8 [F, H, W, 3].

    No pixel comes back to a level by whole periods: there a change would be an exact multiple of the threshold, which
    floats round either way.
    """
    y, x = np.mgrid[:height_px, :width_px] / np.array([height_px, width_px])[:, None, None]
    frames = np.empty((num_frames, height_px, width_px, 3), np.uint8)
    for index in range(num_frames):
        shift = index / num_frames
        grating = 0.5 + 0.4 * np.sin(2 * np.pi * (6 * x + 2 * y + 2.618 * shift))
        disc = (x - 0.2 - 0.6 * shift) ** 2 + (y - 0.5) ** 2 < 0.03
        grey = np.where(disc, 0.1, grating)
        frames[index] = np.rint(255 * grey[..., None] * np.array([1.0, 0.9, 0.8]))
    return frames


def list_events(frames: npt.NDArray[np.uint8], times_us: npt.NDArray[np.int64], config: EventConfig) -> int:
    """List all events, frame by frame, and return how many there were."""
    pixels = config.generator(log_intensity_q(frames[0], config.log_eps).ravel(), int(times_us[0]))
    return sum(
        len(pixels.step(log_intensity_q(frame, config.log_eps).ravel(), int(time_us)).time_us)
        for frame, time_us in zip(frames[1:], times_us[1:], strict=True)
    )


def count_per_frame(frames: torch.Tensor, config: EventConfig) -> npt.NDArray[np.int32]:
    """Count ON and OFF events per frame interval, int32 [F − 1, 2, H·W]."""
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
        counts.append(torch.stack([num_on, num_off]).int())
    per_frame: npt.NDArray[np.int32] = torch.stack(counts).numpy()
    return per_frame


def _timed(work: Callable[[], object], changes: int) -> float:
    start_s = time.perf_counter()
    work()
    return (time.perf_counter() - start_s) / changes * 1e9
