"""Rungs: verdicts, and files that are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.artifact import write_json
from hardware_profiles.errors import ArtifactError
from hardware_profiles.rungs import read_parity, write_parity

from .report.stages import parity, rung


def verdict(tmp_path: Path, entry: dict[str, Any]) -> str:
    write_json(tmp_path / "parity.json", parity(entry))
    (read,) = read_parity(tmp_path / "parity.json")
    return read.verdict


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (rung("r", "exact"), "holds"),
        (rung("r", "exact", 1), "broken"),
        (rung("r", "exact", membrane_mismatches=1), "broken"),
        (rung("r", "exact", membrane_mismatches=None), "holds"),
        (rung("r", "exact", spikes=0), "vacuous"),
        (rung("r", "exact", compared=0), "vacuous"),
        (rung("r", "bounded", 3, unexplained=0), "holds"),
        (rung("r", "bounded", 3, unexplained=1), "broken"),
        (rung("r", "quantised", 3), "differs"),
        (rung("r", "quantised"), "holds"),
        (rung("r", "exact", 1, spikes=0), "broken"),
    ],
)
def test_verdicts(tmp_path: Path, entry: dict[str, Any], expected: str) -> None:
    assert verdict(tmp_path, entry) == expected


def test_one_broken_layer_breaks_a_rung(tmp_path: Path) -> None:
    entry = rung("r", "exact")
    entry["layers"].append({**entry["layers"][0], "mismatches": 2})
    assert verdict(tmp_path, entry) == "broken"


def test_a_ladder_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "parity.json", parity(rung("r", "exact"), rung("s", "bounded", 2, unexplained=0, note="n")))
    read = read_parity(tmp_path / "parity.json")
    write_parity(tmp_path / "again.json", read)
    assert read_parity(tmp_path / "again.json") == read


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "other"}, "not a file of format 'axonport-parity-1'"),
        ([], "not a file of format"),
        ({"format": "axonport-parity-1"}, "'rungs' is NoneType, allowed is a list"),
        ({"format": "axonport-parity-1", "rungs": 3}, "allowed is a list"),
        ({"format": "axonport-parity-1", "rungs": [3]}, "allowed is a list of tables"),
        (parity(rung("r", "perhaps")), "exactness: is 'perhaps', allowed are 'exact'"),
        (parity(rung("r", "exact", spikes="many")), "'many'"),
        (parity(rung("r", "exact", mismatches=None)), "None"),
        (parity({**rung("r", "exact"), "seed": 3}), "unknown key 'seed'"),
    ],
)
def test_damaged_parity_is_one_line(tmp_path: Path, values: Any, message: str) -> None:
    path = tmp_path / "parity.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=message) as caught:
        read_parity(path)
    assert "\n" not in str(caught.value)
    assert "parity.json" in str(caught.value)
