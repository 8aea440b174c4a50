"""Ctrl-C and kill -9 in the middle of `prepare` and `fit`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from hardware_profiles.artifact import read_json
from training.__main__ import main
from training.config import ProtocolConfig

from ..interrupting import Ended, command, end
from .data.clips import write_clip
from .separable import model_config, training_config, write_dataset

PREPARE = command("training", "prepare", "--config", "config.toml", "--videos", "videos", "--out", "out")
FIT = command("training", "fit", "--config", "config.toml", "--data", "data", "--out", "out")


def write_config(folder: Path, **changes: object) -> None:
    tables = {"model": model_config(), "training": training_config(**changes), "protocol": ProtocolConfig()}
    lines = ["[preparation]"]
    for name, values in tables.items():
        lines.append(f"[{name}]")
        for key, value in dataclasses.asdict(values).items():
            value = list(value) if isinstance(value, tuple) else value
            lines.append(f"{key} = {json.dumps(value)}")
    (folder / "config.toml").write_text("\n".join(lines) + "\n")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def half_written(folder: Path) -> list[Path]:
    """The temporary folders that become --out in the end."""
    return [path for path in folder.glob(".out.*") if not path.name.startswith(".out.resume-")]


def assert_interrupted(ended: Ended) -> None:
    assert ended.code == 130
    assert ended.last_line.startswith("python -m training: interrupted")
    assert "Traceback" not in ended.errors and "Error" not in ended.errors
    assert ended.out == ""


def opened(folder: Path) -> bool:
    return bool(half_written(folder))


def some_clips_done(folder: Path) -> bool:
    return any(path.stat().st_size > 100_000 for path in folder.glob(".out.*/dataset.h5"))


@pytest.mark.parametrize("reached", [opened, some_clips_done])
def test_ctrl_c_in_prepare(tmp_path: Path, reached: Callable[[Path], bool]) -> None:
    write_config(tmp_path)
    first = write_clip(tmp_path / "videos" / "0.mp4")
    for number in range(1, 400):  # many, so that a fast machine is still at it when the signal comes
        os.link(first, first.with_name(f"{number}.mp4"))
    assert_interrupted(end(PREPARE, tmp_path, lambda pid: reached(tmp_path), signal.SIGINT))
    assert names(tmp_path) == {"config.toml", "videos"}


class Progress(NamedTuple):
    """How far a run is, as far as it is safe on disk."""

    stage: str
    epoch: int
    step: int


def progress(folder: Path) -> Progress:
    """Read Lightning's state of the stage that is under way; ("", 0, 0) before there is one."""
    for stage in ("B", "A"):
        found = list(folder.glob(f".out.resume-*/mdst/{stage}/last.ckpt"))
        if found:
            state = torch.load(found[0], weights_only=True)
            return Progress(stage, len(state["history"]), state["within_epoch"]["step"])
    return Progress("", 0, 0)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data")
    (tmp_path / "data" / "manifest.json").write_text("{}")
    return tmp_path


def kill_when(prepared: Path, reached: Callable[[Progress], bool]) -> Progress:
    ended = end(FIT, prepared, lambda pid: reached(progress(prepared)), signal.SIGKILL)
    assert ended.code == -signal.SIGKILL and not (prepared / "out").exists()
    for folder in half_written(prepared):  # nobody can tidy up after kill -9
        shutil.rmtree(folder)
    return progress(prepared)


def test_a_killed_fit_goes_on_where_it_stood_and_ends_in_the_same_bytes(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed within an epoch of each stage, interrupted between, and at last equal to a run in one go."""
    num_epochs = 30
    write_config(prepared, epochs=num_epochs, schedule="constant", checkpoint_steps=2, train_context_only=False)
    monkeypatch.chdir(prepared)
    assert main(FIT[3:]) == 0  # in this process: Lightning takes seconds to import
    whole = {name: (prepared / "out" / name).read_bytes() for name in ("checkpoint.safetensors", "metrics.json")}
    shutil.rmtree(prepared / "out")
    capsys.readouterr()

    first = kill_when(prepared, lambda now: now.epoch >= 2 and now.step > 0)
    assert first.stage == "A" and 2 <= first.epoch < num_epochs - 4
    ended = end(FIT, prepared, lambda pid: progress(prepared).epoch >= first.epoch + 2, signal.SIGINT)
    assert_interrupted(ended)
    assert f"Epoch {first.epoch}:" in ended.errors and f"Epoch {first.epoch - 1}:" not in ended.errors
    assert not half_written(prepared) and not (prepared / "out").exists()
    second = kill_when(prepared, lambda now: now.stage == "B" and now.step > 0)
    assert second.stage == "B"

    assert main(FIT[3:]) == 0
    done = capsys.readouterr()
    assert f"Epoch {second.epoch}:" in done.err and f"Epoch {second.epoch - 1}:" not in done.err
    assert {name: (prepared / "out" / name).read_bytes() for name in whole} == whole
    metrics = read_json(prepared / "out" / "metrics.json")
    assert [row["epoch"] for row in metrics["history"]] == list(range(num_epochs))
    assert "| this run, video head" in done.out and "drawn at random by a test" in done.out
    assert names(prepared) == {"config.toml", "data", "out"}


def test_kills_at_random_moments_change_nothing(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(prepared, epochs=12, checkpoint_steps=1, train_context_only=False)
    monkeypatch.chdir(prepared)
    assert main(FIT[3:]) == 0
    whole = {name: (prepared / "out" / name).read_bytes() for name in ("checkpoint.safetensors", "metrics.json")}
    shutil.rmtree(prepared / "out")
    moments = random.Random()
    for _ in range(3):
        until = time.monotonic() + moments.uniform(0.0, 1.5)
        started = list(prepared.glob(".out.resume-*/mdst/A/last.ckpt"))
        with contextlib.suppress(AssertionError):  # it may end before its moment comes

            def late(pid: int, until: float = until) -> bool:
                return bool(started or progress(prepared).stage) and time.monotonic() > until

            kill = end(FIT, prepared, late, signal.SIGKILL)
            assert kill.code == -signal.SIGKILL
        for folder in half_written(prepared):
            shutil.rmtree(folder)
    assert main(FIT[3:]) == 0
    assert {name: (prepared / "out" / name).read_bytes() for name in whole} == whole
