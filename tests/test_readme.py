"""What the README promises can be typed."""

from __future__ import annotations

import re
import shlex
import subprocess

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from hardware_profiles.artifact import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


@pytest.mark.lava
def test_python_snippet_runs_and_the_worlds_agree() -> None:
    (snippet,) = blocks("python")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), snn.Leaky(0.9, threshold=0.4, init_hidden=True), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(196, 8), snn.Leaky(0.9, init_hidden=True),
    )  # fmt: skip

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    spikes = (np.random.default_rng(0).random((40, 3, 2, 16, 16)) < 0.3).astype(np.uint8)
    names: dict[str, object] = {"network": Step(), "spikes": spikes}
    exec(compile(snippet, "README.md", "exec"), names)
    assert len(names["trace"]) == 3
    for name, layer in names["trace"].items():
        lava = names["lava"].trace[name]
        assert np.array_equal(layer.s, lava.s) and (layer.v is None or np.array_equal(layer.v, lava.v))
        assert layer.s.any() and not layer.s.all()


def test_every_make_target_exists() -> None:
    for target in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", README, flags=re.M):
        name = next(filter(None, target))
        assert re.search(rf"^{name}:", MAKEFILE, flags=re.M), name


def test_every_command_line_parses() -> None:
    from export.__main__ import parser as export_parser
    from hardware_profiles.__main__ import build_parser as profiles_parser
    from lava_runtime.__main__ import parser as lava_parser
    from lava_runtime.plot import parser as plot_parser
    from training.__main__ import build_parser as training_parser
    from training.__main__ import with_subcommand

    parsers = {
        "export": export_parser(), "lava_runtime": lava_parser(), "hardware_profiles": profiles_parser(),
        "training": training_parser(), "lava_runtime.plot": plot_parser(),
    }  # fmt: skip
    lines = [line for block in blocks("") for line in block.splitlines() if line.startswith("python -m")]
    assert len(lines) >= 5
    for line in lines:
        _, _, package, *arguments = shlex.split(line, comments=True)
        parsers[package].parse_args(with_subcommand(arguments) if package == "training" else arguments)


def test_make_help_lists_the_targets() -> None:
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "train", "export", "simulate", "profile"):
        assert re.search(rf"^{target}\s", shown, flags=re.M), target


@pytest.mark.parametrize(
    "name", ["ARCHITECTURE.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
)
def test_linked_pages_and_files_named_in_them_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for path in re.findall(r"`((?:training|export|lava_runtime|hardware_profiles|tests)/[\w/]+\.py)`", text):
        assert (ROOT / path).is_file(), f"{name} names {path}"
