from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hardware_profiles.__main__ import SUBCOMMANDS, main
from hardware_profiles.activity import write_activity
from hardware_profiles.artifact import ROOT, write_json

from .report.stages import parity, rung, write_stages
from .toy import profile_toml, toy_activity


@pytest.fixture
def activity_file(tmp_path: Path) -> Path:
    path = tmp_path / "activity.json"
    write_activity(path, toy_activity(("binary_spikes", "graded_spikes", "dynamic_threshold")))
    return path


def report_arguments(folders: dict[str, Path | None], out: Path) -> list[str]:
    options = [part for stage, folder in folders.items() for part in (f"--{stage}", str(folder))]
    return ["report", *options, "--out", str(out)]


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "loihi2" in capsys.readouterr().out
    assert main(["show", "loihi1"]) == 0
    shown = capsys.readouterr().out
    assert "synop_energy: 23.6 pJ (23.6 pJ to 35.5 pJ), simulated" in shown
    assert "Davies et al." in shown
    assert "dynamic_threshold: no" in shown
    assert main(["show", "loihi2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provisional"] is True


def test_check_accepts_a_good_file_and_names_the_fault_of_a_bad_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(profile_toml())
    assert main(["check", str(path)]) == 0
    assert "profile 'toy' is valid: 13 coefficients" in capsys.readouterr().out
    path.write_text(profile_toml().replace("unit = 'J'", "unit = 'pJ'"))
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "unit is 'pJ', allowed is 'J'" in error


def test_energy_prints_the_statement_and_what_is_unpriced(
    activity_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["energy", str(activity_file), "--profile", "loihi1"]) == 0
    printed = capsys.readouterr().out
    assert "not deployable on loihi1: dynamic_threshold, graded_spikes; coefficients borrowed for comparison" in printed
    for component in ("static power", "x86 cores on the chip", "barrier", "input and output", "total"):
        assert component in printed
    assert "Loihi 2" not in printed


def test_energy_takes_several_profiles_and_a_users_own(
    activity_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(profile_toml())
    assert main(["energy", str(activity_file), "--profile", str(own), "--profile", "loihi2", "--json"]) == 0
    assert [bill["profile"] for bill in json.loads(capsys.readouterr().out)] == ["toy", "loihi2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "loihi7"], "profile loihi7: unknown; allowed are"),
        (["energy", "nowhere.json"], "nowhere.json: no such file"),
        (["check", "nowhere.toml"], "no such file"),
        (["report", "--simulation", "nowhere", "--out", "out"], "--simulation nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_energy_on_a_processor_is_refused(activity_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", str(activity_file), "--profile", "gpu-h200"]) == 2
    assert "is a processor" in capsys.readouterr().err


def test_report_writes_three_files_and_reuses_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = write_stages(tmp_path)
    out = tmp_path / "report"
    assert main(report_arguments(folders, out)) == 0
    assert capsys.readouterr().out.strip() == str(out / "report.html")
    assert {path.name for path in out.iterdir()} == {"report.html", "report.json", "report.md", "manifest.json"}
    assert main(report_arguments(folders, out)) == 0
    assert "up to date" in capsys.readouterr().err
    write_json(tmp_path / "simulation" / "parity.json", parity(rung("specification = Lava", "exact", 7)))
    assert main(report_arguments(folders, out)) == 0
    assert "up to date" not in capsys.readouterr().err
    assert "1 of 2 comparisons hold" in (out / "report.md").read_text()


def test_report_says_what_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = write_stages(tmp_path)
    assert main(report_arguments({"simulation": folders["simulation"]}, tmp_path / "report")) == 0
    assert "absent: accuracy before and after quantisation" in capsys.readouterr().err


def test_report_leaves_a_foreign_folder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = write_stages(tmp_path)
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.txt").write_text("precious")
    assert main(report_arguments(folders, out)) == 2
    assert (out / "chapter1.txt").read_text() == "precious"
    assert "holds no manifest.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", *SUBCOMMANDS])
def test_help_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"] if name else ["--help"])
    assert caught.value.code == 0
    assert ("examples:" in capsys.readouterr().out) or name


@pytest.mark.parametrize("arguments", [["list"], ["show", "loihi1"]], ids=["short", "long"])
def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "hardware_profiles", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout as out, process.stderr as err:
        out.close()
        assert err.read() == b""
    assert process.returncode == 141
