"""Class splits: which classes are seen and held out, and how many clips each stage should have.

The txt files decide, as in the field's evaluation (ExplainableML/AVCA-GZSL, `src/dataset.py`: clips of other classes
are masked out), even where the csv beside names more classes: UCF's `cls_split` holds 6 unseen classes in the txt and 9
in the csv, ActivityNet's 48 and 50, VGGSound's 64 and 69.

Names are compared without regard to case, as there, and spelt as in all_class.txt: UCF's lists say `HandStandPushups`
where all_class.txt says `HandstandPushups`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import TrainingError
from .layout import STAGE, UNION, Layout, checked_name

MAX_TXT_BYTES = 4 << 20
MAX_CSV_BYTES = 256 << 20
"""VGGSound's longest csv, of 81270 clips, has some 8 MB."""
MAX_CLASSES = 20_000


@dataclass(frozen=True, kw_only=True)
class ClassSplits:
    """Classes of a data set by stage.

    Attributes:
        all_names: original class names of the whole data set, sorted; a class id is a place in this list.
        stages: stage → its class names, sorted, from the txt.
        listed: stage → class → clips, from the csv; stages without a csv are absent.
    """

    all_names: tuple[str, ...]
    stages: Mapping[str, tuple[str, ...]]
    listed: Mapping[str, Mapping[str, int]]

    def __post_init__(self) -> None:
        named = {name for names in (*self.stages.values(), *self.listed.values()) for name in names}
        unknown = sorted(named - set(self.all_names))
        if unknown:
            raise TrainingError(f"class split: '{unknown[0]}' is not in all_class.txt; correct one of them")
        train, held_out = set(self.stages[STAGE["train"]]), set(self.stages[STAGE["val_unseen"]])
        for partition, allowed, words in (
            ("val_seen", train, "training classes"),
            ("test_seen", train | held_out, "training and validation classes"),
        ):
            foreign = sorted(set(self.stages[STAGE[partition]]) - allowed)
            if foreign:
                raise TrainingError(f"class split: {STAGE[partition]} holds '{foreign[0]}', allowed are {words}")
        for partition, seen in (("val_unseen", train), ("test_unseen", train | held_out)):
            shared = sorted(set(self.stages[STAGE[partition]]) & seen)
            if shared:
                raise TrainingError(f"class split: {STAGE[partition]} holds '{shared[0]}', which is a seen class")

    @property
    def used_names(self) -> tuple[str, ...]:
        """Classes of any partition, sorted."""
        return tuple(sorted({name for stage in STAGE.values() for name in self.stages[stage]}))

    def role(self, name: str) -> str:
        """Return `seen`, `val_unseen` or `test_unseen`."""
        for held_out in ("val_unseen", "test_unseen"):
            if name in self.stages[STAGE[held_out]]:
                return held_out
        return "seen"


def read_splits(layout: Layout) -> ClassSplits:
    """Read the class lists of a data set.

    Raises:
        TrainingError: missing or malformed files, unusable names, classes on both sides of a split.
    """
    folder = layout.split_folder
    all_names = read_names(layout.set_folder / "class-split" / "all_class.txt")
    spelt = {name.lower(): name for name in all_names}
    if len(spelt) != len(all_names):
        raise TrainingError(f"{layout.set_folder}: class names of all_class.txt that differ in case only; rename them")
    stages = [stage for stage in (*STAGE.values(), UNION) if stage != UNION or (folder / f"{stage}.txt").is_file()]
    return ClassSplits(
        all_names=all_names,
        stages={stage: _spelt(read_names(folder / f"{stage}.txt"), spelt) for stage in stages},
        listed={stage: count_listed(path, spelt) for stage in stages if (path := folder / f"{stage}.csv").is_file()},
    )


def _spelt(names: tuple[str, ...], spelt: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(spelt.get(name.lower(), name) for name in names))


def read_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a txt file, sorted by code point as in the field's code."""
    names = [checked_name(line.strip(), str(path)) for line in _text(path, MAX_TXT_BYTES).splitlines() if line.strip()]
    if not 1 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
        raise TrainingError(
            f"{path}: {len(names)} names, {len(set(names))} distinct; allowed are 1..{MAX_CLASSES}, each once"
        )
    return tuple(sorted(names))


def count_listed(path: Path, spelt: Mapping[str, str]) -> Mapping[str, int]:
    """Return clips per class of a stage's csv; columns are found by name, their order differs between data sets.

    Args:
        path: the csv.
        spelt: name in lower case → name of all_class.txt.
    """
    labels = Counter(row["label"].strip() for row in read_csv(path, ("label",)))
    return {spelt.get(name.lower(), checked_name(name, str(path))): count for name, count in labels.items()}


def read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a csv file.

    Args:
        path: the file; its first line names the columns, in any order.
        columns: those that must be there.

    Raises:
        TrainingError: missing, too large, not csv, or without these columns.
    """
    try:
        rows = list(csv.DictReader(_text(path, MAX_CSV_BYTES).splitlines(), strict=True))
    except csv.Error as error:
        raise TrainingError(f"{path}: not csv ({error}); unpack it again") from error
    for number, row in enumerate(rows, start=2):
        if any(not isinstance(row.get(column), str) for column in columns):
            raise TrainingError(f"{path}: line {number} lacks one of the columns {', '.join(columns)}; mend it")
    if not rows:
        raise TrainingError(f"{path}: no rows; allowed is a first line with {', '.join(columns)}, then rows")
    return rows


def _text(path: Path, max_bytes: int) -> str:
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; unpack the data set's class-split folder there")
    if path.stat().st_size > max_bytes:
        raise TrainingError(f"{path}: {path.stat().st_size} bytes; at most {max_bytes} are read")
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise TrainingError(f"{path}: not UTF-8 text ({error}); unpack it again") from error
