"""Event counts on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.activity import FORMAT, Activity, LayerActivity, add_layers, read_activity, write_activity
from hardware_profiles.artifact import read_json, write_json
from hardware_profiles.errors import ArtifactError

COUNTS = (
    "num_neurons", "num_synapses", "fan_in", "spikes", "graded_messages", "synops", "dense_synops", "updates",
    "controller_updates", "saturations",
)  # fmt: skip


def layer(name: str, kind: str) -> LayerActivity:
    """Every count another number, so that swapped fields would show."""
    start = 100 if kind == "input" else 200
    return LayerActivity(name=name, kind=kind, **{field: start + i for i, field in enumerate(COUNTS)})


ACTIVITY = Activity(
    format=FORMAT,
    number_format="fixed_pt",
    granularity="fused",
    num_samples=3,
    num_steps=20,
    latency_steps=2,
    requires=("binary_spikes", "dynamic_threshold"),
    layers=(layer("x", "input"), layer("lif", "dynamic_threshold_lif")),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_activity(tmp_path / "activity.json", ACTIVITY)
    return tmp_path / "activity.json"


def damage(path: Path, **changes: Any) -> Path:
    """Change keys of the file; those of its second layer are called `layer_…`."""
    values = read_json(path)
    for key, value in changes.items():
        target, name = (values["layers"][1], key[6:]) if key.startswith("layer_") else (values, key)
        target[name] = value
    write_json(path, values)
    return path


def test_round_trip(path: Path) -> None:
    assert read_activity(path) == ACTIVITY
    assert {field.name for field in dataclasses.fields(LayerActivity)} == {"name", "kind", *COUNTS}
    assert read_activity(path).layer("lif").spikes == 203


@pytest.mark.parametrize("content", [[], "spikes", {}, {"format": "axonport-activity-0"}, {"format": None}])
def test_another_format_is_refused_by_name(tmp_path: Path, content: Any) -> None:
    write_json(tmp_path / "a.json", content)
    with pytest.raises(ArtifactError, match="a.json: not an activity file; allowed is format 'axonport-activity-1'"):
        read_activity(tmp_path / "a.json")


@pytest.mark.parametrize("count", COUNTS)
def test_a_negative_count_is_refused(path: Path, count: str) -> None:
    assert read_activity(damage(path, **{f"layer_{count}": 0})).layer("lif") == dataclasses.replace(
        ACTIVITY.layer("lif"), **{count: 0}
    )
    with pytest.raises(ArtifactError, match="layer 'lif' has a negative count; run lava_runtime again"):
        read_activity(damage(path, **{f"layer_{count}": -1}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": 0}, "0 samples × 20 steps; at least 1 × 1"),
        ({"num_steps": -2}, "3 samples × -2 steps; at least 1 × 1"),
        ({"layer_spikes": 1.5}, r"layers\[1\] spikes: is 1.5 \(float\), allowed is int"),
        ({"layer_spikes": True}, r"layers\[1\] spikes: is True \(bool\), allowed is int"),
        ({"layer_extra": 1}, r"layers\[1\]: unknown key 'extra'"),
        ({"layers": {}}, "layers: is {}, allowed is a list"),
        ({"requires": [1]}, r"requires\[0\]: is 1 \(int\), allowed is str"),
    ],
)
def test_damaged_files(path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_activity(damage(path, **changes))


def test_a_missing_key(path: Path) -> None:
    values = read_json(path)
    del values["layers"][0]["synops"]
    write_json(path, values)
    with pytest.raises(ArtifactError, match=r"layers\[0\]: key 'synops' is missing"):
        read_activity(path)


def test_what_grows_adds_up_and_what_describes_stays() -> None:
    parts = (ACTIVITY.layers, ACTIVITY.layers, ACTIVITY.layers)
    for before, after in zip(ACTIVITY.layers, add_layers(parts), strict=True):
        assert (after.name, after.kind) == (before.name, before.kind)
        for field in COUNTS:
            factor = 1 if field in ("num_neurons", "num_synapses", "fan_in") else 3
            assert getattr(after, field) == factor * getattr(before, field) > 0, field
