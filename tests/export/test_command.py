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
from export.package import load_export
from hardware_profiles.artifact import ROOT

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
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stranger_net.py").write_text(NETWORK)
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
        "model.nir", "integer_model.h5", "network.onnx", "deployment.json", "parity.json", "export_report.json", "manifest.json",
    }  # fmt: skip
    assert len(nir.read("out/model.nir").nodes) >= 6
    parity = json.loads((folder / "out" / "parity.json").read_text())
    exact = parity["rungs"][0]
    assert exact["class"] == "exact" and exact["holds"]
    assert all(layer["mismatches"] == 0 and layer["spikes"] > 0 for layer in exact["layers"])
    assert "0 of 3840 spikes differ" in capsys.readouterr().out
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
        ("stranger_net:make_error", "raised ValueError (no); mend the factory"),
        ("stranger_net:nothing", "cannot be imported"),
        ("no_such_module:f", "cannot be imported"),
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
