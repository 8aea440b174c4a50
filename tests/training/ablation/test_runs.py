"""An ablation on the tiny data set: every run, kept one by one, and the same again after a cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hardware_profiles.artifact import read_json
from training.__main__ import main
from training.ablation.arms import REFERENCE, Arm
from training.ablation.config import AblationConfig
from training.ablation.report import JSON_FILE, PICTURE_FILE, TEXT_FILE, run_ablation
from training.ablation.runs import Job, Setting, make_runs
from training.config import ProtocolConfig
from training.data.section import PreparedConfig

from ..separable import NUM_BINS, model_config, training_config, write_dataset

ARMS = (Arm(REFERENCE, "the whole model", {}), Arm("no CMRM", "does it help?", {"use_reasoning": False}))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    return write_dataset(folder)


def setting(dataset: Path, work: Path) -> Setting:
    model = model_config(
        architecture="mdst++", attention="none", steps=(NUM_BINS, NUM_BINS // 2), blocks=(1, 1), channels=8, heads=2
    )
    config = training_config(epochs=4, train_context_only=False)
    return Setting(PreparedConfig(folder=str(dataset)), model, config, ProtocolConfig(stages="A"), work)


def test_runs_are_kept_and_not_made_again(dataset: Path, tmp_path: Path) -> None:
    shared = setting(dataset, tmp_path)
    rows = make_runs(ARMS, 2, shared, 1)
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm.name, seed) for arm in ARMS for seed in (0, 1)]
    assert rows[0]["num_parameters"] > rows[2]["num_parameters"], "without CMRM"
    assert rows[0]["test"] != rows[1]["test"], "seeds differ"
    assert {path.name for path in tmp_path.iterdir()} == {Job(arm, seed).file_name for arm in ARMS for seed in (0, 1)}
    kept = tmp_path / Job(ARMS[0], 1).file_name
    kept.write_text(json.dumps(read_json(kept) | {"cpu_s": -1.0}))
    (tmp_path / Job(ARMS[1], 1).file_name).unlink()
    again = make_runs(ARMS, 2, shared, 1)
    assert again[1]["cpu_s"] == -1.0, "read, not made"
    assert again[3]["test"] == rows[3]["test"], "made again, equal"


def test_the_report_has_table_picture_and_all_runs(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    config = AblationConfig(num_seeds=2, arms=("no CMRM", "context only"))
    text = run_ablation(setting(dataset, tmp_path / "work"), config, folder, "commit 0, a machine", num_workers=2)
    assert (folder / TEXT_FILE).read_text() == text and "commit 0, a machine" in text and "| no CMRM |" in text
    result = read_json(folder / JSON_FILE)
    assert [entry["arm"] for entry in result["arms"]] == [REFERENCE, "context only", "no CMRM"]
    assert len(result["runs"]) == 6 and result["cpu_h"] > 0 and set(result["clears_baselines"]) == {"test"}
    assert (folder / PICTURE_FILE).read_bytes().startswith(b"\x89PNG")


def test_the_command_refuses_what_is_no_ablation(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        f'[model]\narchitecture = "mdst"\nsteps = [{NUM_BINS}]\n[training]\nepochs = 1\nbatch_size = 8\n'
        "learning_rate = 0.001\nweight_decay = 0.0\nseed = 0\n[protocol]\n[ablation]\n"
    )
    out = tmp_path / "out"
    code = main(["ablation", "--config", str(config), "--data", str(dataset.parent), "--out", str(out)])
    assert code == 2 and not out.exists()
    assert "the ablation starts from 'mdst++'" in capsys.readouterr().err
