"""The classes of a data set: names, attribute vectors, and which of them are held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.artifact import read_json, write_json

from ..errors import TrainingError

FORMAT = "axonport-classes-1"
CLASSES_FILE = "classes.json"
SPLITS = ("seen", "val_unseen", "test_unseen")
PARTITION_SPLIT = {
    "train": ("seen",),
    "val_seen": ("seen",),
    "val_unseen": ("val_unseen",),
    "test_seen": ("seen", "val_unseen"),
    "test_unseen": ("test_unseen",),
    "flipped_seen": ("seen", "val_unseen"),
    "flipped_unseen": ("test_unseen",),
}
"""Partitions of a zero-shot data set, and the splits whose classes each may hold.

As in the field (AVCA-GZSL): settings are chosen by training on `train`; what is tested is trained on `train`,
`val_seen` and `val_unseen` together, so `test_seen` holds the validation's unseen classes too. `flipped_*` are
`test_*` again before misleading backgrounds, and may be absent.
"""
PAIRED_PARTITION = {"flipped_seen": "test_seen", "flipped_unseen": "test_unseen"}
"""Partitions that show another partition's clips before other backgrounds."""
UNSTATED_ORIGIN = "videos of unstated origin"
MAX_ORIGIN_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """Names, splits and attribute vectors of C classes.

    Attributes:
        names: C distinct names, each usable as a folder name.
        splits: per class `seen`, `val_unseen` or `test_unseen`.
        attributes: float32 `[C, A]`, finite, no row zero.
        attribute_names: A names.
        origin: where the clips come from, one line; whatever reports numbers on them says it.
    """

    names: tuple[str, ...]
    splits: tuple[str, ...]
    attributes: NDArray[np.float32]
    attribute_names: tuple[str, ...]
    origin: str = UNSTATED_ORIGIN

    def __post_init__(self) -> None:
        num_classes = len(self.names)
        if not num_classes or len(set(self.names)) != num_classes:
            raise TrainingError(f"{num_classes} class names, {len(set(self.names))} distinct; give each class one name")
        for name in self.names:
            if not name or name.startswith(".") or "/" in name or "\\" in name:
                raise TrainingError(f"class '{name}': not a folder name; use letters, digits and '-'")
        unknown = sorted(set(self.splits) - set(SPLITS))
        if unknown or len(self.splits) != num_classes:
            raise TrainingError(
                f"splits: {len(self.splits)} for {num_classes} classes, unknown {unknown}; "
                f"allowed is one of {', '.join(SPLITS)} per class"
            )
        if self.attributes.ndim != 2 or self.attributes.shape != (num_classes, len(self.attribute_names)):
            raise TrainingError(
                f"attributes: shape {self.attributes.shape}, allowed is ({num_classes}, {len(self.attribute_names)}): "
                f"one row per class, one column per attribute name"
            )
        if not np.isfinite(self.attributes).all() or not self.attributes.any(axis=1).all():
            raise TrainingError("attributes: NaN, infinity or an all-zero row; give every class a finite vector")
        check_origin(self.origin)


def check_origin(origin: Any) -> str:
    """Return what says where clips come from.

    Raises:
        TrainingError: it is no line of 1 to 200 printable characters.
    """
    if isinstance(origin, str) and origin.strip() and origin.isprintable() and len(origin) <= MAX_ORIGIN_LENGTH:
        return origin
    raise TrainingError(
        f"origin: allowed is one line of 1 to {MAX_ORIGIN_LENGTH} printable characters; say where the clips come from"
    )


def write_classes(path: Path, table: ClassTable) -> None:
    """Write a class table as JSON."""
    rows = zip(table.names, table.splits, table.attributes, strict=True)
    classes = [
        {"name": name, "split": split, "attributes": [float(value) for value in row]} for name, split, row in rows
    ]
    write_json(
        path,
        {
            "format": FORMAT,
            "origin": table.origin,
            "attribute_names": list(table.attribute_names),
            "classes": classes,
        },
    )


def read_classes(path: Path) -> ClassTable:
    """Read a class table.

    Raises:
        ArtifactError: missing, too large, or not JSON.
        TrainingError: not a class table, or its values contradict each other.
    """
    values: Any = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise TrainingError(f"{path}: not a class table; allowed is format '{FORMAT}', written by `training render`")
    try:
        rows = [(str(row["name"]), str(row["split"]), row["attributes"]) for row in values["classes"]]
        attributes = np.array([row[2] for row in rows], np.float32)
        attribute_names = tuple(str(name) for name in values["attribute_names"])
        origin = values.get("origin", UNSTATED_ORIGIN)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path}: damaged class table ({error!r}); each class needs name, split and equally many attributes"
        ) from error
    try:
        return ClassTable(
            names=tuple(row[0] for row in rows),
            splits=tuple(row[1] for row in rows),
            attributes=attributes,
            attribute_names=attribute_names,
            origin=origin,
        )
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from error
