"""Read ordinary video files with sound, through PyAV (FFmpeg's libraries)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from hardware_profiles.errors import ConfigError

from ..errors import VideoError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"}
)
MAX_SOURCE_PIXELS = 8192 * 8192
"""Frames are decoded whole before they are made small; a larger one is refused before it is decoded."""
MAX_CLIP_BYTES = 4 << 30
"""A clip is held in memory at the size asked for; a config that allows more than this is refused."""
MICROSECONDS = 1_000_000
MIN_FRAMES = 2
"""Events are changes: one frame has none."""
MIN_WHOLE = 0.9
"""A file whose pictures end before this part of the duration that their stream states was cut off."""


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """How any video is brought to one size and rate.

    Attributes:
        height_px: frame height after resizing (area average), 8..2048; the aspect ratio is not kept.
        width_px: frame width after resizing, 8..2048.
        sample_rate_hz: sound is mixed to mono and resampled to this rate, 4000..192000.
        max_duration_s: longest time that is read from the first frame on, 0..3600.
        max_frames: most frames that are read, so that memory is bounded whatever the file says.
        too_long: `refuse` a longer clip, or `truncate` it.
        silent: `refuse` a clip without sound (no sound stream, or all its samples are 0), or take `zeros` for it.
    """

    height_px: int = 64
    width_px: int = 64
    sample_rate_hz: int = 16_000
    max_duration_s: float = 60.0
    max_frames: int = 4096
    too_long: str = "refuse"
    silent: str = "refuse"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("height_px", 8, 2048),
            ("width_px", 8, 2048),
            ("sample_rate_hz", 4000, 192_000),
            ("max_frames", MIN_FRAMES, 1_000_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed are {low}..{high}")
        if not 0 < self.max_duration_s <= 3600:
            raise ConfigError(f"max_duration_s is {self.max_duration_s}, allowed is above 0 up to 3600")
        if self.too_long not in ("refuse", "truncate"):
            raise ConfigError(f"too_long is '{self.too_long}', allowed are refuse, truncate")
        if self.silent not in ("refuse", "zeros"):
            raise ConfigError(f"silent is '{self.silent}', allowed are refuse, zeros")
        num_bytes = self.max_frames * self.height_px * self.width_px * 3
        if num_bytes > MAX_CLIP_BYTES:
            raise ConfigError(
                f"max_frames {self.max_frames} of {self.width_px}×{self.height_px} px may take {num_bytes} bytes, "
                f"allowed are {MAX_CLIP_BYTES}; lower max_frames or the size"
            )


class Clip(NamedTuple):
    """One video in memory.

    Attributes:
        frames: uint8 RGB `[F, H, W, 3]`.
        times_us: int64 `[F]`, strictly increasing, microseconds since the first frame (the first is 0).
        sound: float32 mono `[N]`, −1..1; sample k sounds k / sample_rate_hz seconds after the first frame.
        sample_rate_hz: samples per second of `sound`.
        source_size_px: (width, height) of the file's own frames.
        truncated: whether the file held more than was read.
    """

    frames: NDArray[np.uint8]
    times_us: NDArray[np.int64]
    sound: NDArray[np.float32]
    sample_rate_hz: int
    source_size_px: tuple[int, int]
    truncated: bool

    @property
    def timestamps_s(self) -> NDArray[np.float64]:
        """Float64 `[F]`, seconds since the first frame."""
        return self.times_us / MICROSECONDS

    @property
    def duration_us(self) -> int:
        """Microseconds from the first frame to the last."""
        return int(self.times_us[-1])


class _Pictures(NamedTuple):
    """The picture half of a clip, and when it starts and ends on the file's own clock."""

    frames: NDArray[np.uint8]
    times_us: NDArray[np.int64]
    end_us: int
    source_size_px: tuple[int, int]
    truncated: bool


def load_video(path: Path, config: VideoConfig) -> Clip:
    """Read one video file of any format that FFmpeg's libraries decode.

    Frames that do not advance in time are dropped. Sound that starts before the first frame is cut and
    sound that starts after it is preceded by zeros, so both share one clock; sound ends with the last frame.
    A cut-off file is refused where its format tells; Matroska and WebM state no length per stream, so a cut-off
    one reads as a shorter clip.

    Raises:
        VideoError: missing or unreadable file, no pictures, fewer than 2 frames, damaged data, longer than
            allowed (`too_long = "refuse"`), or no sound (`silent = "refuse"`).
    """
    if not path.is_file():
        raise VideoError(f"video {path}: no such file; name a video file")
    pictures = _read_pictures(path, config)
    if not len(pictures.times_us):
        raise VideoError(f"video {path}: no frame can be decoded; give a whole video file")
    if len(pictures.times_us) < MIN_FRAMES:
        raise VideoError(
            f"video {path}: {len(pictures.times_us)} frame(s), allowed are {MIN_FRAMES} or more; give a longer clip"
        )
    if pictures.truncated and config.too_long == "refuse":
        raise VideoError(
            f"video {path}: longer than {config.max_duration_s:g} s or {config.max_frames} frames; raise "
            f'max_duration_s or max_frames, or set too_long = "truncate" in [preparation.video]'
        )
    sound = _read_sound(path, config, pictures)
    if not sound.any() and config.silent == "refuse":
        what = "its sound is all zeros" if len(sound) else "it has no sound"
        raise VideoError(
            f'video {path}: {what}; give a clip with sound, or set silent = "zeros" in [preparation.video]'
        )
    return Clip(
        frames=pictures.frames,
        times_us=pictures.times_us - pictures.times_us[0],
        sound=sound,
        sample_rate_hz=config.sample_rate_hz,
        source_size_px=pictures.source_size_px,
        truncated=pictures.truncated,
    )


