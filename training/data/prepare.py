"""A folder of videos with sound to spikes and features, `dataset.h5`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from hardware_profiles.artifact import atomic_folder, is_current, provenance
from hardware_profiles.config import as_mapping
from hardware_profiles.errors import ConfigError

from ..errors import TrainingError, VideoError
from ..workers import map_in_workers
from .audio import AudioConfig, audio_features
from .classes import CLASSES_FILE, PARTITION_SPLIT, UNSTATED_ORIGIN, ClassTable, read_classes
from .dataset import DATASET_FILE, UNLABELLED, ClipFeatures, DatasetWriter
from .event_pixels import MAX_EVENTS_PER_STEP
from .events import EventConfig, event_bins, visual_spikes
from .video import MICROSECONDS, Clip, VideoConfig, find_videos, load_video


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """How videos become time bins of spikes and features.

    Attributes:
        num_bins: T, time bins per clip, 1..1024.
        duration_s: the bins cover the first `duration_s` seconds; 0 for each clip's own length, from its first
            to its last frame. After the end of a shorter clip nothing moves and nothing sounds.
        frame_cells: frames are averaged down to frame_cells × frame_cells for the frame features.
        bad_clips: `refuse` stops at the first clip that cannot be read; `skip` leaves it out and says so.
        video: size, rate and limits of the loader.
        events: the event generation model.
        audio: the filter bank and its events.
    """

    num_bins: int = 16
    duration_s: float = 0.0
    frame_cells: int = 8
    bad_clips: str = "refuse"
    video: VideoConfig = field(default_factory=VideoConfig)
    events: EventConfig = field(default_factory=EventConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)

    def __post_init__(self) -> None:
        if not 1 <= self.num_bins <= 1024:
            raise ConfigError(f"num_bins is {self.num_bins}, allowed are 1..1024")
        if not 0 <= self.duration_s <= 3600:
            raise ConfigError(f"duration_s is {self.duration_s}, allowed are 0 (the clip's own length)..3600")
        if self.bad_clips not in ("refuse", "skip"):
            raise ConfigError(f"bad_clips is '{self.bad_clips}', allowed are refuse, skip")
        for name, cells in (("frame_cells", self.frame_cells), ("cells", self.events.cells)):
            if cells < 1 or self.video.height_px % cells or self.video.width_px % cells:
                raise ConfigError(
                    f"{name} is {cells}, allowed are divisors of the frame size "
                    f"{self.video.width_px}×{self.video.height_px}"
                )
        pixels = self.video.height_px * self.video.width_px
        if pixels * self.events.max_events_per_pixel > MAX_EVENTS_PER_STEP:
            raise ConfigError(
                f"{pixels} pixels of up to {self.events.max_events_per_pixel} events a frame, allowed are "
                f"{MAX_EVENTS_PER_STEP} events; lower the frame size or raise contrast_on, contrast_off or log_eps"
            )

    def covered_us(self, clip: Clip) -> int:
        """Return the time in microseconds that the bins of `clip` cover."""
        return round(self.duration_s * MICROSECONDS) or clip.duration_us


class Source(NamedTuple):
    """A clip on disk: partition, row of the class table (−1 for none), file."""

    partition: str
    label: int
    path: Path


def frame_features(
    frames: NDArray[np.uint8], times_us: NDArray[np.int64], *, num_bins: int, duration_us: int, frame_cells: int
) -> NDArray[np.float32]:
    """Average the frames of each time bin down to a few cells.

    A bin holds the frames with b·D/T < t ≤ (b+1)·D/T, as events do; the first frame counts to the first bin. A bin
    without a frame repeats the bin before it.

    Args:
        frames: uint8 RGB `[F, H, W, 3]`.
        times_us: int64 `[F]`, starting at 0.
        num_bins: T.
        duration_us: D.
        frame_cells: cells per side; divides H and W.

    Returns:
        float32 `[T, frame_cells²·3]`, 0..1, ordered row, column, RGB.
    """
    num_frames, height, width, _ = frames.shape
    patches = frames.reshape(num_frames, frame_cells, height // frame_cells, frame_cells, width // frame_cells, 3)
    # rows, then columns: seven times as fast as both at once
    sums = patches.sum(axis=2, dtype=np.int64).sum(axis=3).reshape(num_frames, -1)
    bins = np.maximum(event_bins(times_us, duration_us, num_bins), 0)
    scale = 255 * (height // frame_cells) * (width // frame_cells)
    features = np.empty((num_bins, sums.shape[1]), np.float32)
    for b in range(num_bins):
        here = bins == b
        features[b] = sums[here].sum(axis=0) / (scale * here.sum()) if here.any() else features[b - 1]
    return features


def clip_features(clip: Clip, config: PreparationConfig) -> ClipFeatures:
    """Turn one clip into spikes and features over T time bins.

    Raises:
        ConfigError: the filter bank does not fit the sampling rate.
    """
    duration_us = config.covered_us(clip)
    energies, audio_spikes = audio_features(
        clip.sound, clip.sample_rate_hz, config.audio, num_bins=config.num_bins, duration_us=duration_us
    )
    return ClipFeatures(
        visual_events=visual_spikes(
            clip.frames, clip.times_us, config.events, num_bins=config.num_bins, duration_us=duration_us
        ),
        audio_events=audio_spikes,
        frame_features=frame_features(
            clip.frames,
            clip.times_us,
            num_bins=config.num_bins,
            duration_us=duration_us,
            frame_cells=config.frame_cells,
        ),
        audio_features=energies,
    )


def find_sources(videos: Path) -> tuple[list[Source], ClassTable | None]:
    """List the clips of a folder, by partition and class if it has a `classes.json`, else unlabelled.

    Raises:
        VideoError: no folder, or no video in it.
        TrainingError: damaged `classes.json`; a clip outside `<partition>/<class>/`; a class in a partition
            that must not hold it.
    """
    found = find_videos(videos)
    if not (videos / CLASSES_FILE).is_file():
        return [Source(UNLABELLED, -1, path) for path in found], None
    table = read_classes(videos / CLASSES_FILE)
    sources = [_labelled(path, path.relative_to(videos).parts, table) for path in found]
    order = list(PARTITION_SPLIT)
    return sorted(sources, key=lambda source: (order.index(source.partition), source.label, source.path)), table


def _labelled(path: Path, parts: tuple[str, ...], table: ClassTable) -> Source:
    if len(parts) != 3 or parts[0] not in PARTITION_SPLIT or parts[1] not in table.names:
        raise TrainingError(
            f"video {path}: not at <partition>/<class>/<clip> with a partition of {', '.join(PARTITION_SPLIT)} and a "
            f"class of {CLASSES_FILE}; move it, or remove {CLASSES_FILE} to read the folder without labels"
        )
    partition, label = parts[0], table.names.index(parts[1])
    if table.splits[label] not in PARTITION_SPLIT[partition]:
        raise TrainingError(
            f"video {path}: class {parts[1]} is '{table.splits[label]}', allowed in {partition} are classes of "
            f"{' and '.join(PARTITION_SPLIT[partition])} only: a held-out class must stay held out"
        )
    return Source(partition, label, path)


class PreparedClip(NamedTuple):
    """What became of one clip: its features, or None and the reason; and whether it was cut."""

    features: ClipFeatures | None
    reason: str
    truncated: bool


def prepare_clip(source: Source, config: PreparationConfig) -> PreparedClip:
    """Read one clip and turn it into features.

    Raises:
        VideoError: it cannot be read, and `bad_clips` is "refuse".
    """
    try:
        clip = load_video(source.path, config.video)
    except VideoError as error:
        if config.bad_clips == "refuse":
            raise
        return PreparedClip(None, str(error), False)
    return PreparedClip(clip_features(clip, config), "", clip.truncated)


def prepare_dataset(
    config: PreparationConfig, videos: Path, out: Path, *, num_workers: int | None = None
) -> dict[str, Any] | None:
    """Write `dataset.h5` and `manifest.json` into `out` from every video below `videos`.

    Args:
        config: how clips become features.
        videos: folder of videos, with or without `classes.json`.
        out: the folder, replaced as a whole.
        num_workers: OS processes; the bytes do not depend on it. None takes as many as are worth it.

    Returns:
        The manifest, with `num_clips`, and the paths of `truncated` and `skipped` clips with the reason; or None
        if `out` already holds this data set.

    Raises:
        VideoError: an empty folder, or a clip that cannot be read (`bad_clips = "refuse"`), or all of them.
        TrainingError: clips and `classes.json` contradict each other; a worker was killed.
        ArtifactError: `out` exists and was not written by Axonport.
    """
    sources, table = find_sources(videos)
    inputs = {str(source.path.relative_to(videos)): source.path for source in sources}
    if table is not None:
        inputs[CLASSES_FILE] = videos / CLASSES_FILE
    manifest = provenance("prepare", as_mapping(config), inputs)
    if is_current(out, manifest):
        return None
    truncated: list[str] = []
    skipped: dict[str, str] = {}
    origin = UNSTATED_ORIGIN if table is None else table.origin
    manifest |= {"origin": origin, "truncated": truncated, "skipped": skipped}
    with atomic_folder(out, manifest) as work:
        with h5py.File(work / DATASET_FILE, "w") as file:
            writer = DatasetWriter(file, as_mapping(config), table)
            compute = partial(prepare_clip, config=config)
            with map_in_workers(compute, sources, num_workers=num_workers, title="prepare") as prepared:
                for source, (features, reason, is_truncated) in zip(sources, prepared, strict=True):
                    name = str(source.path.relative_to(videos))
                    if features is None:
                        skipped[name] = reason
                        continue
                    if is_truncated:
                        truncated.append(name)
                    writer.append(source.partition, features, source.label, name)
        if len(skipped) == len(sources):
            raise VideoError(
                f"--videos {videos}: no clip could be read; the first says: {next(iter(skipped.values()))}"
            )
        manifest["num_clips"] = len(sources) - len(skipped)
    return manifest
