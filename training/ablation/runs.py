"""The runs of an ablation: every arm with every seed, side by side in OS processes, kept one by one."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hardware_profiles.artifact import read_json, write_json
from hardware_profiles.cores import num_cores

from ..config import ProtocolConfig, TrainingConfig
from ..data.reader import open_data
from ..data.section import DataConfig
from ..fit import describe, make_model
from ..model.config import ModelConfig
from ..stages import run_stages
from ..workers import map_in_workers
from .arms import Arm, shape

RUN_FORMAT = "axonport-ablation-run-1"


class Job(NamedTuple):
    """One run: an arm with a seed."""

    arm: Arm
    seed: int

    @property
    def file_name(self) -> str:
        """Name of the file that keeps its result."""
        return f"{''.join(c if c.isalnum() or c == '+' else '-' for c in self.arm.name)}_seed{self.seed}.json"


class Setting(NamedTuple):
    """What all runs share."""

    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    protocol: ProtocolConfig
    work: Path


def make_runs(arms: Sequence[Arm], num_seeds: int, setting: Setting, num_workers: int | None) -> list[dict[str, Any]]:
    """Make all runs that `setting.work` does not hold yet, and return all of them.

    Args:
        arms: variants.
        num_seeds: seeds 0 … n − 1.
        setting: what they share; a killed ablation goes on from the files in its `work` folder.
        num_workers: OS processes, None for one per core.

    Returns:
        Rows with arm, seed, seconds and what `fit.describe` says, arms in order, seeds within.
    """
    setting.work.mkdir(parents=True, exist_ok=True)
    # seeds outside, so that a part of an ablation already compares all arms
    jobs = [Job(arm, seed) for seed in range(num_seeds) for arm in arms]
    workers = min(num_cores(), len(jobs)) if num_workers is None else num_workers
    make = partial(_make_run, setting)
    with map_in_workers(make, jobs, num_workers=workers, title="ablation", unit="run") as made:
        rows = list(made)
    order = {arm.name: index for index, arm in enumerate(arms)}
    return sorted(rows, key=lambda row: (order[row["arm"]], row["seed"]))


def _make_run(setting: Setting, job: Job) -> dict[str, Any]:
    """Train and test one arm with one seed, or read what an earlier ablation kept of it."""
    kept = setting.work / job.file_name
    if kept.is_file():
        row: dict[str, Any] = read_json(kept)
        return row
    torch.set_num_threads(1)
    data = open_data(setting.data)
    training = dataclasses.replace(setting.training, seed=job.seed)
    lightning = setting.work / f"{kept.stem}.lightning"
    begin_s = time.process_time()
    maker = make_model(data, shape(setting.model, job.arm), job.seed)
    outcome = run_stages(data, maker, training, setting.protocol, lightning)
    described = describe(data, setting.protocol, outcome)
    row = {"format": RUN_FORMAT, "arm": job.arm.name, "seed": job.seed, "cpu_s": time.process_time() - begin_s}
    row |= {key: value for key, value in described.items() if not key.startswith("history") and key != "format"}
    write_json(kept, row)
    shutil.rmtree(lightning, ignore_errors=True)
    return row
