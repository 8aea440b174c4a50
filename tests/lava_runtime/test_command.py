"""`python -m lava_runtime` on a stranger's own network, in a folder of its own."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

import export.__main__
from export.interpreters.integer_interpreter import run_integer
from export.package import load_export
from hardware_profiles.activity import read_activity
from hardware_profiles.artifact import read_json
from hardware_profiles.command import run_command
from lava_runtime.__main__ import configure, handle, parser
from lava_runtime.counts import count_events

from ..interrupting import command, end
from .children import children, group

pytestmark = pytest.mark.lava

NETWORK = """
import snntorch as snn
import torch
from torch import nn

def make_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 12), snn.Leaky(0.9, init_hidden=True),
                          nn.Linear(12, 4), snn.Leaky(0.8, init_hidden=True))
    with torch.no_grad():
        for linear in (model[0], model[2]):
            linear.weight *= 3
            linear.bias.uniform_(-0.3, 0.3)
    return model
"""
NUM_SAMPLES, NUM_STEPS = 6, 20
FOLDER = {"stranger_chip.py", "x.npz", "exported"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "stranger_chip.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", input=(rng.random((NUM_SAMPLES, NUM_STEPS, 10)) < 0.4).astype(np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        words = ["stranger_chip:make_model", "--example", "x.npz", "--out", "exported"]
        assert run_command(export.__main__.parser(), export.__main__.handle, words) == 0
        sys.modules.pop("stranger_chip")
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(exported, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own"


def run(*words: str, source: str = "exported", given: str = "x.npz") -> int:
    return run_command(parser(), handle, [source, "--input", given, "--out", "out", *words])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_plain_network_runs_in_both_formats_and_granularities(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--process-samples", "2") == 0
    assert names(folder) == FOLDER | {"out"}
    assert names(folder / "out") == {
        "activity.json", "parity.json", "thresholds.json", "inputs.h5", "outputs_fixed_pt.h5",
        "outputs_floating_pt.h5", "manifest.json",
    }  # fmt: skip
    ladder = read_json(folder / "out" / "parity.json")["rungs"]
    assert [(rung["class"], rung["layers"][0]["compared"]) for rung in ladder] == [
        ("exact", NUM_SAMPLES * NUM_STEPS * 12), ("exact", 2 * NUM_STEPS * 12),
        ("bounded", NUM_SAMPLES * NUM_STEPS * 12), ("bounded", 2 * NUM_STEPS * 12),
    ]  # fmt: skip
    for rung in ladder:
        for layer in rung["layers"]:
            wrong = layer["unexplained"] if rung["class"] == "bounded" else layer["mismatches"]
            assert (wrong, layer["membrane_mismatches"] or 0) == (0, 0) and layer["spikes"] > 0
    assert capsys.readouterr().out.endswith("simulated into out\n")

    graph = load_export(folder / "exported").integer_graph
    inputs = {"input": np.load("x.npz")["input"].transpose(1, 0, 2)}
    trace = run_integer(graph, inputs)
    activity = read_activity(folder / "out" / "activity.json")
    assert activity.requires == ("binary_spikes", "subtract_reset")
    assert activity.layers == count_events(graph, inputs, trace)
    with h5py.File(folder / "out" / "outputs_fixed_pt.h5") as file:
        assert np.array_equal(file["output_count"][()], trace["3"].s.sum(axis=0))
        assert file.attrs["world"] == "Lava fixed_pt, fused"
    with h5py.File(folder / "out" / "inputs.h5") as file:
        assert np.array_equal(file["input"][()], np.load("x.npz")["input"])
    assert run("--process-samples", "2") == 0
    assert capsys.readouterr().out == "out: up to date\n"


def test_options_choose_what_runs(folder: Path) -> None:
    assert run("--samples", "3", "--number-format", "floating_pt", "--process-samples", "0") == 0
    ladder = read_json(folder / "out" / "parity.json")["rungs"]
    assert [rung["right"] for rung in ladder] == ["Lava floating_pt, fused"]
    assert ladder[0]["layers"][0]["compared"] == 3 * NUM_STEPS * 12
    assert not (folder / "out" / "outputs_fixed_pt.h5").exists()
    assert read_activity(folder / "out" / "activity.json").number_format == "floating_pt"


def test_the_command_line_outranks_the_file(folder: Path) -> None:
    (folder / "c.toml").write_text('[simulation]\nnumber_formats = ["fixed_pt"]\nprocess_samples = 7\nbatch_size = 3\n')
    words = ["exported", "--input", "x.npz", "--out", "out", "--config", "c.toml"]
    config = configure(parser().parse_args(words))
    assert (config.number_formats, config.process_samples, config.batch_size) == (("fixed_pt",), 7, 3)
    config = configure(parser().parse_args([*words, "--number-format", "both", "--process-samples", "0"]))
    assert (config.number_formats, config.process_samples) == (("fixed_pt", "floating_pt"), 0)


def test_a_rung_that_does_not_hold_is_exit_code_1_every_time(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lava_runtime import simulation

    def lying(*arguments: object) -> object:
        trace = run_integer(*arguments)  # type: ignore[arg-type]
        trace["1"].s[0, 0, 0] ^= 1
        return trace

    monkeypatch.setattr(simulation, "run_integer", lying)
    words = ("--number-format", "fixed_pt", "--process-samples", "0")
    for _ in range(2):
        assert run(*words) == 1
        message = capsys.readouterr().err
        assert message == "python -m lava_runtime: does not hold: NumPy integer interpreter = Lava fixed_pt, fused\n"


def save(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.savez(folder / "x.npz", **arrays)


def cut_integer_model(folder: Path) -> None:
    path = folder / "exported" / "integer_model.h5"
    path.write_bytes(path.read_bytes()[:3000])


def foreign_integer_model(folder: Path) -> None:
    with h5py.File(folder / "exported" / "integer_model.h5", "r+") as file:
        file.attrs["format"] = "axonport-integer-graph-9"


def other_nir_version(folder: Path) -> None:
    with h5py.File(folder / "exported" / "model.nir", "r+") as file:
        del file["version"]
        file["version"] = "99.0"


def unknown_key(folder: Path) -> None:
    (folder / "c.toml").write_text("[simulation]\nspeed = 3\n")


X = np.zeros((2, 5, 10), np.uint8)


@pytest.mark.parametrize(
    ("damage", "words", "message"),
    [
        (save(y=X), (), "input x.npz: no array 'input', there are y"),
        (save(input=X[:, :, :9]), (), "input input: shape"),
        (save(input=X[0]), (), "input input: shape (5, 10), allowed is [N, T, 10]"),
        (save(input=X[:0]), (), "allowed is one number above 0"),
        (save(input=X[:, :0]), (), "the same T ≥ 1"),
        (save(input=X + 2), (), "0 and 1"),
        (save(input=np.where(X == 0, np.nan, 0.0)), (), "'input' holds NaN or infinite values"),
        (lambda folder: (folder / "x.npz").unlink(), (), "x.npz: no such file"),
        (lambda folder: (folder / "x.npz").write_text("no"), (), "x.npz: not a readable .npz"),
        (save(input=X), ("--group", "a"), ".npz files have no groups"),
        (lambda folder: shutil.rmtree(folder / "exported"), (), "exported: no such file"),
        (lambda folder: (folder / "exported" / "deployment.json").unlink(), (), "deployment.json: no such file"),
        (cut_integer_model, (), "integer_model.h5: not a readable HDF5 file"),
        (foreign_integer_model, (), "format 'axonport-integer-graph-9', allowed is 'axonport-integer-graph-2'"),
        (other_nir_version, (), "99.0"),
        (unknown_key, ("--config", "c.toml"), "c.toml [simulation]: unknown key 'speed'"),
        (lambda folder: None, ("--samples", "0"), "--samples 0: allowed is at least 1"),
        (lambda folder: None, ("--samples", "-1"), "--samples -1: allowed is at least 1"),
        (lambda folder: None, ("--process-samples", "-1"), "process_samples"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], words: tuple[str, ...],
    message: str,
) -> None:  # fmt: skip
    damage(folder)
    before = names(folder)
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("python -m lava_runtime: error: ") and said.err.count("\n") == 1, said.err
    assert message in said.err and said.out == ""
    assert names(folder) == before
    assert children() == set()


def test_what_is_not_ours_is_not_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("years of work")
    assert run() == 2
    assert "name a new or an empty folder" in capsys.readouterr().err
    assert (folder / "out" / "thesis.tex").read_text() == "years of work"


def test_the_nir_file_is_an_ordinary_one(folder: Path) -> None:
    assert {type(node).__name__ for node in nir.read("exported/model.nir").nodes.values()} >= {"Input", "Output"}


def opened(folder: Path, pid: int) -> bool:
    return any(folder.glob(".out.*"))


def forking(folder: Path, pid: int) -> bool:
    return len(group(pid)) >= 3


def counted(folder: Path, pid: int) -> bool:
    """The fused run is over: one Process per node is next or under way."""
    return any(folder.glob(".out.*/activity.json"))


@pytest.mark.parametrize("reached", [opened, forking, counted])
def test_ctrl_c_leaves_nothing(folder: Path, reached: Callable[[Path, int], bool]) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", input=(rng.random((60, 200, 10)) < 0.4).astype(np.uint8))
    words = command("lava_runtime", "exported", "--input", "x.npz", "--out", "out", "--process-samples", "60")
    ended = end(words, folder, lambda pid: reached(folder, pid), signal.SIGINT)
    assert ended.code == 130
    assert ended.errors == "python -m lava_runtime: interrupted; nothing half-written was kept\n"
    assert ended.out == ""
    assert names(folder) == FOLDER
