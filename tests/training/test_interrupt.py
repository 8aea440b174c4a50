"""Ctrl-C and kill -9 in the middle of `prepare` and `fit`."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hardware_profiles.artifact import read_json
from training.__main__ import main

from ..interrupting import Ended, command, end
from .data.clips import write_clip
from .separable import model_config, training_config, write_dataset

PREPARE = command("training", "prepare", "--config", "config.toml", "--videos", "videos", "--out", "out")
FIT = command("training", "fit", "--config", "config.toml", "--data", "data", "--out", "out")


def write_config(folder: Path, **changes: object) -> None:
    tables = {"model": model_config(), "training": training_config(**changes)}
    lines = ["[preparation]"]
    for name, values in tables.items():
        lines.append(f"[{name}]")
        for key, value in dataclasses.asdict(values).items():
            value = list(value) if isinstance(value, tuple) else value
            lines.append(f"{key} = {str(value).lower() if isinstance(value, bool) else value}")
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


def last_epoch(folder: Path) -> int:
    """Number of the last epoch that is safe on disk, −1 if there is none."""
    found = list(folder.glob(".out.resume-*/mdst/last.ckpt"))
    return int(torch.load(found[0], weights_only=True)["epoch"]) if found else -1


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data")
    (tmp_path / "data" / "manifest.json").write_text("{}")
    return tmp_path


def test_a_killed_fit_goes_on_where_it_stood_and_so_does_an_interrupted_one(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    num_epochs = 40
    write_config(prepared, epochs=num_epochs, train_context_only=False)
    ended = end(FIT, prepared, lambda pid: last_epoch(prepared) >= 2, signal.SIGKILL)
    assert ended.code == -signal.SIGKILL and not (prepared / "out").exists()
    safe = last_epoch(prepared)
    assert 2 <= safe < num_epochs - 1
    for folder in half_written(prepared):  # nobody can tidy up after kill -9
        shutil.rmtree(folder)
    assert_interrupted(end(FIT, prepared, lambda pid: last_epoch(prepared) >= safe + 2, signal.SIGINT))
    assert not half_written(prepared) and not (prepared / "out").exists()
    again = last_epoch(prepared)
    assert safe + 2 <= again < num_epochs - 1

    monkeypatch.chdir(prepared)
    assert main(FIT[3:]) == 0  # in this process: Lightning takes seconds to import
    done = capsys.readouterr()
    assert f"Epoch {again + 1}:" in done.err and f"Epoch {again}:" not in done.err
    assert done.out.startswith("out: test S ") and done.out.count("\n") == 1
    history = read_json(prepared / "out" / "metrics.json")["history"]
    assert [row["epoch"] for row in history] == list(range(num_epochs))
    assert names(prepared) == {"config.toml", "data", "out"}
