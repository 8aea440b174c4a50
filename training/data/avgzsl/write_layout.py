"""A prepared data set as feature files in the AVCA family's layout, so that other people's code reads our videos.

Frame and audio features are averaged over the clip, as the field's are; events have no place in that layout and stay in
`dataset.h5`. Read back, they would be surrogates made from these averages, not the clips' own events.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from hardware_profiles.artifact import atomic_folder, is_current, provenance

from ...errors import TrainingError
from ..classes import ClassTable
from ..dataset import Dataset, load_partition, open_dataset
from ..source import TRAINED_ON
from .layout import ORIGIN_FILE, STAGE, UNION, checked_name

FEATURES, SPLIT = "main_features", "main_split"
"""Folders that the field's code looks in by default."""
Float = NDArray[np.float32]
Clips = Mapping[str, tuple[Float, Float, tuple[str, ...]]]
"""Class → video features `[n, d]`, audio features, paths."""


def write_avgzsl_layout(dataset: Path, out: Path, name: str) -> bool:
    """Write `<out>/<name>/class-split` and `<out>/<name>/features/main_features`.

    Args:
        dataset: `dataset.h5` or its folder, with classes and all five partitions.
        out: folder to write, replaced as a whole.
        name: the data set's folder. The field's code knows `UCF`, `ActivityNet` and `VGGSound` only.

    Returns:
        False where `out` is up to date.

    Raises:
        TrainingError: clips without classes, a missing partition, or a class name that cannot be a file's.
    """
    checked_name(name, "--name")
    opened = open_dataset(dataset)
    lacking = [partition for partition in STAGE if partition not in opened.num_clips]
    if opened.classes is None or lacking:
        raise TrainingError(
            f"dataset {opened.path}: lacks {', '.join(lacking) or 'classes'}, allowed are labelled clips in all of "
            f"{', '.join(STAGE)}; prepare videos with classes.json"
        )
    names = [checked_name(label, str(opened.path)) for label in opened.classes.names]
    if len({label.lower() for label in names}) != len(names):
        raise TrainingError(f"dataset {opened.path}: class names that differ in case only; rename the classes")
    manifest = provenance("layout", {"name": name}, {"dataset": opened.path})
    if is_current(out, manifest):
        return False
    with atomic_folder(out, manifest) as work:
        _write_set(work / name, name, opened, opened.classes)
    return True


def _write_set(folder: Path, name: str, dataset: Dataset, classes: ClassTable) -> None:
    split = folder / "class-split"
    (split / SPLIT).mkdir(parents=True)
    (split / "all_class.txt").write_text(_lines(classes.names), encoding="utf-8")
    (folder / ORIGIN_FILE).write_text(f"{dataset.origin}\n", encoding="utf-8")
    _write_csv(
        split / f"{name.lower()}_w2v_class_names.csv",
        ("original", "manual"),
        ((label, label) for label in classes.names),
    )
    union: dict[str, list[tuple[Float, Float, tuple[str, ...]]]] = {}
    for partition, stage in STAGE.items():
        clips = _averaged(dataset, classes, partition)
        _write_stage(folder, stage, clips, classes)
        if partition in TRAINED_ON["B"]:
            for label, piece in clips.items():
                union.setdefault(label, []).append(piece)
    _write_stage(folder, UNION, {label: _joined(pieces) for label, pieces in union.items()}, classes)
    text = folder / "features" / FEATURES / "text"
    text.mkdir()
    words = dict(zip(classes.names, classes.attributes, strict=True))
    np.save(text / f"word_embeddings_{name.lower()}_normed.npy", np.array(words, object), allow_pickle=True)


def _averaged(dataset: Dataset, classes: ClassTable, partition: str) -> Clips:
    loaded = load_partition(dataset.path, partition)
    video = loaded.frame_features.mean(axis=1, dtype=np.float64).astype(np.float32)
    audio = loaded.audio_features.mean(axis=1, dtype=np.float64).astype(np.float32)
    places = {classes.names[index]: np.flatnonzero(loaded.label == index) for index in np.unique(loaded.label)}
    return {
        label: (video[place], audio[place], tuple(loaded.path[index] for index in place))
        for label, place in places.items()
    }


def _joined(pieces: list[tuple[Float, Float, tuple[str, ...]]]) -> tuple[Float, Float, tuple[str, ...]]:
    video, audio, paths = zip(*pieces, strict=True)
    return np.concatenate(video), np.concatenate(audio), tuple(path for part in paths for path in part)


def _write_stage(folder: Path, stage: str, clips: Clips, classes: ClassTable) -> None:
    names = sorted(clips)
    (folder / "class-split" / SPLIT / f"{stage}.txt").write_text(_lines(names), encoding="utf-8")
    code = {name: index for index, name in enumerate(sorted(classes.names))}
    rows = ((path, name, code[name]) for name in names for path in clips[name][2])
    _write_csv(folder / "class-split" / SPLIT / f"{stage}.csv", ("filename", "label", "label_code"), rows)
    for which, modality in enumerate(("video", "audio")):
        place = folder / "features" / FEATURES / modality / stage
        place.mkdir(parents=True)
        for name in names:
            with h5py.File(place / f"{name}.h5", "w") as file:
                file["data"] = clips[name][which]
                file["video_urls"] = np.array([path.encode() for path in clips[name][2]])


def _lines(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
