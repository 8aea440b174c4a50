"""Render the embedded benchmark: audio-visual classes as ordinary video files, every effect with a knob of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.artifact import atomic_folder, is_current, provenance
from hardware_profiles.config import as_mapping
from hardware_profiles.errors import ConfigError

from ..workers import map_in_workers
from .activity import WHOLE, draw_activity
from .attributes import SOUNDS, choose_classes, parse_class
from .backgrounds import draw_background, draw_background_image
from .classes import CLASSES_FILE, PAIRED_PARTITION, PARTITION_SPLIT, ClassTable, write_classes
from .scenes import draw_scene, render_frames
from .sounds import Voice, draw_amplitude, render_sound
from .write_video import write_video

SAMPLE_RATES_HZ = (12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
SCENE, SOUND, CAMERA, BACKGROUND = range(4)
"""Random streams of a clip, one each, so that a knob changes what it is for and nothing else."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is rendered.

    Each class owns one background type (a hue and a texture). A clip shows its class's own type with the
    probability of its partition's bias, else one drawn evenly from all types: 0 means that the background says
    nothing, 1 that it says everything. A negative bias misleads: with probability |bias| the clip shows the
    type of a seen class that has as little as possible in common with its own.

    Attributes:
        seed: of everything random, 0..2^32 − 1.
        num_seen: classes with training clips, ≥ 6.
        num_val_unseen: classes held out for choosing settings.
        num_test_unseen: classes held out for the final score.
        train_clips: clips per class in `train`.
        val_seen_clips: clips per class in `val_seen`.
        val_unseen_clips: clips per class in `val_unseen`, all that these classes have for the second stage.
        test_clips: clips per class in `test_seen` and `test_unseen`.
        flipped_clips: of these, how many per class are rendered again in `flipped_seen` and `flipped_unseen`:
            the same scene, sound and noise, another background; 0 leaves the partitions out.
        size_px: side of the frames, even, 16..512.
        frame_rate_hz: frames per second, 1..240.
        num_frames: frames per clip, 2..1000.
        sample_rate_hz: of the sound, one of AAC's rates from 12 000 on.
        background_bias: of `train`, `val_seen` and `val_unseen`, 0..1.
        background_bias_test: of `test_seen` and `test_unseen`, −1..1.
        background_bias_flipped: of `flipped_seen` and `flipped_unseen`, −1..1.
        rest_share: part of a clip in which the object rests between its two or three moves, 0..0.7; 0: it moves
            all the time.
        audible_motion: probability 0..1 that the class's sound follows the motion: heard in moves, with an
            amplitude as their speed, silent in rests. Else it is heard all the time.
        distractor_probability: probability 0..1 that a sound of another class is heard in the rests.
        distractor_level: its amplitude relative to the class's own sound, 0..2.
        camera_noise: standard deviation of the camera's noise in grey levels of 255, 0..16.
    """

    seed: int = 0
    num_seen: int = 30
    num_val_unseen: int = 10
    num_test_unseen: int = 12
    train_clips: int = 16
    val_seen_clips: int = 5
    val_unseen_clips: int = 10
    test_clips: int = 5
    flipped_clips: int = 0
    size_px: int = 64
    frame_rate_hz: int = 16
    num_frames: int = 17
    sample_rate_hz: int = 16_000
    background_bias: float = 0.8
    background_bias_test: float = 0.0
    background_bias_flipped: float = -0.8
    rest_share: float = 0.5
    audible_motion: float = 1.0
    distractor_probability: float = 0.5
    distractor_level: float = 1.0
    camera_noise: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("seed", 0, 2**32 - 1),
            ("train_clips", 1, 9999),
            ("val_seen_clips", 1, 9999),
            ("val_unseen_clips", 1, 9999),
            ("test_clips", 1, 9999),
            ("flipped_clips", 0, self.test_clips),
            ("size_px", 16, 512),
            ("frame_rate_hz", 1, 240),
            ("num_frames", 2, 1000),
            ("background_bias", 0, 1),
            ("background_bias_test", -1, 1),
            ("background_bias_flipped", -1, 1),
            ("rest_share", 0, 0.7),
            ("audible_motion", 0, 1),
            ("distractor_probability", 0, 1),
            ("distractor_level", 0, 2),
            ("camera_noise", 0, 16),
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


class PlannedClip(NamedTuple):
    """One clip to render: its partition, class index in the table, and number within both."""

    partition: str
    label: int
    number: int


class RenderedClip(NamedTuple):
    """One clip: uint8 RGB frames `[F, S, S, 3]` and float32 mono sound `[N]`, −1..1."""

    frames: NDArray[np.uint8]
    sound: NDArray[np.float32]


def plan_clips(config: BenchmarkConfig, table: ClassTable) -> list[PlannedClip]:
    """List every clip of the benchmark in order."""
    num_clips = {
        "train": config.train_clips,
        "val_seen": config.val_seen_clips,
        "val_unseen": config.val_unseen_clips,
        "test_seen": config.test_clips,
        "test_unseen": config.test_clips,
        "flipped_seen": config.flipped_clips,
        "flipped_unseen": config.flipped_clips,
    }
    return [
        PlannedClip(partition, label, number)
        for partition, splits in PARTITION_SPLIT.items()
        for label in range(len(table.names))
        if table.splits[label] in splits
        for number in range(num_clips[partition])
    ]


def render_clip(clip: PlannedClip, table: ClassTable, config: BenchmarkConfig) -> RenderedClip:
    """Render one clip; it depends on the seed and its own place only, not on other clips.

    A flipped clip takes everything but its background from the random streams of the test clip that it pairs with.
    """

    def stream(kind: int) -> np.random.Generator:
        partition = clip.partition if kind == BACKGROUND else PAIRED_PARTITION.get(clip.partition, clip.partition)
        place = list(PARTITION_SPLIT).index(partition)
        return np.random.default_rng([config.seed, place, clip.label, clip.number, kind])

    bias = {"test": config.background_bias_test, "flipped": config.background_bias_flipped}
    combination = parse_class(table.names[clip.label])
    rng = stream(BACKGROUND)
    background = draw_background(clip.label, table, bias.get(clip.partition.split("_")[0], config.background_bias), rng)
    background_image = draw_background_image(background, config.size_px, rng)
    rng = stream(SCENE)
    scene = draw_scene(combination.object, combination.motion, rng)
    activity = draw_activity(config.rest_share, rng)
    noise = stream(CAMERA).standard_normal((config.num_frames, config.size_px, config.size_px), np.float32)
    frames = render_frames(
        scene, activity, background_image, num_frames=config.num_frames, noise=np.float32(config.camera_noise) * noise
    )
    rng = stream(SOUND)
    amplitude, is_audible, is_distracted = draw_amplitude(rng), rng.uniform(), rng.uniform()
    other = str(rng.choice([sound for sound in SOUNDS if sound != combination.sound]))
    own = Voice(
        kind=combination.sound,
        activity=activity if is_audible < config.audible_motion else WHOLE,
        amplitude=amplitude,
    )
    distractor = Voice(kind=other, activity=activity.rests(), amplitude=amplitude * config.distractor_level)
    sound = render_sound(
        (own, distractor) if is_distracted < config.distractor_probability else (own,),
        num_samples=config.num_frames * config.sample_rate_hz // config.frame_rate_hz,
        shown_samples=(config.num_frames - 1) * config.sample_rate_hz // config.frame_rate_hz,
        sample_rate_hz=config.sample_rate_hz,
        rng=rng,
    )
    return RenderedClip(frames, sound)


def write_clip(clip: PlannedClip, folder: Path, table: ClassTable, config: BenchmarkConfig) -> None:
    """Render one clip to `<folder>/<partition>/<class>/<nnn>.mp4`."""
    rendered = render_clip(clip, table, config)
    path = folder / clip.partition / table.names[clip.label] / f"{clip.number:03d}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, rendered.frames, config.frame_rate_hz, rendered.sound, config.sample_rate_hz)


def render_benchmark(config: BenchmarkConfig, out: Path, *, num_workers: int | None = None) -> dict[str, Any] | None:
    """Write the benchmark to `<out>/<partition>/<class>/<nnn>.mp4` with `classes.json` and `manifest.json`.

    Args:
        config: what is rendered.
        out: the folder, replaced as a whole.
        num_workers: OS processes; the bytes do not depend on it. None takes as many as are worth it.

    Returns:
        The manifest, or None if `out` already holds this benchmark.

    Raises:
        ArtifactError: `out` exists and was not written by Axonport.
        TrainingError: a worker was killed.
    """
    table = config.classes()
    clips = plan_clips(config, table)
    manifest = provenance("render", as_mapping(config), {}) | {"num_clips": len(clips), "origin": table.origin}
    if is_current(out, manifest):
        return None
    with atomic_folder(out, manifest) as work:
        write_classes(work / CLASSES_FILE, table)
        compute = partial(write_clip, folder=work, table=table, config=config)
        with map_in_workers(compute, clips, num_workers=num_workers, title="render") as written:
            for _ in written:
                pass
    return manifest
