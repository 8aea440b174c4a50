from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from export.errors import NirFileError, UnsupportedModuleError
from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.nir_file import read_nir, write_nir
from export.nodes import Conv, DynamicThresholdLIF, Gather, Input, Linear, Reduce
from export.reader import read_network
from export.trace import Array

from ..networks import mixed_inputs, mixed_network
from .nir_graphs import GRAPHS, Net, inputs_for, random_graphs

EXAMPLES = 400 if os.environ.get("AXONPORT_FULL") else 40


@pytest.fixture
def graph() -> Graph:
    return read_network(mixed_network())


@pytest.fixture
def path(graph: Graph, tmp_path: Path) -> Path:
    write_nir(graph, tmp_path / "model.nir")
    return tmp_path / "model.nir"


def assert_same_run(graph: Graph, again: Graph, inputs: dict[str, Array], *, must_spike: bool = True) -> None:
    left, right = run_float(graph, inputs).trace, run_float(again, inputs).trace
    assert set(left) == set(right)
    for name in left:
        assert np.array_equal(left[name].s, right[name].s), name
        if left[name].v is None:
            assert right[name].v is None
        else:
            assert np.array_equal(left[name].v, right[name].v), name
        if must_spike:
            assert left[name].s.any() and not left[name].s.all(), name


def test_round_trip_keeps_every_bit(graph: Graph, path: Path) -> None:
    again = read_nir(path)
    assert set(again.nodes) == set(graph.nodes) and set(again.edges) == set(graph.edges)
    assert_same_run(graph, again, mixed_inputs())


