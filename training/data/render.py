"""Render the embedded benchmark: audio-visual classes as ordinary video files, with a background-bias knob."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from hardware_profiles.artifact import atomic_folder, is_current, provenance
from hardware_profiles.config import as_mapping
from hardware_profiles.errors import ConfigError
from hardware_profiles.interrupts import raise_if_interrupted

from .attributes import choose_classes, parse_class
from .classes import CLASSES_FILE, PARTITION_SPLIT, ClassTable, write_classes
from .scenes import draw_scene, render_frames
from .sounds import render_sound
from .write_video import write_video


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is rendered.

    Each class owns one background type (a hue and a texture). A clip shows its class's own type with
    probability `background_bias`, else one drawn evenly from all types, so 0 means that the background says
    nothing and 1 that it says everything. At test a negative bias turns the cue round: with probability
    |bias| the clip shows the type of the next class.

    Attributes:
        seed: of everything random, 0..2^32 − 1.
        num_seen: classes with training clips, ≥ 4.
        num_val_unseen: classes held out for choosing settings.
        num_test_unseen: classes held out for the final score.
        train_clips: clips per seen class in `train`.
        val_clips: clips per class in `val_seen` and `val_unseen`.
        test_clips: clips per class in `test_seen` and `test_unseen`.
        size_px: side of the frames, even, 16..512.
        frame_rate_hz: frames per second, 1..240.
        num_frames: frames per clip, 2..1000.
        sample_rate_hz: of the sound, one of AAC's rates from 12 000 on.
        background_bias: of `train`, `val_seen` and `val_unseen`, 0..1.
        background_bias_test: of `test_seen` and `test_unseen`, −1..1.
    """

    seed: int = 0
    num_seen: int = 16
    num_val_unseen: int = 4
    num_test_unseen: int = 4
    train_clips: int = 20
    val_clips: int = 6
    test_clips: int = 8
    size_px: int = 64
    frame_rate_hz: int = 16
    num_frames: int = 17
    sample_rate_hz: int = 16_000
    background_bias: float = 0.8
    background_bias_test: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("seed", 0, 2**32 - 1),
            ("train_clips", 1, 9999),
            ("val_clips", 1, 9999),
            ("test_clips", 1, 9999),
            ("size_px", 16, 512),
            ("frame_rate_hz", 1, 240),
            ("num_frames", 2, 1000),
            ("background_bias", 0, 1),
            ("background_bias_test", -1, 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are {low}..{high}")
        if self.size_px % 2:
            raise ConfigError(f"size_px is {self.size_px}, allowed are even numbers: H.264 halves the colour planes")
        if self.sample_rate_hz not in SAMPLE_RATES_HZ:
            raise ConfigError(f"sample_rate_hz is {self.sample_rate_hz}, allowed are {SAMPLE_RATES_HZ}")
        self.classes()

    def classes(self) -> ClassTable:
        """Return the classes that this configuration draws."""
        return choose_classes(
            num_seen=self.num_seen,
            num_val_unseen=self.num_val_unseen,
            num_test_unseen=self.num_test_unseen,
            seed=self.seed,
        )


SAMPLE_RATES_HZ = (12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class PlannedClip(NamedTuple):
    """One clip to render: its partition, class index in the table, and number within both."""

    partition: str
    label: int
    number: int


def plan_clips(config: BenchmarkConfig, table: ClassTable) -> list[PlannedClip]:
    """List every clip of the benchmark in order."""
    num_clips = {"train": config.train_clips, "val": config.val_clips, "test": config.test_clips}
    return [
        PlannedClip(partition, label, number)
        for partition, split in PARTITION_SPLIT.items()
        for label in range(len(table.names))
        if table.splits[label] == split
        for number in range(num_clips[partition.split("_")[0]])
    ]


def draw_background(label: int, num_backgrounds: int, bias: float, rng: np.random.Generator) -> int:
    """Return a background type: the class's own (bias > 0) or the next class's (bias < 0), else any."""
    biased, any_type = rng.uniform() < abs(bias), int(rng.integers(num_backgrounds))
    if not biased:
        return any_type
    return label if bias > 0 else (label + 1) % num_backgrounds


def render_clip(path: Path, clip: PlannedClip, table: ClassTable, config: BenchmarkConfig) -> None:
    """Render one clip; it depends on the seed and its own place only, not on the clips before it."""
    rng = np.random.default_rng([config.seed, list(PARTITION_SPLIT).index(clip.partition), clip.label, clip.number])
    bias = config.background_bias_test if clip.partition.startswith("test") else config.background_bias
    combination = parse_class(table.names[clip.label])
    num_backgrounds = len(table.names)
    background = draw_background(clip.label, num_backgrounds, bias, rng)
    scene = draw_scene(combination.object, combination.motion, background, num_backgrounds, rng)
    frames = render_frames(scene, num_frames=config.num_frames, size_px=config.size_px, rng=rng)
    num_samples = config.num_frames * config.sample_rate_hz // config.frame_rate_hz
    sound = render_sound(combination.sound, num_samples=num_samples, sample_rate_hz=config.sample_rate_hz, rng=rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, config.frame_rate_hz, sound, config.sample_rate_hz)


def render_benchmark(config: BenchmarkConfig, out: Path) -> dict[str, Any] | None:
    """Write the benchmark to `<out>/<partition>/<class>/<nnn>.mp4` with `classes.json` and `manifest.json`.

    Returns:
        The manifest, or None if `out` already holds this benchmark.

    Raises:
        ArtifactError: `out` exists and was not written by Axonport.
    """
    table = config.classes()
    clips = plan_clips(config, table)
    manifest = provenance("render", as_mapping(config), {}) | {"num_clips": len(clips)}
    if is_current(out, manifest):
        return None
    with atomic_folder(out, manifest) as work:
        write_classes(work / CLASSES_FILE, table)
        for clip in tqdm(clips, desc="render", unit="clip"):
            raise_if_interrupted()
            name = work / clip.partition / table.names[clip.label] / f"{clip.number:03d}.mp4"
            render_clip(name, clip, table, config)
    return manifest
