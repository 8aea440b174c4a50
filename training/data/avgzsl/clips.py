"""Clips of one partition in memory; their spikes are computed per batch, since all of VGGSound's would not fit.

T=10 steps of 2·512 + 2·512 channels for 93 752 clips are 1.9 GB as bytes and 7.7 GB as float32; the features themselves
are 384 MB, and a batch's spikes take milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import TrainingError
from ..source import Batch, Int
from .features import FeatureFile, Float, read_pair
from .layout import MODALITIES, STAGE, Layout
from .surrogate_events import Contrast, fits, piecewise_spikes, ramp_spikes
from .time_windows import Trim

MAX_PARTITION_BYTES = 16 << 30
"""A partition is read into memory whole."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StageFeatures:
    """Features of a partition.

    Attributes:
        audio: float32 `[N, K, da]`; K = 1 for averaged files, else T.
        video: float32 `[N, K, dv]`.
        label: int64 `[N]`, place of the class in the list it was read with.
        is_averaged: one vector per clip in the files.
    """

    audio: Float
    video: Float
    label: Int
    is_averaged: bool


def read_stage(layout: Layout, partition: str, classes: Mapping[str, int], trim: Trim) -> StageFeatures:
    """Read a partition's classes.

    Args:
        layout: of the data set.
        partition: its name.
        classes: class name → label, of the classes that are read; files of others are left.
        trim: what becomes of clips in files that are not averaged.

    Raises:
        TrainingError: a class without files, damaged or differing files, or more than fits.
    """
    files = {modality: layout.class_files(modality, STAGE[partition]) for modality in MODALITIES}
    pieces: dict[str, list[Float]] = {modality: [] for modality in MODALITIES}
    label: list[Int] = []
    averaged: set[bool] = set()
    num_bytes = 0
    for name, index in classes.items():
        pair = read_pair({which: _file_of(files[which], name, layout, which, partition) for which in MODALITIES})
        places = trim.places(len(pair[0].clips), index)
        for modality, file in zip(MODALITIES, pair, strict=True):
            averaged.add(file.is_averaged)
            pieces[modality].append(_same_length(file, trim, places))
            num_bytes += pieces[modality][-1].nbytes
        label.append(np.full(len(places), index, np.int64))
        _check_like_the_first(layout, partition, name, pieces, averaged, num_bytes)
    audio, video = (np.concatenate(pieces[modality]) for modality in MODALITIES)
    return StageFeatures(audio=audio, video=video, label=np.concatenate(label), is_averaged=averaged == {True})


def _same_length(file: FeatureFile, trim: Trim, places: NDArray[np.float64]) -> Float:
    """Return a class's clips, float32 `[n, K, d]`."""
    if file.is_averaged:
        return np.stack(file.clips)
    return np.stack([trim(clip, place) for clip, place in zip(file.clips, places, strict=True)])


def _file_of(files: Mapping[str, Path], name: str, layout: Layout, modality: str, partition: str) -> Path:
    if name.lower() not in files:
        folder = layout.feature_folder / modality / STAGE[partition]
        raise TrainingError(f"{folder}: no file for class '{name}'; unpack the features again")
    return files[name.lower()]


def _check_like_the_first(
    layout: Layout,
    partition: str,
    name: str,
    pieces: Mapping[str, Sequence[Float]],
    averaged: set[bool],
    num_bytes: int,
) -> None:
    where = f"{layout.feature_folder}: {STAGE[partition]}, class '{name}'"
    for modality in MODALITIES:
        first, last = pieces[modality][0].shape[2], pieces[modality][-1].shape[2]
        if first != last:
            raise TrainingError(f"{where}: {modality} vectors of {last} values, before it {first}; extract it again")
    if len(averaged) > 1:
        raise TrainingError(f"{where}: averaged and other files are mixed; keep one kind in a features folder")
    if num_bytes > MAX_PARTITION_BYTES:
        raise TrainingError(f"{where}: more than {MAX_PARTITION_BYTES} bytes; take fewer steps or smaller features")


class FeatureClips:
    """One partition, with surrogate events computed per batch (see `surrogate_events`)."""

    def __init__(self, features: StageFeatures, contrasts: Mapping[str, Contrast], num_steps: int) -> None:
        """Keep the features and how they become events.

        Raises:
            TrainingError: a feature so far out that the event rule's integers do not hold it.
        """
        self.label: Int = features.label
        self._features = features
        self._contrasts = contrasts
        self._num_steps = num_steps
        for modality in MODALITIES:
            contrast = contrasts[modality]
            vectors = getattr(features, modality)
            extremes = np.stack([vectors.min(axis=(0, 1)), vectors.max(axis=(0, 1))])
            if not fits(contrast.level_q(extremes)):
                raise TrainingError(
                    f"{modality} features: values up to {np.abs(extremes).max():g}, allowed are 1024 standard "
                    f"deviations of the training clips ({contrast.scale:g} each); remove the outlier"
                )

    def batch(self, index: Int) -> Batch:
        """Return the clips at these places."""
        audio, video = self._features.audio[index], self._features.video[index]
        return Batch(
            visual_events=torch.from_numpy(self._spikes("video", video)),
            audio_events=torch.from_numpy(self._spikes("audio", audio)),
            frame_features=torch.from_numpy(video),
            audio_features=torch.from_numpy(audio),
        )

    def _spikes(self, modality: str, vectors: Float) -> NDArray[np.float32]:
        contrast = self._contrasts[modality]
        level_q = contrast.level_q(vectors)
        if self._features.is_averaged:
            return ramp_spikes(level_q[:, 0], self._num_steps, contrast.thresholds_q)
        return piecewise_spikes(level_q, contrast.thresholds_q)


def training_contrast(vectors: Float, start: str, *, on: float, off: float) -> Contrast:
    """Return how a modality's features become levels, from the training clips `[N, K, d]` alone.

    The scale is one number per modality, so that features that vary more emit more events:
    scale² = mean over features of the variance over clips.

    Raises:
        TrainingError: all training clips have the same features.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    mean = flat.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(flat.var(axis=0, dtype=np.float64).mean()))
    if not scale > 0:
        raise TrainingError("features: all training clips are the same, allowed are features that vary; extract again")
    zero = np.zeros_like(mean) if start == "zero" else mean
    return Contrast(start=zero.astype(np.float32), scale=scale, on=on, off=off)
