"""Gathers one report from the folders of earlier stages: what is there, and by name what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..activity import Activity, read_activity
from ..artifact import MANIFEST
from ..energy import EnergyReport, price
from ..errors import ArtifactError
from ..profile import Profile
from ..reference_file import ReferenceMeasurement, read_reference
from ..rungs import PARITY_FILE, Rung, read_parity
from .stage_files import (
    Accuracy,
    ExportSummary,
    LayerThresholds,
    TrainingHistory,
    read_accuracy,
    read_export,
    read_manifest,
    read_thresholds,
    read_training,
)

T = TypeVar("T")
SCHEMA = "axonport-report"
SCHEMA_VERSION = 1
STAGES = ("training", "export", "simulation", "scores", "reference")
"""The folders that a report can be made from, in the order of the pipeline."""

FILES = {
    "training": ("metrics.json", MANIFEST),
    "export": ("parity.json", "export_report.json", MANIFEST),
    "simulation": ("activity.json", "parity.json", "thresholds.json", MANIFEST),
    "scores": ("accuracy.json", MANIFEST),
    "reference": ("reference.json", MANIFEST),
}
"""What a report reads in each folder; every file is optional."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a report shows; `report.json` is this, field by field.

    Attributes:
        schema: `axonport-report`.
        schema_version: raised when a field changes its meaning.
        activity: event counts, None if absent.
        energies: one bill per profile; empty without activity.
        rungs: the parity ladder, lowest rung first.
        accuracy: scores, None if absent.
        training: loss and validation accuracy over the epochs, None if absent.
        export: what was carried and quantised, None if absent.
        thresholds: dynamic thresholds over time.
        references: CPU/GPU reference.
        profiles: the profiles used, with every coefficient and source.
        manifests: stage name to its manifest.
        absent: one line for every input that a section lacks.
    """

    schema: str
    schema_version: int
    activity: Activity | None
    energies: tuple[EnergyReport, ...]
    rungs: tuple[Rung, ...]
    accuracy: Accuracy | None
    training: TrainingHistory | None
    export: ExportSummary | None
    thresholds: tuple[LayerThresholds, ...]
    references: tuple[ReferenceMeasurement, ...]
    profiles: tuple[Profile, ...]
    manifests: dict[str, dict[str, Any]]
    absent: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)


def input_files(folders: Mapping[str, Path | None]) -> dict[str, Path]:
    """Return every file that a report from `folders` is made from, so that a changed one makes it stale."""
    return {
        f"{stage}/{name}": folder / name
        for stage, folder in folders.items()
        if folder is not None
        for name in FILES[stage]
        if (folder / name).is_file()
    }


def gather(folders: Mapping[str, Path | None], profiles: Sequence[Profile]) -> Report:
    """Read what the stages wrote and price it.

    Args:
        folders: stage name (one of `STAGES`) to its folder, None where not given.
        profiles: chips to price on.

    Raises:
        ArtifactError: a folder that was named does not exist, or a file in it is damaged.
        ProfileError: a profile is no chip.
    """
    for stage, folder in folders.items():
        if folder is not None and not folder.is_dir():
            raise ArtifactError(f"--{stage} {folder}: no such folder; run that stage first or leave the option out")
    reader = _Reader(folders)
    activity = reader.read("simulation", "activity.json", read_activity, "spikes, synops and energy")
    rungs = (
        reader.read("export", PARITY_FILE, read_parity, "parity of snnTorch and IR") or (),
        reader.read("simulation", PARITY_FILE, read_parity, "parity of integer specification and Lava") or (),
    )
    return Report(
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        activity=activity,
        energies=tuple(price(activity, profile) for profile in profiles) if activity else (),
        rungs=rungs[0] + rungs[1],
        accuracy=reader.read("scores", "accuracy.json", read_accuracy, "accuracy before and after quantisation"),
        training=reader.read("training", "metrics.json", read_training, "loss over the epochs"),
        export=reader.read("export", "export_report.json", read_export, "what was carried and quantised"),
        thresholds=reader.read("simulation", "thresholds.json", read_thresholds, "thresholds over time") or (),
        references=reader.read("reference", "reference.json", read_reference, "CPU/GPU reference") or (),
        profiles=tuple(profiles),
        manifests=reader.manifests(),
        absent=tuple(reader.absent),
    )


class _Reader:
    """Reads optional files and remembers which were not there."""

    def __init__(self, folders: Mapping[str, Path | None]) -> None:
        self.folders = folders
        self.absent: list[str] = []

    def read(self, stage: str, name: str, read: Callable[[Path], T], what: str) -> T | None:
        folder = self.folders.get(stage)
        if folder is None:
            self.absent.append(f"{what}: no --{stage} folder was given, so {name} was not read")
            return None
        if not (folder / name).is_file():
            self.absent.append(f"{what}: the {stage} folder holds no {name}")
            return None
        return read(folder / name)

    def manifests(self) -> dict[str, dict[str, Any]]:
        found = {}
        for stage in STAGES:
            folder = self.folders.get(stage)
            if folder is None:
                continue
            if (folder / MANIFEST).is_file():
                found[stage] = read_manifest(folder / MANIFEST)
            else:
                self.absent.append(f"provenance: the {stage} folder holds no {MANIFEST}, so its origin is unknown")
        return found
