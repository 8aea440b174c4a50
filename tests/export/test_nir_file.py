from __future__ import annotations

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from export.errors import ExportError, NirFileError
from export.float_interpreter import run_float
from export.graph import Graph
from export.nir_file import read_nir, write_nir
from export.reader import read_network

from ..networks import mixed_inputs, mixed_network


@pytest.fixture
def graph() -> Graph:
    return read_network(mixed_network())


@pytest.fixture
def path(graph: Graph, tmp_path: Path) -> Path:
    write_nir(graph, tmp_path / "model.nir")
    return tmp_path / "model.nir"


def test_round_trip_keeps_every_bit(graph: Graph, path: Path) -> None:
    again = read_nir(path)
    assert set(again.nodes) == set(graph.nodes) and set(again.edges) == set(graph.edges)
    inputs = mixed_inputs()
    left, right = run_float(graph, inputs).trace, run_float(again, inputs).trace
    for name in left:
        assert np.array_equal(left[name].s, right[name].s) and np.array_equal(left[name].v, right[name].v)
        assert left[name].s.any()


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


@pytest.mark.parametrize("version", ["0.2.1", "1.0.4", "9.9.9", "x"])
def test_unknown_version(path: Path, version: str) -> None:
    edit(path, "version", version)
    with pytest.raises(NirFileError, match=rf"NIR version {version}, allowed are 1\.0\.6.*; write it with nir 1\.0\.8"):
        read_nir(path)


def test_unknown_node(path: Path) -> None:
    edit(path, "node/nodes/lif3/type", "CubaLIF")
    with pytest.raises(NirFileError, match="node lif3 is CubaLIF, allowed are"):
        read_nir(path)


def test_contradicting_metadata(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["node/nodes/lif3/tau"][...] *= 2
        file["node/nodes/lif3/r"][...] *= 2
    with pytest.raises(NirFileError, match="lif3: metadata beta contradicts tau"):
        read_nir(path)


def test_rescaled_input(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["node/nodes/lif3/r"][...] *= 2
    with pytest.raises(NirFileError, match="lif3: r is not tau/dt"):
        read_nir(path)


def test_missing_time_step(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["node/metadata/dt"]
    with pytest.raises(NirFileError, match="no time step"):
        read_nir(path)


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


def test_mutated_bytes_never_crash(path: Path, tmp_path: Path) -> None:
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        mutated = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 40)):
            mutated[position] = rng.integers(0, 256)
        target = tmp_path / "mutated.nir"
        target.write_bytes(mutated[: rng.integers(len(data) // 2, len(data) + 1)])
        try:
            read_nir(target)
        except ExportError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 30
