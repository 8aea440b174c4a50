"""Factories as strangers write them, and what a deployment needs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from export.checkpoint import save_checkpoint
from export.deployment import Deployment, HostSegment, load_deployment, wanted_arrays
from export.errors import ExportError

NETWORK = """
import snntorch as snn
import torch
from torch import nn
from export.deployment import Deployment, HostSegment

def make_plain():
    return nn.Sequential(nn.Linear(4, 3), snn.Leaky(0.9, init_hidden=True), nn.Dropout(0.5))

def make_sized(config):
    chip = nn.Sequential(nn.Linear(4, config["width"]), snn.Leaky(0.9, init_hidden=True))
    return Deployment(module=chip, chip=chip, dt_s=config.get("dt_s", 0.01))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, the only place where the network can be found."""
    (tmp_path / "own_network.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "own_network", raising=False)
    return tmp_path


def test_a_plain_network_goes_to_the_chip_whole() -> None:
    deployment = load_deployment("own_network:make_plain", None)
    assert deployment.chip is deployment.module and deployment.hosts == () and deployment.dt_s == 1e-3
    assert not any(module.training for module in deployment.module.modules())
    assert wanted_arrays(deployment) == (set(), {"input"})


def test_weights_and_configuration_come_from_the_checkpoint(folder: Path) -> None:
    state = {"0.weight": torch.arange(20.0).reshape(5, 4), "0.bias": torch.arange(5.0)}
    whole = load_deployment("own_network:make_plain", None).module.state_dict()
    extra = {name: value for name, value in whole.items() if not name.startswith("0.")}
    save_checkpoint(folder / "c.safetensors", state | extra, {"width": 5, "dt_s": 0.25})
    deployment = load_deployment("own_network:make_sized", folder / "c.safetensors")
    assert deployment.dt_s == 0.25
    linear = deployment.chip[0]  # type: ignore[index]
    assert torch.equal(linear.weight, state["0.weight"]) and torch.equal(linear.bias, state["0.bias"])


def test_a_factory_that_lacks_its_configuration_says_so(folder: Path) -> None:
    torch.save({}, folder / "c.pt")
    with pytest.raises(ExportError, match="own_network:make_sized: raised KeyError") as caught:
        load_deployment("own_network:make_sized", folder / "c.pt")
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused_in_one_line(folder: Path) -> None:
    torch.save({"0.weight": torch.zeros(7, 4), "9.weight": torch.zeros(1)}, folder / "c.pt")
    with pytest.raises(ExportError, match=r"c\.pt: does not fit own_network:make_plain \(") as caught:
        load_deployment("own_network:make_plain", folder / "c.pt")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


class Pass(nn.Module):
    def forward(self, value: torch.Tensor) -> tuple[torch.Tensor]:
        return (value,)


def test_an_input_file_brings_what_no_segment_makes() -> None:
    chip = load_deployment("own_network:make_plain", None).chip
    before = HostSegment("encode", Pass(), ("pixels",), ("input",), "before")
    second = HostSegment("more", Pass(), ("input",), ("spare",), "before")
    after = HostSegment("head", Pass(), ("output_rate",), ("answer",), "after")
    assert wanted_arrays(Deployment(chip, chip, (before, second, after))) == ({"pixels"}, {"pixels"})
    assert wanted_arrays(Deployment(chip, chip, (after,))) == (set(), {"input"})
