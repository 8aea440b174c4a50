"""What is on disk, compared with the lists beside it and with the field's numbers; differences are told, not hidden."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import TrainingError
from .features import count_clips
from .layout import MODALITIES, STAGE, UNION, Layout
from .splits import ClassSplits

PUBLISHED = {
    "UCF": {
        "train": (3174, 30),
        "val_seen": (353, 30),
        "val_unseen": (1467, 12),
        "test_seen": (555, 42),
        "test_unseen": (1267, 9),
    },
    "ActivityNet": {
        "train": (9204, 99),
        "val_seen": (1023, 99),
        "val_unseen": (4307, 51),
        "test_seen": (1615, 150),
        "test_unseen": (4199, 50),
    },
    "VGGSound": {
        "train": (70351, 138),
        "val_seen": (7817, 138),
        "val_unseen": (3102, 69),
        "test_seen": (9032, 207),
        "test_unseen": (3450, 69),
    },
}
"""Clips and classes per partition: csv files of ExplainableML/AVCA-GZSL, for VGGSound the file lists of TCAF-GZSL."""


def count_on_disk(layout: Layout, *, with_pickles: bool) -> dict[str, dict[str, int]]:
    """Return stage → class in lower case → clips of every stage that has files.

    Args:
        layout: of the data set.
        with_pickles: also count pickles, which have to be read whole; features of h5 files are not read.

    Raises:
        TrainingError: damaged files, or audio and video files of different classes or numbers of clips.
    """
    counts: dict[str, dict[str, int]] = {}
    for stage in (*STAGE.values(), UNION):
        audio, video = (
            {
                name: count_clips(path)
                for name, path in layout.class_files(modality, stage).items()
                if with_pickles or path.suffix == ".h5"
            }
            for modality in MODALITIES
        )
        if audio != video:
            name = sorted(name for name in {*audio, *video} if audio.get(name) != video.get(name))[0]
            raise TrainingError(
                f"{layout.feature_folder}: {stage}, class '{name}': {audio.get(name, 0)} audio clips, "
                f"{video.get(name, 0)} video clips; allowed are equal numbers, unpack the features again"
            )
        if audio:
            counts[stage] = audio
    return counts


def differences(name: str, splits: ClassSplits, on_disk: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Return, one line each, where files, lists and published numbers do not agree.

    Args:
        name: of the data set.
        splits: its class lists.
        on_disk: stage → class in lower case → clips, see `count_on_disk`.
    """
    return (
        *_lists_that_differ(splits),
        *_files_against_lists(splits, on_disk),
        *_lists_against_published(name, splits),
        *_union_against_parts(on_disk),
    )


def _lists_that_differ(splits: ClassSplits) -> list[str]:
    """Name classes that a csv lists and the txt leaves out, or the other way round."""
    lines = []
    for stage, listed in splits.listed.items():
        named = set(splits.stages.get(stage, listed))
        only_csv, only_txt = sorted(set(listed) - named), sorted(named - set(listed))
        if only_csv:
            lines.append(
                f"{stage}: the csv lists {len(listed)} classes, the txt {len(named)}; left out as in the field's "
                f"evaluation: {', '.join(only_csv)}"
            )
        if only_txt:
            lines.append(f"{stage}: the csv lists no clips of {', '.join(only_txt)}")
    return lines


def _files_against_lists(splits: ClassSplits, on_disk: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = []
    for stage, listed in splits.listed.items():
        if stage not in on_disk:
            continue  # the union need not be there; a partition that is not is an error when it is read
        found = on_disk[stage]
        wrong = [
            f"{name} {found.get(name.lower(), 0)} of {count}"
            for name, count in sorted(listed.items())
            if found.get(name.lower(), 0) != count and name in splits.stages[stage]
        ]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            lines.append(f"{stage}: clips on disk differ from the csv: {', '.join(wrong[:5])}{more}")
    return lines


def _lists_against_published(name: str, splits: ClassSplits) -> list[str]:
    lines = []
    for partition, (clips, classes) in PUBLISHED.get(name, {}).items():
        listed = splits.listed.get(STAGE[partition])
        if listed is not None and (sum(listed.values()), len(listed)) != (clips, classes):
            lines.append(
                f"{STAGE[partition]}: the csv lists {sum(listed.values())} clips of {len(listed)} classes, published "
                f"are {clips} of {classes}"
            )
    return lines


def _union_against_parts(on_disk: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Check that `stage_2_train`, where it is there, is what stage B is trained on."""
    if UNION not in on_disk:
        return []
    parts = [on_disk.get(STAGE[partition], {}) for partition in ("train", "val_seen", "val_unseen")]
    names = {*on_disk[UNION], *(name for part in parts for name in part)}
    sums = {name: sum(part.get(name, 0) for part in parts) for name in names}
    wrong = sorted(name for name in names if sums[name] != on_disk[UNION].get(name, 0))
    return [f"{UNION}: clips differ from the three stages that it unites: {', '.join(wrong[:5])}"] if wrong else []