def find_videos(folder: Path) -> list[Path]:
    """Return every video below `folder`, known by its suffix, sorted by path; hidden files are passed over.

    Raises:
        VideoError: `folder` is missing, no folder, or holds no video.
    """
    if not folder.is_dir():
        raise VideoError(f"--videos {folder}: no such folder; name a folder of video files")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    found = sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    if not found:
        raise VideoError(f"--videos {folder}: holds no video; allowed are {', '.join(sorted(VIDEO_SUFFIXES))}")
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file for reading, quietly, and turn FFmpeg's errors into one line."""
    av.logging.set_level(None)
    try:
        # a plain path, so that a name such as "http:x" is a file and never a request
        with av.open(f"file:{path}", mode="r", metadata_errors="ignore") as container:
            yield container
    except (av.FFmpegError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"video {path}: unreadable or damaged ({reason}); give a whole video file") from error


def _read_pictures(path: Path, config: VideoConfig) -> _Pictures:
    """Decode frames until the file or the allowance ends, keeping only the small ones."""
    with _opened(path) as container:
        if not container.streams.video:
            raise VideoError(f"video {path}: holds no pictures; give a video file")
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec is None:
            raise VideoError(f"video {path}: its pictures are in no known coding; convert it to mp4 first")
        width, height = codec.width, codec.height
        if not 0 < width * height <= MAX_SOURCE_PIXELS:
            raise VideoError(f"video {path}: frames of {width}×{height} px, allowed are 1..{MAX_SOURCE_PIXELS} pixels")
        frames: list[NDArray[np.uint8]] = []
        times_us: list[int] = []
        truncated = False
        resize = VideoReformatter()
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise VideoError(f"video {path}: frame {len(frames)} is damaged; give a whole video file")
            time_us = _time_us(path, frame, stream, times_us)
            if times_us and time_us <= times_us[-1]:
                continue
            too_late = bool(times_us) and time_us - times_us[0] > config.max_duration_s * MICROSECONDS
            truncated = too_late or len(frames) == config.max_frames
            if truncated:
                break
            small = resize.reformat(frame, config.width_px, config.height_px, "rgb24", interpolation="AREA")
            frames.append(np.asarray(small.to_ndarray(), np.uint8))
            times_us.append(time_us)
        # the last frame is shown for as long as the one before it
        end_us = 2 * times_us[-1] - times_us[-2] if len(times_us) > 1 else 0
        stated_us = float((stream.duration or 0) * stream.time_base * MICROSECONDS)
        if len(times_us) >= MIN_FRAMES and not truncated and end_us - times_us[0] < MIN_WHOLE * stated_us:
            raise VideoError(
                f"video {path}: ends after {end_us / MICROSECONDS:.2f} s of the {stated_us / MICROSECONDS:.2f} s that "
                f"it states; give a whole video file"
            )
    return _Pictures(
        frames=np.stack(frames) if frames else np.empty((0, config.height_px, config.width_px, 3), np.uint8),
        times_us=np.asarray(times_us, np.int64),
        end_us=end_us,
        source_size_px=(width, height),
        truncated=truncated,
    )


def _time_us(path: Path, frame: Any, stream: Any, times_us: list[int]) -> int:
    """Return when a frame is shown; a file without timestamps is taken to run at its stated rate."""
    if frame.time is not None:
        time_us: int = round(frame.time * MICROSECONDS)
        return time_us
    if not stream.average_rate:
        raise VideoError(f"video {path}: has neither timestamps nor a frame rate; convert it to mp4 first")
    return times_us[-1] + round(MICROSECONDS / stream.average_rate) if times_us else 0


def _read_sound(path: Path, config: VideoConfig, pictures: _Pictures) -> NDArray[np.float32]:
    """Decode the sound that belongs to the pictures; an empty array if the file has none."""
    start_s = int(pictures.times_us[0]) / MICROSECONDS
    num_samples = round((pictures.end_us / MICROSECONDS - start_s) * config.sample_rate_hz)
    with _opened(path) as container:
        if not container.streams.audio:
            return np.zeros(num_samples if config.silent == "zeros" else 0, np.float32)
        sound = np.zeros(num_samples, np.float32)
        position: int | None = None
        for time_s, block in _sound_blocks(container, config.sample_rate_hz):
            if position is None:
                position = round((time_s - start_s) * config.sample_rate_hz)
            begin, end = max(position, 0), min(position + len(block), num_samples)
            if begin < end:
                sound[begin:end] = block[begin - position : end - position]
            position += len(block)
            if position >= num_samples:
                break
    return sound


def _sound_blocks(container: Any, sample_rate_hz: int) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Yield mono float32 blocks at the rate asked for, with the file's time of each block's source."""
    if container.streams.audio[0].codec_context is None:
        return
    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate_hz)
    time_s = 0.0
    for frame in container.decode(container.streams.audio[0]):
        time_s = frame.time if frame.time is not None else time_s
        for block in resampler.resample(frame):
            yield time_s, block.to_ndarray().ravel()
    for block in resampler.resample(None):
        yield time_s, block.to_ndarray().ravel()
