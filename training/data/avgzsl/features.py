"""One class's feature file, averaged (h5) or not (pkl), and the pair of audio and video files of a class."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from export.errors import NirFileError
from export.hdf5_guard import open_checked

from ...errors import TrainingError
from .layout import MODALITIES
from .pickles import read_pickle

Float = NDArray[np.float32]
MAX_CLASS_BYTES = 1 << 30
"""Uncompressed bytes of one class file; the largest of the field has some 8 MB."""
MAX_FEATURES = 1 << 16
MAX_VECTORS = 1 << 20
"""Vectors of one clip that is not averaged: a week of seconds and more."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureFile:
    """What one file holds.

    Attributes:
        clips: per clip its vectors, float32 `[t, d]`; t = 1 where the file is averaged.
        urls: names of the clips; may be more than clips in pickles, whose writer skips empty clips but not their names.
        is_averaged: one vector per clip.
    """

    clips: Sequence[Float]
    urls: tuple[str, ...]
    is_averaged: bool

    @property
    def num_features(self) -> int:
        """Values per vector, d."""
        return int(self.clips[0].shape[1])


def read_pair(files: Mapping[str, Path]) -> tuple[FeatureFile, FeatureFile]:
    """Read a class's audio and video file and check that they hold the same clips in the same order.

    Args:
        files: `audio` and `video` → file.

    Raises:
        TrainingError: damaged files, or clips that do not match.
    """
    audio, video = (read_feature_file(files[modality]) for modality in MODALITIES)
    if len(audio.clips) != len(video.clips) or len(audio.urls) != len(video.urls):
        raise TrainingError(
            f"{files['audio']}: {len(audio.clips)} clips, {files['video']}: {len(video.clips)}; allowed are the same "
            "clips in the same order, extract both again"
        )
    if audio.urls != video.urls:
        place = next(i for i, pair in enumerate(zip(audio.urls, video.urls, strict=True)) if pair[0] != pair[1])
        raise TrainingError(
            f"{files['audio']}: clip {place} is {audio.urls[place]!r:.60}, in {files['video']} it is "
            f"{video.urls[place]!r:.60}; allowed is the same order, extract both again"
        )
    return audio, video


def read_feature_file(path: Path) -> FeatureFile:
    """Read one class's features of one modality.

    Raises:
        TrainingError: missing, damaged or foreign file, no clips, vectors of different length, NaN.
    """
    file = _READERS[path.suffix](path)
    if not file.clips or len(file.urls) < len(file.clips):
        raise TrainingError(
            f"{path}: {len(file.clips)} clips, {len(file.urls)} names; at least one, and a name for each"
        )
    if any(len(vectors) > MAX_VECTORS for vectors in file.clips) or not 1 <= file.num_features <= MAX_FEATURES:
        raise TrainingError(
            f"{path}: vectors of {file.num_features} values, allowed are 1..{MAX_FEATURES}, and {MAX_VECTORS} per clip"
        )
    if any(vectors.shape[1] != file.num_features for vectors in file.clips):
        raise TrainingError(f"{path}: vectors of different length; extract it again")
    if not all(np.isfinite(vectors).all() for vectors in file.clips):
        raise TrainingError(f"{path}: NaN or infinity in the features; extract it again")
    return file


def count_clips(path: Path) -> int:
    """Return the number of clips of a file; of an h5 file nothing else is read."""
    if path.suffix != ".h5":
        return len(read_feature_file(path).clips)
    with _opened(path) as file:
        return int(_arrays(path, file)[0].shape[0])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an h5 file behind the guard, whose words become an error of this stage."""
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; unpack the features again")
    try:
        with open_checked(path, MAX_CLASS_BYTES) as file:
            yield file
    except NirFileError as error:
        raise TrainingError(str(error)) from error


def _arrays(path: Path, file: Any) -> tuple[h5py.Dataset, h5py.Dataset]:
    """Return `data` and `video_urls` after comparing their shapes and types; nothing is read."""
    data, urls = file.get("data"), file.get("video_urls")
    is_data = isinstance(data, h5py.Dataset) and data.ndim == 2 and data.dtype.kind == "f"
    is_urls = isinstance(urls, h5py.Dataset) and urls.ndim == 1 and h5py.check_string_dtype(urls.dtype) is not None
    if not is_data or not is_urls or len(data) != len(urls):
        raise TrainingError(f"{path}: allowed are data [n, d] of floats and video_urls [n] of text; extract it again")
    return data, urls


def _read_h5(path: Path) -> FeatureFile:
    with _opened(path) as file:
        data, urls = _arrays(path, file)
        clips = data[...].astype(np.float32)[:, None]
        names = tuple(_text(path, url) for url in urls[...].tolist())
    return FeatureFile(clips=list(clips), urls=names, is_averaged=True)


def _read_pkl(path: Path) -> FeatureFile:
    value = read_pickle(path)
    if not isinstance(value, dict) or not {"features", "video_names"} <= set(value):
        raise TrainingError(f"{path}: allowed is a dict of features, video_names and fps; extract it again")
    vectors, names = value["features"], value["video_names"]
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(vectors, list | np.ndarray) or not isinstance(names, list):
        raise TrainingError(f"{path}: features and video_names must be lists, one entry per clip; extract it again")
    for entry in vectors:
        if not isinstance(entry, np.ndarray) or entry.ndim != 2 or entry.dtype.kind != "f" or not entry.size:
            raise TrainingError(f"{path}: a clip's features must be an array [t, d] of floats; extract it again")
    if sum(entry.nbytes for entry in vectors) > path.stat().st_size:
        raise TrainingError(f"{path}: clips that share their features beyond the file's size; extract it again")
    clips = [entry.astype(np.float32) for entry in vectors]
    return FeatureFile(clips=clips, urls=tuple(_text(path, name) for name in names), is_averaged=False)


_READERS: Mapping[str, Callable[[Path], FeatureFile]] = {".h5": _read_h5, ".pkl": _read_pkl}


def _text(path: Path, name: Any) -> str:
    if isinstance(name, str):
        return name
    try:
        if isinstance(name, bytes):
            return name.decode("utf-8")
    except ValueError as error:
        raise TrainingError(f"{path}: a clip's name is not UTF-8 ({error}); extract it again") from error
    raise TrainingError(f"{path}: a clip's name is {type(name).__name__}, allowed is text; extract it again")
