"""A picture of a clip: frames beside their events, band energies beside theirs, time running to the right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from hardware_profiles.artifact import atomic_file
from hardware_profiles.errors import ConfigError

from .audio import audio_features
from .event_pixels import MAX_EVENTS_PER_STEP, OFF, ON
from .events import visual_event_counts
from .prepare import PreparationConfig
from .video import Clip, load_video

ON_RGB = np.array([0.09, 0.40, 0.80])
OFF_RGB = np.array([0.86, 0.26, 0.10])
FULL_COLOUR_EVENTS = 4
"""Event count at which a pixel has its full colour."""
FAINTEST_PEAK = 0.05
"""Band energies are coloured up to the clip's own peak, but silence stays black."""
COLUMN_IN, SOUND_ROW_IN = 1.55, 0.85
MAX_SIZE_PX = 512
MAX_COLUMNS = 16
SOUND_BINS_PER_COLUMN = 16
DPI = 96


def polarity_image(counts: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Colour event counts `[2, H, W]`: ON blue, OFF red, both mixed, none white; RGB `[H, W, 3]`, 0..1."""
    strength = np.minimum(counts / FULL_COLOUR_EVENTS, 1.0)[..., None]
    image = 1 - strength[ON] * (1 - ON_RGB) - strength[OFF] * (1 - OFF_RGB)
    return np.asarray(np.clip(image, 0, 1))


def draw_picture(path: Path, out: Path, config: PreparationConfig, *, size_px: int = 192, num_columns: int = 8) -> None:
    """Draw one clip as a PNG.

    Each column shows the last frame of its stretch of time and, below, all events of that stretch.

    Args:
        path: any video; too long a clip is cut, a silent one is drawn without sound.
        out: the PNG to write.
        config: event rule and filter bank; `duration_s` picks the first seconds of the clip.
        size_px: pixels per side at which events are generated, 16..512.
        num_columns: frames shown, 1..16.

    Raises:
        VideoError: the clip cannot be read.
        ConfigError: size or columns out of range.
    """
    if not 16 <= size_px <= MAX_SIZE_PX or not 1 <= num_columns <= MAX_COLUMNS:
        raise ConfigError(
            f"--size {size_px} --columns {num_columns}: allowed are sizes 16..{MAX_SIZE_PX}, columns 1..{MAX_COLUMNS}"
        )
    if size_px * size_px * config.events.max_events_per_pixel > MAX_EVENTS_PER_STEP:
        raise ConfigError(f"--size {size_px}: too many events for the contrast of [preparation.events]; lower it")
    video = replace(
        config.video,
        height_px=size_px,
        width_px=size_px,
        max_duration_s=config.duration_s or config.video.max_duration_s,
        too_long="truncate",
        silent="zeros",
    )
    clip = load_video(path, video)
    width, height = clip.source_size_px
    frame_in = COLUMN_IN * min(max(height / width, 0.3), 2.0)
    rows_in = (frame_in, frame_in, SOUND_ROW_IN, SOUND_ROW_IN)
    figure = Figure(figsize=(COLUMN_IN * num_columns + 0.8, 1.08 * sum(rows_in) + 0.7))
    FigureCanvasAgg(figure)
    grid = GridSpec(
        4, num_columns, figure=figure, height_ratios=rows_in,
        left=0.06, right=0.985, top=0.95, bottom=0.09, wspace=0.04, hspace=0.09,
    )  # fmt: skip
    _draw_frames(figure, grid, clip, config, num_columns)
    _draw_sound(figure, grid, clip, config, num_columns)
    with atomic_file(out) as work:
        figure.savefig(work, dpi=DPI, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})


def _draw_frames(figure: Figure, grid: GridSpec, clip: Clip, config: PreparationConfig, num_columns: int) -> None:
    """Fill the two upper rows: frames, and the events of each column's stretch of time."""
    duration_us = clip.duration_us
    counts = visual_event_counts(
        clip.frames, clip.times_us, config.events, num_bins=num_columns, duration_us=duration_us
    ).reshape(num_columns, 2, *clip.frames.shape[1:3])
    width, height = clip.source_size_px
    for column in range(num_columns):
        last = np.searchsorted(clip.times_us, (column + 1) * duration_us // num_columns, side="right") - 1
        images = (clip.frames[last], polarity_image(counts[column]))
        for row, (image, label) in enumerate(zip(images, ("frames", "events"), strict=True)):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(image, extent=(0, width, height, 0), interpolation="antialiased")
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                _label(axes, label)
            if row == 0:
                axes.set_title(f"{clip.timestamps_s[last]:.2f} s", fontsize=8, pad=3)
            elif column == 0:
                _explain_colours(axes)


def _draw_sound(figure: Figure, grid: GridSpec, clip: Clip, config: PreparationConfig, num_columns: int) -> None:
    """Fill the two lower rows: band energies, and the bands' events."""
    num_bins = num_columns * SOUND_BINS_PER_COLUMN
    audio = replace(config.audio, samples_per_bin=1)
    energies, spikes = audio_features(
        clip.sound, clip.sample_rate_hz, audio, num_bins=num_bins, duration_us=clip.duration_us
    )
    duration_s = clip.duration_us / 1e6
    extent = (0.0, duration_s, 0.0, float(audio.num_bands))
    axes = figure.add_subplot(grid[2, :])
    axes.imshow(
        energies.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=0,
        vmax=max(float(energies.max()), FAINTEST_PEAK),
    )
    axes.set_xticks([])
    _label(axes, "sound\nmel band")
    if not clip.sound.any():
        axes.text(0.5, 0.5, "no sound", color="white", transform=axes.transAxes, ha="center", va="center")
    counts = spikes.reshape(num_bins, 2, audio.num_bands).transpose(1, 2, 0).astype(np.int64)
    axes = figure.add_subplot(grid[3, :])
    axes.imshow(
        polarity_image(counts * FULL_COLOUR_EVENTS), origin="lower", aspect="auto", extent=extent,
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xlabel("time (s)", fontsize=8, labelpad=1)
    _label(axes, "events\nmel band")


def _label(axes: Any, text: str) -> None:
    """Name a row at its left."""
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    axes.set_ylabel(text, fontsize=8, labelpad=3)


def _explain_colours(axes: Any) -> None:
    """Write ON and OFF in their colours into the corner of the first picture of events."""
    for word, rgb, x in (("ON", ON_RGB, 0.03), ("OFF", OFF_RGB, 0.19)):
        axes.text(
            x, 0.95, word, color=tuple(rgb), fontsize=7, weight="bold", ha="left", va="top",
            transform=axes.transAxes, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
