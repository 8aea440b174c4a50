"""The prepared data set, `dataset.h5`: what is in it, how it is written, and how it is read with every check.

```
/                    attrs: format = "axonport-dataset-2", config (JSON of [preparation]), origin (one line)
/classes             names, split, attribute_names (text), attributes float32 [C, A]; absent for unlabelled clips
/<partition>         train, val_*, test_*, flipped_* as in `classes.PARTITION_SPLIT`; or clips, with every label −1
    visual_events    uint8   [N, T, 2·cells·cells]      0 or 1; polarity, row, column
    audio_events     uint8   [N, T, 2·num_bands]        0 or 1; polarity, band
    frame_features   float32 [N, T, frame_cells²·3]     0..1; row, column, RGB
    audio_features   float32 [N, T, num_bands]          0..1
    label            int64   [N]                        row of /classes, or −1
    path             text    [N]                        below the folder of videos
```
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from .classes import PARTITION_SPLIT, UNSTATED_ORIGIN, ClassTable, check_origin

FORMAT = "axonport-dataset-2"
DATASET_FILE = "dataset.h5"
UNLABELLED = "clips"
PARTITIONS = (*PARTITION_SPLIT, UNLABELLED)
FEATURES = {
    "visual_events": np.uint8,
    "audio_events": np.uint8,
    "frame_features": np.float32,
    "audio_features": np.float32,
}
"""Per-clip arrays `[T, n]` and their types."""
MAX_PARTITION_BYTES = 16 << 30
"""A partition is read into memory whole; a file that claims more is refused."""


class ClipFeatures(NamedTuple):
    """What one clip becomes; each `[T, n]` as in the data set."""

    visual_events: NDArray[np.uint8]
    audio_events: NDArray[np.uint8]
    frame_features: NDArray[np.float32]
    audio_features: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One partition in memory, checked.

    Attributes:
        name: one of `PARTITIONS`.
        visual_events: uint8 `[N, T, nv]`, 0 or 1.
        audio_events: uint8 `[N, T, na]`, 0 or 1.
        frame_features: float32 `[N, T, nf]`, 0..1.
        audio_features: float32 `[N, T, nb]`, 0..1.
        label: int64 `[N]`, index into the classes, −1 without classes.
        path: N paths below the folder of videos.
    """

    name: str
    visual_events: NDArray[np.uint8]
    audio_events: NDArray[np.uint8]
    frame_features: NDArray[np.float32]
    audio_features: NDArray[np.float32]
    label: NDArray[np.int64]
    path: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def num_bins(self) -> int:
        """Time bins T."""
        return int(self.visual_events.shape[1])


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a data set holds, without its arrays.

    Attributes:
        path: the HDF5 file.
        config: the [preparation] settings that it was made with.
        classes: class table, None for unlabelled clips.
        num_clips: clips per partition.
        origin: where the clips come from, one line; whatever reports numbers on them says it.
    """

    path: Path
    config: Mapping[str, Any]
    classes: ClassTable | None
    num_clips: Mapping[str, int]
    origin: str


class DatasetWriter:
    """Appends clips to a new HDF5 file, one at a time, so that memory does not grow with their number."""

    def __init__(self, file: h5py.File, config: Mapping[str, Any], classes: ClassTable | None) -> None:
        """Write the header into an empty, open file."""
        self._file = file
        file.attrs["format"] = FORMAT
        file.attrs["config"] = json.dumps(dict(config))
        file.attrs["origin"] = UNSTATED_ORIGIN if classes is None else classes.origin
        if classes is not None:
            group = file.create_group("classes")
            for name, texts in (
                ("names", classes.names),
                ("split", classes.splits),
                ("attribute_names", classes.attribute_names),
            ):
                group.create_dataset(name, data=list(texts), dtype=h5py.string_dtype())
            group.create_dataset("attributes", data=classes.attributes)

    def append(self, partition: str, features: ClipFeatures, label: int, path: str) -> None:
        """Add one clip to a partition."""
        values = {**features._asdict(), "label": np.int64(label), "path": path}
        group = self._file.require_group(partition)
        for name, value in values.items():
            if name not in group:
                shape = np.shape(value)
                group.create_dataset(
                    name,
                    shape=(0, *shape),
                    maxshape=(None, *shape),
                    dtype=h5py.string_dtype() if name == "path" else value.dtype,
                    chunks=(1, *shape) if shape else (1024,),
                    compression="gzip" if shape else None,
                    compression_opts=1 if shape else None,
                )
            rows = group[name]
            rows.resize(len(rows) + 1, axis=0)
            rows[-1] = value


def open_dataset(path: Path) -> Dataset:
    """Read what a data set holds.

    Args:
        path: `dataset.h5`, or the folder that `python -m training prepare` wrote.

    Raises:
        TrainingError: missing, foreign or damaged file.
    """
    path = path / DATASET_FILE if path.is_dir() else path
    with _opened(path) as file:
        names = [name for name in PARTITIONS if name in file]
        unknown = sorted(set(file) - {*PARTITIONS, "classes"})
        if unknown or not names:
            raise TrainingError(
                f"dataset {path}: partitions {names}, unknown groups {unknown}; allowed are {', '.join(PARTITIONS)}"
            )
        classes = _read_classes(path, file) if "classes" in file else None
        num_clips = {name: len(_array(path, file[name], "label")) for name in names}
        return Dataset(
            path=path,
            config=json.loads(file.attrs["config"]),
            classes=classes,
            num_clips=num_clips,
            origin=check_origin(file.attrs["origin"]),
        )


def load_partition(path: Path, name: str) -> Partition:
    """Read one partition into memory.

    Args:
        path: as for `open_dataset`.
        name: of the partition.

    Raises:
        TrainingError: missing partition, wrong shapes or types, values out of range, NaN.
    """
    dataset = open_dataset(path)
    if name not in dataset.num_clips:
        raise TrainingError(f"dataset {dataset.path}: no partition '{name}'; it holds {', '.join(dataset.num_clips)}")
    with _opened(dataset.path) as file:
        group = file[name]
        sizes = {field: _array(dataset.path, group, field) for field in (*FEATURES, "label", "path")}
        _check_shapes(f"dataset {dataset.path}: {name}", sizes)
        arrays = {field: sizes[field][...] for field in FEATURES}
        partition = Partition(
            name=name, label=sizes["label"][...], path=tuple(sizes["path"].asstr()[...].tolist()), **arrays
        )
    _check_values(f"dataset {dataset.path}: {name}", partition, dataset.classes)
    return partition


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a data set and turn what HDF5 says about damaged files into one line."""
    if not path.is_file():
        raise TrainingError(f"dataset {path}: no such file; write it with `python -m training prepare`")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise TrainingError(
                    f"dataset {path}: format {file.attrs.get('format')!r}, allowed is '{FORMAT}'; "
                    f"write it with `python -m training prepare`"
                )
            yield file
    except TrainingError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"dataset {path}: damaged ({reason}); prepare it again") from error


