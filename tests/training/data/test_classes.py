"""Class tables: round trip and contradictions."""

import json

import numpy as np
import pytest

from hardware_profiles.errors import ArtifactError
from training.data.classes import UNSTATED_ORIGIN, ClassTable, read_classes, write_classes
from training.errors import TrainingError


def table(**changes):
    values = {
        "names": ("cat", "dog"),
        "splits": ("seen", "test_unseen"),
        "attributes": np.array([[1, 0.25], [0, -1]], np.float32),
        "attribute_names": ("claws", "bark"),
    }
    return ClassTable(**(values | changes))


def test_round_trip(tmp_path):
    write_classes(tmp_path / "classes.json", table())
    read = read_classes(tmp_path / "classes.json")
    assert (read.names, read.splits, read.attribute_names) == (table().names, table().splits, table().attribute_names)
    assert read.attributes.dtype == np.float32
    np.testing.assert_array_equal(read.attributes, table().attributes)
    assert read.origin == UNSTATED_ORIGIN


def test_a_folders_own_origin_is_kept(tmp_path):
    write_classes(tmp_path / "classes.json", table(origin="my cats and dogs, 2025"))
    assert read_classes(tmp_path / "classes.json").origin == "my cats and dogs, 2025"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("cat", "cat")}, "2 class names, 1 distinct"),
        ({"names": ("cat", "../dog")}, "'../dog': not a folder name"),
        ({"names": ()}, "0 class names"),
        ({"splits": ("seen", "held")}, r"unknown \['held'\]"),
        ({"splits": ("seen",)}, "splits: 1 for 2 classes"),
        ({"attributes": np.ones((2, 3), np.float32)}, r"shape \(2, 3\), allowed is \(2, 2\)"),
        ({"attributes": np.array([[1, np.nan], [0, 1]], np.float32)}, "NaN"),
        ({"attributes": np.array([[1, 1], [0, 0]], np.float32)}, "all-zero row"),
        ({"origin": " "}, "origin: allowed is one line of 1 to 200 printable characters"),
        ({"origin": "two\nlines"}, "origin: allowed is one line"),
        ({"origin": "x" * 201}, "origin: allowed is one line"),
        ({"origin": 3}, "origin: allowed is one line"),
    ],
)
def test_contradictions(changes, message):
    with pytest.raises(TrainingError, match=message):
        table(**changes)


@pytest.mark.parametrize(
    "values",
    [
        [],
        {"format": "other"},
        {"format": "axonport-classes-1"},
        {"format": "axonport-classes-1", "attribute_names": ["a"], "classes": [{"name": "x", "split": "seen"}]},
        {
            "format": "axonport-classes-1",
            "attribute_names": ["a"],
            "classes": [
                {"name": "x", "split": "seen", "attributes": [1]},
                {"name": "y", "split": "seen", "attributes": [1, 2]},
            ],
        },
    ],
)
def test_damaged_file(tmp_path, values):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(values))
    with pytest.raises(TrainingError, match="class table") as caught:
        read_classes(path)
    assert str(path) in str(caught.value)


def test_not_json(tmp_path):
    (tmp_path / "classes.json").write_text("{")
    with pytest.raises(ArtifactError, match="not valid JSON"):
        read_classes(tmp_path / "classes.json")