@pytest.mark.parametrize("name", GRAPHS)
def test_every_node_comes_back_with_every_spike_and_membrane(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    write_nir(graph, tmp_path / "first.nir")
    again = read_nir(tmp_path / "first.nir")
    inputs = inputs_for(graph)
    assert_same_run(graph, again, inputs)
    write_nir(again, tmp_path / "second.nir")
    third = read_nir(tmp_path / "second.nir")
    assert set(third.nodes) == set(again.nodes) and set(third.edges) == set(again.edges)
    assert_same_run(graph, third, inputs)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_graphs_come_back(data: st.DataObject) -> None:
    graph = data.draw(random_graphs())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nir"
        write_nir(graph, path)
        assert_same_run(graph, read_nir(path), inputs_for(graph, 16, 2), must_spike=False)


READ_BY_NIR_ALONE = """
import sys, nir
graph = nir.read(sys.argv[1])
assert "export" not in sys.modules
print(" ".join(sorted({type(node).__name__ for node in graph.nodes.values()})))
"""


def types_by_nir_alone(path: Path) -> set[str]:
    """Read a file where nothing of ours is imported, with nir's own type checks."""
    found = subprocess.run(
        [sys.executable, "-c", READ_BY_NIR_ALONE, str(path)],
        capture_output=True,
        text=True,
        cwd=path.parent,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return set(found.stdout.split())


STANDARD = {
    "dense_neurons": {"Affine", "CubaLI", "CubaLIF", "Delay", "I", "IF", "LI", "LIF", "Linear", "Scale", "Threshold"},
    "recurrent_neurons": {"Affine", "CubaLIF", "Delay", "LI", "LIF", "Scale", "Threshold"},
    "images": {"AvgPool2d", "Conv2d", "CubaLIF", "Flatten", "LI", "LIF", "SumPool2d", "Threshold"},
    "sequences": {"Conv1d", "LI", "LIF", "Threshold", "Linear"},
}


@pytest.mark.parametrize("name", STANDARD)
def test_nir_alone_reads_what_has_standard_nodes(name: str, tmp_path: Path) -> None:
    write_nir(GRAPHS[name](4), tmp_path / "model.nir")
    types = types_by_nir_alone(tmp_path / "model.nir")
    assert types >= STANDARD[name] and not {"SnnTorchLeaky", "SnnTorchSynaptic"} & types


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nirs_own_types_accept_random_standard_graphs(data: st.DataObject) -> None:
    """Rectangular kernels, groups, dilation and strides included; `nir.read` checks types by default."""
    graph = data.draw(random_graphs(standard=True, bits=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nir"
        write_nir(graph, path, standard_only=True)
        types = {type(node).__name__ for node in nir.read(str(path)).nodes.values()}
        assert not types & {"SnnTorchLeaky", "SnnTorchSynaptic", "SnnTorchAlpha"}
        inputs = inputs_for(graph, 12, 2)
        ours, standard = run_float(graph, inputs).trace, run_float(read_nir(path), inputs).trace
        for name in ours:
            assert np.array_equal(ours[name].s, standard[name].s), name


def test_metadata_of_the_file(tmp_path: Path) -> None:
    write_nir(GRAPHS["snntorch_neurons"](), tmp_path / "model.nir")
    graph = nir.read(str(tmp_path / "model.nir"), type_check=False)
    assert graph.metadata["dt"] == 1e-3 and graph.metadata["writer"] == b"axonport".decode()
    assert graph.metadata["lava_latency"] > 0
    assert {str(graph.nodes[name].metadata["kind"]) for name in ("x", "context")} == {"spike", "graded"}


def test_a_matrix_too_large_is_refused_by_name(tmp_path: Path) -> None:
    net = Net()
    net.lif("s", net.linear("fc", net.add("x", Input(shape=(4096, 8))), 8))
    with pytest.raises(NirFileError, match=r"node fc: Linear on flattened values needs a matrix of 32768 x 32768"):
        write_nir(net.graph("s"), tmp_path / "model.nir")
    assert not (tmp_path / "model.nir").exists()


def test_names_that_hdf5_cannot_hold(tmp_path: Path) -> None:
    net = Net()
    net.lif("a/b", net.linear("fc", net.add("x", Input(shape=(4,))), 8))
    with pytest.raises(NirFileError, match="its name cannot be stored"):
        write_nir(net.graph("a/b"), tmp_path / "model.nir")


def test_matrices_come_back_as_what_they_were(tmp_path: Path) -> None:
    write_nir(GRAPHS["tokens"](), tmp_path / "model.nir")
    nodes = read_nir(tmp_path / "model.nir").nodes
    assert isinstance(nodes["spread"], Gather) and isinstance(nodes["column"], Reduce)
    assert isinstance(nodes["q"], Linear) and nodes["q"].positions == (4,)


def test_a_flat_input_takes_the_shape_that_the_first_layer_gives_it(tmp_path: Path) -> None:
    net = Net(13)
    net.reshape("image", net.add("x", Input(shape=(36,))), 1, 6, 6)
    net.lif("s", net.conv("conv", "image", 4, (3, 3)))
    graph = net.graph("s")
    write_nir(graph, tmp_path / "model.nir")
    assert types_by_nir_alone(tmp_path / "model.nir") == {"Input", "Conv2d", "LIF", "Output"}
    assert_same_run(graph, read_nir(tmp_path / "model.nir"), inputs_for(graph))


def test_what_is_flat_among_the_layers_stays_a_matrix(tmp_path: Path) -> None:
    net = Net(13)
    net.lif("first", net.linear("fc", net.add("x", Input(shape=(20,))), 36))
    net.lif("s", net.conv("conv", net.reshape("image", "first", 1, 6, 6), 4, (3, 3)))
    graph = net.graph("s")
    write_nir(graph, tmp_path / "model.nir")
    assert types_by_nir_alone(tmp_path / "model.nir") == {"Input", "Affine", "LIF", "Output"}
    again = read_nir(tmp_path / "model.nir")
    assert isinstance(again.nodes["conv"], Conv)
    assert_same_run(graph, again, inputs_for(graph))


def test_concatenations_are_split_by_columns_and_joined_again(tmp_path: Path) -> None:
    graph, path = GRAPHS["concatenated"](4), tmp_path / "model.nir"
    write_nir(graph, path)
    assert types_by_nir_alone(path) == {"Affine", "Delay", "Input", "LIF", "Linear", "Output"}
    nodes = nir.read(str(path)).nodes
    assert {name: nodes[name].weight.shape for name in ("fc", "fc.place_b", "fc.place_c")} == {
        "fc": (10, 7),
        "fc.place_b": (10, 5),
        "fc.place_c": (10, 9),
    }
    again = read_nir(path)
    assert set(again.nodes) == set(graph.nodes) and set(again.edges) == set(graph.edges)
    with h5py.File(path, "a") as file:  # without our notes the parts are summed, which on dyadic weights is the same
        for group in file["node/nodes"].values():
            if "metadata/axonport" in group:
                del group["metadata/axonport"]
    summed = read_nir(path)
    assert "place_a" not in summed.nodes
    assert_same_run(graph, summed, inputs_for(graph))


def test_notes_that_contradict_the_matrix(tmp_path: Path) -> None:
    write_nir(GRAPHS["tokens"](), tmp_path / "model.nir")
    with h5py.File(tmp_path / "model.nir", "a") as file:
        file["node/nodes/q/weight"][0, -1] = 1
    with pytest.raises(NirFileError, match="node q: its notes contradict its arrays"):
        read_nir(tmp_path / "model.nir")


def test_standard_only_names_what_it_cannot_say_or_freezes_it(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "standard.nir"
    with pytest.raises(UnsupportedModuleError, match=r"node \w+: its threshold moves under a hard reset"):
        write_nir(graph, path, standard_only=True)
    write_nir(graph, path, standard_only=True, freeze_thresholds=True)
    assert "DynamicThresholdLIF" not in types_by_nir_alone(path)
    moving = next(name for name, node in graph.nodes.items() if isinstance(node, DynamicThresholdLIF))
    frozen, inputs = read_nir(path), mixed_inputs()
    ours = run_float(graph, inputs).trace[moving].s
    theirs = run_float(frozen, {name: inputs[name] for name in frozen.inputs()}).trace[moving].s
    assert theirs.any() and (ours != theirs).any()


def hard_reset_network(beta: float = 0.9) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), snn.Leaky(beta, reset_mechanism="zero", init_hidden=True))


def test_hard_reset_uses_standard_nodes_with_these_equations(tmp_path: Path) -> None:
    write_nir(read_network(hard_reset_network(), dt_s=1e-3), tmp_path / "hard.nir")
    nodes = nir.read(str(tmp_path / "hard.nir")).nodes
    assert {type(node).__name__ for node in nodes.values()} == {"Input", "Affine", "LIF", "Output"}
    lif = nodes["1"]
    # tau = dt/(1-beta) = 10 ms; v += dt/tau (-v + r I) gives beta v + I only if r = tau/dt = 10
    np.testing.assert_allclose(lif.tau, 0.01, rtol=1e-6)
    np.testing.assert_allclose(lif.r, 10, rtol=1e-6)
    assert (lif.v_reset == 0).all() and (lif.v_threshold == 1).all()


def test_no_leak_becomes_if_and_comes_back(tmp_path: Path) -> None:
    write_nir(read_network(hard_reset_network(1.0)), tmp_path / "if.nir")
    assert type(nir.read(str(tmp_path / "if.nir")).nodes["1"]).__name__ == "IF"
    assert (read_nir(tmp_path / "if.nir").nodes["1"].beta == 1).all()


def edit(path: Path, key: str, value: object) -> None:
    with h5py.File(path, "a") as file:
        if key in file:
            del file[key]
        file[key] = value


@pytest.mark.parametrize("version", ["0.2.1", "1.0.9", "1.1", "9.9.9", "x"])
def test_unknown_version(path: Path, version: str) -> None:
    edit(path, "version", version)
    with pytest.raises(
        NirFileError, match=rf"NIR version {version}, allowed are 1\.0\.0 to 1\.0\.8; write it with nir"
    ):
        read_nir(path)


@pytest.mark.parametrize("version", ["1.0.0", "1.0.4", "1.0.6", "1.0.7.dev3+gabc"])
def test_older_versions_have_no_v_reset(tmp_path: Path, version: str) -> None:
    write_nir(read_network(hard_reset_network()), tmp_path / "old.nir")
    expected = read_nir(tmp_path / "old.nir")
    edit(tmp_path / "old.nir", "version", version)
    with h5py.File(tmp_path / "old.nir", "a") as file:
        del file["node/nodes/1/v_reset"]
    assert_same_run(expected, read_nir(tmp_path / "old.nir"), inputs_for(expected))


def test_unknown_node(path: Path) -> None:
    edit(path, "node/nodes/lif3/type", "Sigmoid")
    with pytest.raises(NirFileError, match="node lif3 is Sigmoid, allowed are Affine, .*Threshold"):
        read_nir(path)


def test_a_type_whose_fields_are_missing(path: Path) -> None:
    edit(path, "node/nodes/lif3/type", "CubaLIF")
    with pytest.raises(NirFileError, match="node lif3: nir cannot read it"):
        read_nir(path)


def test_contradicting_metadata(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["node/nodes/lif3/tau"][...] *= 2
        file["node/nodes/lif3/r"][...] *= 2
    with pytest.raises(NirFileError, match="lif3: metadata beta contradicts tau"):
        read_nir(path)


def test_reset_to_elsewhere_is_refused(path: Path) -> None:
    for name in ("v_reset", "v_leak"):
        with h5py.File(path, "a") as file:
            file[f"node/nodes/lif3/{name}"][3] = 0.5
        with pytest.raises(NirFileError, match=f"node lif3: {name} is not 0"):
            read_nir(path)
        with h5py.File(path, "a") as file:
            file[f"node/nodes/lif3/{name}"][3] = 0


def test_missing_time_step(graph: Graph, path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["node/metadata/dt"]
    with pytest.raises(NirFileError, match="no time step .* snnTorch and SpikingJelly 1e-4, Norse 1e-3, Spyx 1"):
        read_nir(path)
    assert_same_run(graph, read_nir(path, dt_s=graph.dt_s), mixed_inputs())
    with pytest.raises(NirFileError, match="beta contradicts tau"):
        read_nir(path, dt_s=graph.dt_s / 2)


def test_external_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones(20)
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc1/weight"]
        file["node/nodes/fc1/weight"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
    with pytest.raises(NirFileError, match="'weight' is a link"):
        read_nir(path)


def test_memory_bomb_is_refused_before_it_is_read(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc1/weight"]
        file.create_dataset("node/nodes/fc1/weight", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(64, 64))
    with pytest.raises(NirFileError, match="too large to read"):
        read_nir(path)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(NirFileError, match="no such file"):
        read_nir(tmp_path / "none.nir")
    (tmp_path / "text.nir").write_text("not HDF5")
    with pytest.raises(NirFileError, match="not a readable HDF5 file"):
        read_nir(tmp_path / "text.nir")