def _array(path: Path, group: Any, name: str) -> h5py.Dataset:
    """Return an array of a group; links into other files are not followed."""
    if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise TrainingError(f"dataset {path}: {getattr(group, 'name', '?')} lacks '{name}'; prepare it again")
    array = group[name]
    if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
        raise TrainingError(f"dataset {path}: {array.name} is no plain array; prepare it again")
    return array


def _read_classes(path: Path, file: h5py.File) -> ClassTable:
    group = file["classes"]
    texts = {
        name: tuple(_array(path, group, name).asstr()[...].tolist()) for name in ("names", "split", "attribute_names")
    }
    attributes = _array(path, group, "attributes")
    if attributes.dtype != np.float32:
        raise TrainingError(f"dataset {path}: /classes/attributes is {attributes.dtype}, allowed is float32")
    return ClassTable(
        names=texts["names"],
        splits=texts["split"],
        attributes=attributes[...],
        attribute_names=texts["attribute_names"],
        origin=check_origin(file.attrs["origin"]),
    )


def _check_shapes(where: str, arrays: Mapping[str, h5py.Dataset]) -> None:
    """Compare types and shapes as the file states them, before anything is read."""
    num_clips = arrays["label"].shape
    if len(num_clips) != 1 or not num_clips[0]:
        raise TrainingError(f"{where}/label: shape {num_clips}, allowed is [N] with N at least 1; prepare it again")
    num_bins = arrays["visual_events"].shape[1:2]
    for name, array in arrays.items():
        is_feature = name in FEATURES
        if array.shape[:2] != (num_clips + num_bins if is_feature else num_clips) or array.ndim != 1 + 2 * is_feature:
            raise TrainingError(
                f"{where}/{name}: shape {array.shape}, allowed is {'[N, T, n]' if is_feature else '[N]'} with "
                f"N, T = {num_clips + num_bins}; prepare it again"
            )
        dtype = np.dtype(FEATURES.get(name, np.int64))
        if name != "path" and array.dtype != dtype:
            raise TrainingError(f"{where}/{name}: type {array.dtype}, allowed is {dtype}; prepare it again")
    num_bytes = sum(array.size * array.dtype.itemsize for array in arrays.values())
    if num_bytes > MAX_PARTITION_BYTES:
        raise TrainingError(
            f"{where}: {num_bytes} bytes, allowed are {MAX_PARTITION_BYTES}; prepare smaller partitions"
        )


def _check_values(where: str, partition: Partition, classes: ClassTable | None) -> None:
    """Check ranges, and that held-out classes stay where they belong."""
    for name in FEATURES:
        array = getattr(partition, name)
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise TrainingError(f"{where}/{name}: NaN or values outside 0..1; prepare it again")
    if classes is None:
        if (partition.label != -1).any():
            raise TrainingError(f"{where}/label: labels without a /classes group; prepare it again")
        return
    if partition.label.min() < 0 or partition.label.max() >= len(classes.names):
        raise TrainingError(f"{where}/label: outside 0..{len(classes.names) - 1}; prepare it again")
    allowed = PARTITION_SPLIT.get(partition.name, ())
    wrong = sorted({classes.names[i] for i in partition.label if classes.splits[i] not in allowed})
    if wrong:
        raise TrainingError(
            f"{where}: holds {wrong[0]}, allowed are classes of {' and '.join(allowed) or 'no split'} only; "
            "prepare it again"
        )
