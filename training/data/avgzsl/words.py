"""Word vectors of classes, by name; or, on request, by the published code's index.

The npy holds a dict: manual class name → vector. Which manual name a class has is said by the csv of class names:

    vector of class c = dict[manual(c)]

The public code of the field (AVCA-GZSL, and what was built on it) sorts the dict by *manual* name and takes the row
whose number is the class id, the place of the *original* name among the sorted original names:

    legacy vector of class c = dict[sorted(dict)[sorted(originals).index(c)]]

Where a manual name sorts elsewhere than its original, all classes in between get a neighbour's vector: 36 of the 51
classes that UCF-GZSL uses, 8 of ActivityNet-GZSL's 200. `legacy_order` reproduces that, to compare with published
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TrainingError
from .layout import Layout
from .pickles import read_object_npy
from .splits import ClassSplits, read_csv

NAME_COLUMNS = ("manual", "clip_class_name")
"""Columns of the csv that a dict's keys may come from; ClipClap's dicts use the second."""


def read_class_vectors(
    layout: Layout, splits: ClassSplits, text_files: tuple[str, ...], *, legacy_order: bool
) -> NDArray[np.float32]:
    """Return the vectors of `splits.used_names`, float32 `[C, A]`.

    Args:
        layout: of the data set.
        splits: its classes.
        text_files: npy files whose vectors are put after each other; empty: the only one there is.
        legacy_order: index as published code does.

    Raises:
        TrainingError: missing files, classes without a vector, vectors of different length, NaN.
    """
    paths = [layout.feature_folder / "text" / name for name in text_files] or [layout.word_vector_file()]
    rows = [row for path in layout.class_names_files() for row in read_csv(path, ("original", "manual"))]
    return np.concatenate([_vectors(path, rows, splits, legacy_order) for path in paths], axis=1)


def keys_by_name(
    path: Path, rows: list[dict[str, str]], names: tuple[str, ...], keys: frozenset[str]
) -> dict[str, str]:
    """Return original class name → key of the dict.

    Raises:
        TrainingError: a class that no column of names leads to a key.
    """
    for column in NAME_COLUMNS:
        key = {row["original"].lower(): row[column] for row in rows if column in row}
        if all(key.get(name.lower()) in keys for name in names):
            return {name: key[name.lower()] for name in names}
    manual = {row["original"].lower(): row["manual"] for row in rows}
    lacking = next(name for name in names if manual.get(name.lower()) not in keys)
    raise TrainingError(
        f"{path}: no vector for class '{lacking}' ({manual.get(lacking.lower())!r} in the csv of class names); "
        "correct the csv"
    )


def legacy_keys(all_names: tuple[str, ...], keys: frozenset[str]) -> dict[str, str]:
    """Return original class name → key of the dict as published code indexes it.

    Raises:
        TrainingError: fewer keys than classes, so that an index would have no row.
    """
    if len(keys) < len(all_names):
        raise TrainingError(f"legacy_order: {len(keys)} vectors for {len(all_names)} classes; set it to false")
    return dict(zip(all_names, sorted(keys), strict=False))


def _vectors(path: Path, rows: list[dict[str, str]], splits: ClassSplits, legacy_order: bool) -> NDArray[np.float32]:
    vectors = read_vectors(path)
    keys = frozenset(vectors)
    by_name = keys_by_name(path, rows, splits.used_names, keys)
    key = legacy_keys(splits.all_names, keys) if legacy_order else by_name
    return np.stack([vectors[key[name]] for name in splits.used_names])


def read_vectors(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """Read a dict of equally long vectors from an npy file.

    Raises:
        TrainingError: anything else in it.
    """
    value: Any = read_object_npy(path)
    is_dict = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    if not is_dict or not all(isinstance(vector, np.ndarray) and vector.dtype.kind == "f" for vector in value.values()):
        raise TrainingError(f"{path}: {type(value).__name__}, allowed is a dict: class name -> vector of floats")
    shapes = {vector.shape for vector in value.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not next(iter(shapes))[0]:
        raise TrainingError(f"{path}: vectors of shapes {sorted(shapes)[:3]}, allowed is one length for all classes")
    if not all(np.isfinite(vector).all() for vector in value.values()):
        raise TrainingError(f"{path}: NaN or infinity in a vector; write it again")
    return {name: vector.astype(np.float32) for name, vector in value.items()}
