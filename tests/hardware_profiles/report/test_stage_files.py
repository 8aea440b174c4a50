from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.artifact import write_json
from hardware_profiles.errors import ArtifactError
from hardware_profiles.report.stage_files import read_accuracy, read_export, read_thresholds


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
