from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.artifact import write_json
from hardware_profiles.errors import ArtifactError
from hardware_profiles.report.stage_files import read_accuracy, read_export, read_parity, read_thresholds

from .stages import parity, rung


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
        (rung("r", "exact-expected", 3), "differs"),
        (rung("r", "exact-expected"), "holds"),
    ],
)
def test_verdicts(tmp_path: Path, entry: dict[str, Any], expected: str) -> None:
    assert verdict(tmp_path, entry) == expected


def test_one_broken_layer_breaks_a_rung(tmp_path: Path) -> None:
    entry = rung("r", "exact")
    entry["layers"].append({**entry["layers"][0], "mismatches": 2})
    assert verdict(tmp_path, entry) == "broken"


def test_keys_of_a_later_version_are_skipped(tmp_path: Path) -> None:
    entry = {**rung("r", "exact", histogram=[1, 2]), "holds": True}
    write_json(tmp_path / "parity.json", {**parity(entry), "seed": 3})
    assert read_parity(tmp_path / "parity.json")[0].name == "r"


def test_accuracy_in_fractions_or_percent(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    for factor, scale in ((1.0, 100.0), (100.0, 1.0)):
        rows = [{"world": "float", "S": 0.8 * factor, "HM": 0.5 * factor}]
        write_json(path, {"format": "axonport-accuracy-1", "rows": rows, "chance": {}, "notes": []})
        accuracy = read_accuracy(path)
        assert accuracy.scale == scale
        assert accuracy.rows[0].U is None
        assert accuracy.chance is None


def test_an_empty_export_summary_is_allowed(tmp_path: Path) -> None:
    write_json(tmp_path / "export_report.json", {})
    assert read_export(tmp_path / "export_report.json").chip_parameters == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "other"}, "not a file of format 'axonport-parity-1'"),
        ([], "not a file of format"),
        ({"format": "axonport-parity-1"}, "'rungs' is missing"),
        ({"format": "axonport-parity-1", "rungs": 3}, "allowed is a list"),
        ({"format": "axonport-parity-1", "rungs": [3]}, "allowed is a table"),
        (parity(rung("r", "perhaps")), "class is 'perhaps', allowed are exact"),
        (parity(rung("r", "exact", spikes="many")), "'many'"),
        (parity(rung("r", "exact", mismatches=None)), "None"),
    ],
)
def test_damaged_parity_is_one_line(tmp_path: Path, values: Any, message: str) -> None:
    path = tmp_path / "parity.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=message) as caught:
        read_parity(path)
    assert "\n" not in str(caught.value)
    assert "parity.json" in str(caught.value)


def test_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    path.write_text('{"format": "axonport-accuracy-1", "rows": [{"world": "x", "HM": NaN}]}')
    with pytest.raises(ArtifactError, match="NaN or infinity"):
        read_accuracy(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max": [1]}, "differ in length"),
        ({"min": [], "median": [], "max": []}, "empty"),
        ({"fraction_bits": 99}, "99"),
    ],
)
def test_thresholds_are_checked(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    layer = {"name": "l", "fraction_bits": 6, "min": [1, 2], "median": [2, 3], "max": [3, 4]}
    write_json(tmp_path / "thresholds.json", {"layers": [{**layer, **changed}]})
    with pytest.raises(ArtifactError, match=message):
        read_thresholds(tmp_path / "thresholds.json")
