from __future__ import annotations

import dataclasses
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from export.errors import ExportError, NirFileError
from export.graph import Edge, Graph
from export.graph_file import FORMAT, NODE_TYPES, load_graph, save_graph
from export.interpreters.integer_interpreter import run_integer
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format

from ..networks import mixed_inputs, mixed_network
from .random_integer_graphs import random_graph, random_inputs


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


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right) and right.dtype in (left.dtype, np.int8)
    if dataclasses.is_dataclass(left) and not isinstance(left, type):
        return dataclasses.asdict(left) == dataclasses.asdict(right)
    return type(left) is type(right) and left == right


def test_every_field_of_every_node_survives(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(40):
        graph = random_graph(seed)
        save_graph(graph, tmp_path / "graph.h5")
        again = load_graph(tmp_path / "graph.h5")
        assert again.edges == graph.edges and list(again.nodes) == list(graph.nodes) and again.timing == "model"
        for name, node in graph.nodes.items():
            assert type(node) is type(again.nodes[name])
            for field in dataclasses.fields(node):
                assert same(getattr(node, field.name), getattr(again.nodes[name], field.name)), (name, field.name)
        seen.update(type(node).__name__ for node in graph.nodes.values())
        seen["delays"] += any(edge.delay for edge in graph.edges)
        x = random_inputs(graph, seed)
        left, right = run_integer(graph, x), run_integer(again, x)
        assert all(np.array_equal(layer.s, right[name].s) for name, layer in left.items())
    assert set(NODE_TYPES) - {"IntegerWindowSum"} <= set(seen)  # `test_stages` keeps windows
    assert seen["delays"] > 5


def test_the_total_latency_is_in_the_file(path: Path) -> None:
    with h5py.File(path) as file:
        # four layers, each behind one synapse layer
        assert file.attrs["format"].decode() == FORMAT and file.attrs["total_latency_steps"] == 4


def looped(num_synapses: int) -> Graph:
    graph = random_graph(0)
    graph = dataclasses.replace(graph, nodes={}, edges=())
    eye = NODE_TYPES["IntegerLinear"](weight_int8=np.eye(2, dtype=np.int64), weight_exp=0)
    zeros = np.zeros(2, dtype=np.int64)
    lif = NODE_TYPES["IntegerLIF"](dv=zeros, vth=zeros + 1, bias_mant=zeros, bias_exp=0, reset="none")
    synapses = {f"r{number}": eye for number in range(num_synapses)}
    names = ["lif", *synapses]
    return dataclasses.replace(
        graph,
        nodes={"x": NODE_TYPES["Input"](shape=(2,)), "lif": lif, **synapses, "y": NODE_TYPES["Output"](shape=(2,))},
        edges=(
            Edge("x", "lif"),
            *(Edge(a, b, delay=int(a == "lif")) for a, b in pairwise(names)),
            Edge(names[-1], "lif", "recurrent"),
            Edge("lif", "y"),
        ),
    )


@pytest.mark.parametrize(("num_synapses", "latency"), [(1, 0), (2, None)])
def test_a_loop_that_stock_lava_cannot_run_is_still_saved(
    tmp_path: Path, num_synapses: int, latency: int | None
) -> None:
    save_graph(looped(num_synapses), tmp_path / "loop.h5")
    assert len(load_graph(tmp_path / "loop.h5").nodes) == 3 + num_synapses
    with h5py.File(tmp_path / "loop.h5") as file:
        assert file.attrs.get("total_latency_steps") == latency


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [1 << 40]}, "a signal of shape"),
        ({"shape": [-3]}, "a signal of shape"),
        ({"shape": "3"}, "allowed is a list"),
        ({"kind": "secret"}, "allowed are 'spike', 'graded'"),
        ({"extra": 1}, "unknown key 'extra'"),
    ],
)
def test_settings_are_checked(path: Path, changes: dict[str, Any], message: str) -> None:
    with h5py.File(path, "a") as file:
        index = next(key for key in file["nodes"] if file[f"nodes/{key}"].attrs["type"] == b"Input")
        attributes = file[f"nodes/{index}"].attrs
        attributes["settings"] = json.dumps({**json.loads(attributes["settings"]), **changes})
    with pytest.raises(NirFileError, match=f"damaged integer graph.*{message}"):
        load_graph(path)


def test_arrays_of_floats_and_layers_of_two_shapes_are_refused(path: Path, tmp_path: Path) -> None:
    def changed(name: str, array: str, values: Any) -> Path:
        copy = tmp_path / "copy.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "a") as file:
            index = next(key for key in file["nodes"] if file[f"nodes/{key}"].attrs["name"] == name.encode())
            del file[f"nodes/{index}/{array}"]
            file[f"nodes/{index}"].create_dataset(array, data=values)
        return copy

    with pytest.raises(NirFileError, match="of type float64, allowed are integers"):
        load_graph(changed("fc2", "weight_int8", np.ones((20, 24))))
    with pytest.raises(ExportError, match="node lif2: vth has shape .7,., allowed is the layer's .20,."):
        load_graph(changed("lif2", "vth", np.ones(7, dtype=np.int64)))
    with pytest.raises(ExportError, match="node fc2: weight_int8 has shape .20, 24, 1., allowed is .out, in."):
        load_graph(changed("fc2", "weight_int8", np.ones((20, 24, 1), dtype=np.int64)))


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


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-128, r"node fc2: weight_int8 spans -128\.\.\d+, allowed is -127\.\.127"),
        (128, r"weight_int8 spans -\d+\.\.128, allowed are 8 bits"),
    ],
)
def test_integers_out_of_range_are_refused(path: Path, value: int, message: str) -> None:
    with h5py.File(path, "a") as file:
        index = next(key for key in file["nodes"] if file[f"nodes/{key}"].attrs["name"] == b"fc2")
        weights = file[f"nodes/{index}/weight_int8"][()].astype(np.int16)
        weights[0, 0] = value
        del file[f"nodes/{index}/weight_int8"]
        file[f"nodes/{index}"].create_dataset("weight_int8", data=weights)
    with pytest.raises((RangeError, ExportError), match=message):
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
