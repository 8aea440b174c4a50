from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from export.errors import ExportError, NirFileError
from export.graph_file import load_graph, save_graph
from export.integer_interpreter import run_integer
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format

from ..networks import mixed_inputs, mixed_network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_graph(lower(read_network(mixed_network()), integer_format()), tmp_path / "model.h5")
    return tmp_path / "model.h5"


def test_round_trip(path: Path) -> None:
    graph = lower(read_network(mixed_network()), integer_format())
    again = load_graph(path)
    assert again.edges == graph.edges and again.fmt == graph.fmt and list(again.nodes) == list(graph.nodes)
    left, right = (run_integer(which, mixed_inputs()) for which in (graph, again))
    for name in left:
        assert np.array_equal(left[name].s, right[name].s) and np.array_equal(left[name].v, right[name].v)


def test_damage_is_one_line(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["nodes/0"].attrs["type"] = "os.system"
    with pytest.raises(NirFileError, match="damaged integer graph"):
        load_graph(path)


def test_foreign_format(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "axonport-integer-graph-9"
    with pytest.raises(NirFileError, match="format 'axonport-integer-graph-9', allowed is"):
        load_graph(path)


def test_integers_out_of_range_are_refused(path: Path) -> None:
    with h5py.File(path, "a") as file:
        index = next(key for key in file["nodes"] if file[f"nodes/{key}"].attrs["name"] == "fc2")
        file[f"nodes/{index}/weight_int8"][0, 0] = 128
    with pytest.raises(RangeError, match=r"node fc2: weight_int8 spans .*128, allowed is -127\.\.127"):
        load_graph(path)


def test_mutated_bytes_never_crash(path: Path, tmp_path: Path) -> None:
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for _ in range(60):
        mutated = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 40)):
            mutated[position] = rng.integers(0, 256)
        target = tmp_path / "mutated.h5"
        target.write_bytes(mutated)
        try:
            load_graph(target)
        except (ExportError, RangeError) as error:
            assert "\n" not in str(error)
