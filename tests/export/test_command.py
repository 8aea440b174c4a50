"""`python -m export` on a stranger's own network, in a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import onnxruntime
import pytest
import torch

from export.__main__ import handle, parser
from export.interpreters.integer_interpreter import run_integer
from export.package import load_export
from hardware_profiles.artifact import ROOT
from hardware_profiles.command import run_command

NETWORK = """
import snntorch as snn
import torch
from torch import nn
from export.deployment import Deployment, HostSegment

def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 16), snn.Leaky(0.9, init_hidden=True),
                         nn.Linear(16, 4), snn.Leaky(0.9, init_hidden=True))

class Head(nn.Module):
    def forward(self, rate):
        return (rate.softmax(dim=1),)

def make_deployment():
    chip = make_model()
    head = HostSegment("head", Head(), ("output_rate",), ("probabilities",), "after")
    return Deployment(module=chip, chip=chip, hosts=(head,))

def make_nan():
    model = make_model()
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    return model

def make_relu():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU())

def make_text():
    return "model"

def make_error():
    raise ValueError("no")

def make_assertion():
    assert False, "two\\nlines"

def make_exit():
    raise SystemExit(0)

class Typo(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(10, 4), snn.Leaky(0.9, init_hidden=True)
    def forward(self, input):
        return self.lif(self.fc(inptu))

def make_typo():
    return Typo()

def make_bad_chip():
    return Deployment(module=make_model(), chip="chip")

def make_escaping_host():
    chip = make_model()
    return Deployment(module=chip, chip=chip, hosts=(HostSegment("../h", Head(), ("output_rate",), ("p",), "after"),))

def make_bad_side():
    chip = make_model()
    return Deployment(module=chip, chip=chip, hosts=(HostSegment("h", Head(), ("output_rate",), ("p",), "during"),))

class Broken(nn.Module):
    def forward(self, rate):
        return rate.nothing

def make_broken_host():
    chip = make_model()
    return Deployment(module=chip, chip=chip, hosts=(HostSegment("h", Broken(), ("output_rate",), ("p",), "after"),))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stranger_net.py").write_text(NETWORK)
    (tmp_path / "exits_net.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "typo_net.py").write_text("def f(:\n")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", input=(rng.random((6, 40, 10)) < 0.5).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("stranger_net", None)
    return tmp_path


def run(*arguments: str) -> int:
    return handle(parser().parse_args([*arguments, "--example", "x.npz", "--out", "out"]))


def test_export_of_a_plain_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stranger_net:make_model") == 0
    assert {path.name for path in (folder / "out").iterdir()} == {
        "model.nir", "integer_model.h5", "network.onnx", "deployment.json", "parity.json", "export_report.json",
        "manifest.json",
    }  # fmt: skip
    assert len(nir.read("out/model.nir").nodes) >= 6
    parity = json.loads((folder / "out" / "parity.json").read_text())
    exact = parity["rungs"][0]
    assert exact["class"] == "exact" and exact["holds"]
    assert all(layer["mismatches"] == 0 and layer["spikes"] > 0 for layer in exact["layers"])
    assert "0 of 4800 spikes differ, 0 membranes; 2 layers" in capsys.readouterr().out
    assert run("stranger_net:make_model") == 0
    assert "up to date" in capsys.readouterr().out


def test_host_segment_becomes_onnx_with_a_free_batch(folder: Path) -> None:
    assert run("stranger_net:make_deployment") == 0
    session = onnxruntime.InferenceSession("out/host_head.onnx", providers=["CPUExecutionProvider"])
    rate = np.random.default_rng(1).random((5, 4)).astype(np.float32)
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: rate})
    assert probabilities.shape == (5, 4)
    assert np.abs(probabilities - torch.softmax(torch.from_numpy(rate), 1).numpy()).max() < 1e-6
    assert load_export(folder / "out").host_inputs() == {"input"}


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("stranger_net:make_nan", "node 0: weight holds 1 NaN or infinite values"),
        ("stranger_net:make_relu", r"module 1 (ReLU): cannot be exported; supported are"),
        ("stranger_net:make_text", "returned str, allowed are nn.Module and Deployment"),
        ("stranger_net:make_error", "raised ValueError (no) at stranger_net.py:"),
        ("stranger_net:make_assertion", "raised AssertionError (two) at stranger_net.py:"),
        ("stranger_net:make_exit", "raised SystemExit (0) at stranger_net.py:"),
        ("stranger_net:make_typo", "inptu"),
        ("stranger_net:make_bad_chip", "deployment: chip is str, allowed is an nn.Module"),
        ("stranger_net:make_escaping_host", "host segment '../h': its name is not of letters"),
        ("stranger_net:make_bad_side", "host segment h: when is 'during', allowed are 'before' and 'after'"),
        ("stranger_net:make_broken_host", "host segment h: raised AttributeError"),
        ("stranger_net:nothing", "its import: raised AttributeError"),
        ("no_such_module:f", "its import: raised ModuleNotFoundError"),
        ("exits_net:f", "its import: raised SystemExit (0) at exits_net.py:2"),
        ("typo_net:f", "its import: raised SyntaxError"),
        ("stranger_net", "allowed is module:function"),
    ],
)
def test_bad_networks_are_one_line_and_leave_nothing(folder: Path, factory: str, message: str) -> None:
    before = sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")
    result = subprocess.run(
        [sys.executable, "-m", "export", factory, "--example", "x.npz", "--out", "out"],
        capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.count("\n") == 1, result.stderr
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == before


def test_max_mismatch_sets_the_exit_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export import export_network

    honest = export_network.run_torch

    def lying(*arguments: object) -> object:
        trace = honest(*arguments)
        trace["1"].s[0, 0, 0] ^= 1
        return trace

    monkeypatch.setattr(export_network, "run_torch", lying)
    assert run("stranger_net:make_model") == 1


CONVOLUTIONAL = """
import snntorch as snn
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.lif1 = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), snn.Leaky(0.9, threshold=0.3)
        self.pool, self.fc, self.lif2 = nn.MaxPool2d(2), nn.Linear(36, 5), snn.Leaky(0.8, threshold=0.3)

    def forward(self, x):
        mem1, mem2, out = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for t in range(x.size(1)):
            spk1, mem1 = self.lif1(self.norm(self.conv(x[:, t])), mem1)
            spk2, mem2 = self.lif2(self.fc(self.pool(spk1).flatten(1)), mem2)
            out.append(spk2)
        return torch.stack(out)

def make_model():
    torch.manual_seed(0)
    net = Net()
    net.norm.running_var.fill_(0.3)
    return net

def make_dynamic():
    from training.dynamic_threshold import DynamicThresholdLIF, ThresholdBlock
    class Moving(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.lif = nn.Linear(10, 8), DynamicThresholdLIF(0.9, ThresholdBlock(10, num_groups=2),
                                                                      init_hidden=True)
        def forward(self, input):
            return self.lif(3 * self.fc(input), population=input)
    return Moving()
"""


@pytest.fixture
def convolutional(folder: Path) -> Path:
    (folder / "maps_net.py").write_text(CONVOLUTIONAL)
    sys.modules.pop("maps_net", None)
    maps = (np.random.default_rng(0).random((3, 40, 2, 8, 8)) < 0.4).astype(np.uint8)
    np.savez(folder / "maps.npz", x=maps)
    return folder


def rungs_of(folder: Path) -> dict[str, dict[str, object]]:
    return {rung["class"]: rung for rung in json.loads((folder / "parity.json").read_text())["rungs"]}


def run_maps(*arguments: str) -> int:
    return handle(parser().parse_args([*arguments, "--example", "maps.npz"]))


def test_a_convolutional_network_with_its_own_loop(convolutional: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_maps("maps_net:make_model", "--out", "out") == 0
    printed = capsys.readouterr().out
    assert "folded into conv" in printed and "→ pool.pool, pool" in printed and "latency on Lava" in printed
    report = json.loads((convolutional / "out" / "export_report.json").read_text())
    rows = {row["module"]: row for row in report["modules"]}
    assert set(rows) == {"conv", "norm", "lif1", "pool", "fc", "lif2"}
    assert rows["conv"]["exactness"] == "bounded" and report["functions"] == [{"node": "flatten_0", "type": "Reshape"}]
    assert report["words"]["neurons"] == 4 * 36 + 36 + 5 and report["latency_steps"] == 4
    rungs = rungs_of(convolutional / "out")
    assert set(rungs) == {"exact", "bounded", "quantised"} and all(rung["holds"] for rung in rungs.values())
    assert all(row["num_decisions"] > 0 for row in report["quantization"])


def test_standard_nodes_only_spell_out_snntorchs_reset(convolutional: Path) -> None:
    assert run_maps("maps_net:make_model", "--standard-only", "--out", "out") == 0
    kinds = {type(node).__name__ for node in nir.read("out/model.nir").nodes.values()}
    assert {"LI", "Threshold", "Delay", "Scale", "Conv2d"} <= kinds and "SnnTorchLeaky" not in kinds
    assert load_export(convolutional / "out").float_graph.nodes["lif1"].reset == "subtract"


def test_a_nir_file_is_exported_like_a_network(convolutional: Path) -> None:
    assert run_maps("maps_net:make_model", "--out", "first") == 0
    assert run_maps("first/model.nir", "--out", "second") == 0
    first, second = (load_export(convolutional / name).integer_graph for name in ("first", "second"))
    assert {n: type(node) for n, node in first.nodes.items()} == {n: type(node) for n, node in second.nodes.items()}
    assert rungs_of(convolutional / "second")["exact"]["holds"]


def test_dynamic_thresholds_and_standard_nodes(convolutional: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "maps_net:make_dynamic", "--example", "x.npz", "--standard-only", "--out", "out"]
    assert run_command(parser(), handle, words[1:]) == 2
    message = capsys.readouterr().err
    assert "node lif: its threshold moves" in message and message.count("\n") == 1
    assert not (convolutional / "out").exists()
    assert run_command(parser(), handle, [*words[1:], "--freeze-thresholds"]) == 0
    assert "thresholds frozen" in capsys.readouterr().out


def test_calibration_never_makes_it_worse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stranger_net:make_model", "--calibrate") == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("calibrated")]
    numbers = [int(word) for word in note.replace(",", "").split() if word.isdigit()]
    assert numbers[2] <= numbers[0]


def test_inputs_that_are_no_spikes_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("x.npz", input=np.random.default_rng(0).random((3, 20, 10)))
    assert run_command(parser(), handle, ["stranger_net:make_model", "--example", "x.npz", "--out", "out"]) == 2
    assert "input input: holds fractions, allowed are spikes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stranger_net:make_model", "--max-mismatch", "-1"], "--max-mismatch -1: allowed is 0 or more"),
        (["stranger_net:make_model", "--dt", "1e-3"], "--dt 0.001: is for .nir files"),
        (["stranger_net:make_model", "--freeze-thresholds"], "--freeze-thresholds: is for standard nodes"),
        (["stranger_net:make_model", "--checkpoint", "."], "--checkpoint .: is a folder, allowed is a file"),
        (["stranger_net:make_model", "--config", "c.toml"], "--config c.toml: no such file"),
        (["none.nir"], "network none.nir: no such file"),
        (["x.nir", "--dt", "nan"], "--dt nan: allowed is a positive number of seconds"),
        (["x.nir", "--dt", "0"], "--dt 0.0: allowed is a positive number of seconds"),
        (["x.nir", "--checkpoint", "x.npz"], "--checkpoint x.npz: a .nir file holds its own weights"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (folder / "x.nir").write_bytes(b"")
    assert run_command(parser(), handle, [*arguments, "--example", "x.npz", "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1, said
    assert not (folder / "out").exists()


def test_changed_code_is_exported_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The factory's own file and what it imports count, as the checkpoint does."""
    (folder / "sizes.py").write_text("N = 1\n")
    path = folder / "stranger_net.py"
    path.write_text(path.read_text() + "import sizes\n")
    for change in ((lambda: None), (lambda: (folder / "sizes.py").write_text("N = 2\n"))):
        change()
        assert run("stranger_net:make_model") == 0
        assert "up to date" not in capsys.readouterr().out
    assert run("stranger_net:make_model") == 0
    assert "up to date" in capsys.readouterr().out


def test_spelled_out_neurons_of_a_file_are_bounded_and_hold(convolutional: Path) -> None:
    """They are put together again, which adds in another order: no exact rung that breaks, and none that is skipped."""
    assert run_maps("maps_net:make_model", "--standard-only", "--out", "first") == 0
    assert run_maps("first/model.nir", "--out", "second") == 0
    rungs = json.loads((convolutional / "second" / "parity.json").read_text())["rungs"]
    assert [rung["class"] for rung in rungs] == ["bounded", "quantised", "bounded"]
    assert all(rung["holds"] for rung in rungs)
    report = json.loads((convolutional / "second" / "export_report.json").read_text())
    assert report["chip_parameters"] == sum(row["parameters"] for row in report["modules"]) > 0


def test_nothing_to_freeze_is_no_excuse(convolutional: Path) -> None:
    """Without moving thresholds, the file is compared as strictly as without the option."""
    assert run_maps("maps_net:make_model", "--standard-only", "--freeze-thresholds", "--out", "out") == 0
    rungs = json.loads((convolutional / "out" / "parity.json").read_text())["rungs"]
    assert [rung["class"] for rung in rungs] == ["exact", "bounded", "quantised", "bounded"]


def test_parts_of_a_layer_are_no_rows_of_their_own(convolutional: Path) -> None:
    arguments = ["maps_net:make_dynamic", "--example", "x.npz", "--out", "out"]
    assert handle(parser().parse_args(arguments)) == 0
    report = json.loads((convolutional / "out" / "export_report.json").read_text())
    assert [(row["module"], row["parameters"]) for row in report["modules"]] == [("fc", 88), ("lif", 3)]
    assert report["chip_parameters"] == 91


def test_membranes_that_differ_set_the_exit_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export import export_network

    honest = export_network.run_torch

    def lying(*arguments: object) -> object:
        trace = honest(*arguments)
        trace["1"].v[0, 0, 0] += 1
        return trace

    monkeypatch.setattr(export_network, "run_torch", lying)
    assert run("stranger_net:make_model") == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "inputs: none is named like a parameter of forward (input), there are none; rename the arrays"),
        ({"events": np.zeros((3, 20, 10))}, "inputs: none is named like a parameter of forward (input)"),
        ({"input": np.zeros((3, 10))}, "input input: shape (3, 10), allowed is [N, T, *shape]"),
        ({"input": np.zeros((3, 0, 10))}, "input input: shape (3, 0, 10), allowed is [N, T, *shape], each at least 1"),
        ({"input": np.zeros((3, 20, 0))}, "input input: shape (3, 20, 0)"),
    ],
)
def test_arrays_that_are_no_inputs_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez("x.npz", **arrays)
    assert run_command(parser(), handle, ["stranger_net:make_model", "--example", "x.npz", "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1, said


def test_labels_give_the_accuracy_of_both_worlds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stranger_net:make_model") == 0
    exported = load_export(folder / "out")
    spikes = np.load("x.npz")["input"].swapaxes(0, 1)
    counts = run_integer(exported.integer_graph, {"input": spikes})["3"].s.sum(axis=0)
    labels = counts.argmax(axis=1)
    labels[0] = (labels[0] + 1) % 4
    np.savez("x.npz", input=spikes.swapaxes(0, 1), labels=labels)
    assert run("stranger_net:make_model") == 0
    found = json.loads((folder / "out" / "export_report.json").read_text())["accuracy"]
    assert found["integer_share"] == 5 / 6 and found["num_samples"] == 6 and found["output"] == "output"
    assert "integers 83.3%" in capsys.readouterr().out
    np.savez("x.npz", input=spikes.swapaxes(0, 1), labels=labels + 4)
    words = ["stranger_net:make_model", "--example", "x.npz", "--out", "out"]
    assert run_command(parser(), handle, words) == 2
    assert "allowed are integers [N] within 0..3, the neurons of output" in capsys.readouterr().err
