"""Write ordinary video files with sound, through PyAV (FFmpeg's libraries)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

VIDEO_ENCODERS = (("libx264", {"crf": "14", "preset": "veryfast", "tune": "zerolatency"}), ("mpeg4", {"qscale": "2"}))
"""Encoders in order of preference with their settings; crf 14 keeps coding noise below one contrast threshold. Without
lookahead (`zerolatency`) a clip is the same bytes in every run; with it some differed (measured: 22 of 650)."""
SOUND_BIT_RATE = 96_000
SOUND_OPTIONS = {"aac_coder": "fast"}
"""The default coder takes three times as long as everything else together (measured: 33 ms a clip, with this 12)."""
SOUND_BLOCK = 1024
"""Samples per AAC frame."""


def write_video(
    path: Path, frames: NDArray[np.uint8], frame_rate_hz: int, sound: NDArray[np.float32], sample_rate_hz: int
) -> None:
    """Write an mp4 file with H.264 pictures (MPEG-4 where FFmpeg lacks x264) and AAC sound.

    Args:
        path: the file to write; its folder must exist.
        frames: uint8 RGB `[F, H, W, 3]`, H and W even.
        frame_rate_hz: frames per second.
        sound: float32 mono `[N]`, −1..1.
        sample_rate_hz: samples per second.
    """
    av.logging.set_level(None)
    with av.open(f"file:{path}", mode="w", format="mp4", options={"movflags": "+faststart"}) as container:
        encoder, options = next(item for item in VIDEO_ENCODERS if item[0] in av.codecs_available)
        pictures = container.add_stream(encoder, rate=frame_rate_hz, options=options)
        pictures.height, pictures.width = frames.shape[1:3]
        pictures.pix_fmt = "yuv420p"
        # one thread: the bytes must not depend on the number of cores
        pictures.codec_context.thread_count = 1
        voice = container.add_stream("aac", rate=sample_rate_hz, layout="mono", options=SOUND_OPTIONS)
        voice.bit_rate = SOUND_BIT_RATE
        for image in frames:
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(pictures.encode(None))
        for start in range(0, len(sound), SOUND_BLOCK):
            block = av.AudioFrame.from_ndarray(sound[None, start : start + SOUND_BLOCK], format="fltp", layout="mono")
            block.sample_rate = sample_rate_hz
            # a block without a time loses the encoder's 1024-sample start-up, and sound lags the pictures
            block.pts, block.time_base = start, Fraction(1, sample_rate_hz)
            container.mux(voice.encode(block))
        container.mux(voice.encode(None))
