"""Ctrl-C and kill -9 in the middle of `prepare` and `fit`."""

from __future__ import annotations

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


NUM_EPOCHS = 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one go: its configuration, its data, and what came out."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "data").mkdir()
    write_dataset(folder / "data")
    (folder / "data" / "manifest.json").write_text("{}")
    write_config(folder, epochs=NUM_EPOCHS, schedule="constant", checkpoint_steps=2, train_context_only=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(FIT[3:]) == 0  # in this process: Lightning takes seconds to import
    return folder


@pytest.fixture
def prepared(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("out"))
    return tmp_path / "run"


def results(folder: Path) -> dict[str, bytes]:
    wanted = ("checkpoint.safetensors", "metrics.json", "result.json", "result.md")
    return {name: (folder / "out" / name).read_bytes() for name in wanted}


def kill(prepared: Path, reached: Callable[[], bool]) -> Progress:
    """Kill -9 a fit once `reached`, and return how far it was."""
    ended = end(FIT, prepared, lambda pid: reached(), signal.SIGKILL)
    assert ended.code == -signal.SIGKILL and not (prepared / "out").exists()
    for folder in half_written(prepared):  # nobody can tidy up after kill -9
        shutil.rmtree(folder)
    return progress(prepared)


def test_a_killed_fit_goes_on_where_it_stood_and_ends_in_the_same_bytes(
    whole: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed within an epoch of each stage, interrupted between, and at last equal to a run in one go."""

    def within(stage: str) -> Callable[[], bool]:
        return lambda: progress(prepared)[::2] > (stage, 0)

    first = kill(prepared, within("A"))
    assert first.stage == "A"
    ended = end(FIT, prepared, lambda pid: progress(prepared).epoch >= first.epoch + 2, signal.SIGINT)
    assert_interrupted(ended)
    assert f"Epoch {first.epoch}:" in ended.errors and f"Epoch {first.epoch - 1}:" not in ended.errors
    assert not half_written(prepared) and not (prepared / "out").exists()
    second = kill(prepared, within("B"))
    assert second.stage == "B"

    monkeypatch.chdir(prepared)
    assert main(FIT[3:]) == 0
    done = capsys.readouterr()
    assert f"Stage B, Epoch {second.epoch}:" in done.err and f"Epoch {second.epoch - 1}:" not in done.err
    assert "Stage A" not in done.err
    assert results(prepared) == results(whole)
    assert "| this run, video head" in done.out and "drawn at random by a test" in done.out
    assert names(prepared) == {"config.toml", "data", "out"}
    metrics = read_json(prepared / "out" / "metrics.json")
    assert [row["epoch"] for row in metrics["history"]] == list(range(NUM_EPOCHS))


def test_kills_at_random_moments_change_nothing(whole: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        before, wait_s = progress(prepared), random.uniform(0.0, 0.5)
        moved: list[float] = []

        def late(before: Progress = before, wait_s: float = wait_s, moved: list[float] = moved) -> bool:
            if not moved and progress(prepared) != before:
                moved.append(time.monotonic())
            return bool(moved) and time.monotonic() > moved[0] + wait_s

        kill(prepared, late)
    monkeypatch.chdir(prepared)
    assert main(FIT[3:]) == 0
    assert results(prepared) == results(whole)
