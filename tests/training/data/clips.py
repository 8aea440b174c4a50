"""Small real video files for the tests."""

from pathlib import Path

import av
import numpy as np

from training.data.write_video import write_video

FRAME_RATE_HZ, SAMPLE_RATE_HZ = 16, 16_000


def moving_frames(num_frames=17, size_px=64):
    """A bright square that moves two pixels to the right each frame."""
    frames = np.full((num_frames, size_px, size_px, 3), 70, np.uint8)
    for k in range(num_frames):
        frames[k, 24:40, 8 + 2 * k : 24 + 2 * k] = (220, 200, 180)
    return frames


def clicks(num_samples=17_000, period=5000):
    """Tone bursts of 20 ms, so that a lag would show."""
    index = np.arange(num_samples)
    tone = 0.6 * np.sin(2 * np.pi * 1000 * index / SAMPLE_RATE_HZ)
    return np.where(index % period < 320, tone, 0).astype(np.float32)


def write_clip(path: Path, *, num_frames=17, sound=None):
    """An ordinary mp4 file with pictures and sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, moving_frames(num_frames), FRAME_RATE_HZ, clicks() if sound is None else sound, SAMPLE_RATE_HZ)
    return path


def write_mute(path: Path, *, codec="mpeg4", num_frames=17):
    """A video file without a sound stream."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FRAME_RATE_HZ)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        for image in moving_frames(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path
