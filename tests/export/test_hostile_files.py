"""Mutated `.nir`, integer-model and checkpoint files: a valid graph or one line, no traceback, hang or memory bomb.

The mutations run in processes of their own (`hostile_worker`) with 1 GiB of memory and 20 seconds each: HDF5 is C code,
and a crash would otherwise take the tests along.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch

from export.checkpoint import save_checkpoint
from export.errors import NirFileError
from export.graph_file import load_graph, save_graph
from export.nir_file import read_nir, write_nir
from export.passes.freeze_thresholds import freeze_thresholds
from export.pipeline import lower
from export.reader import read_network
from hardware_profiles.profile import integer_format

from ..networks import mixed_network
from .nir_graphs import GRAPHS
from .test_nir_foreign import lif, recurrent, save

PER_KIND = (
    {"nir": 6000, "h5": 2500, "pt": 1000, "safetensors": 1000}
    if os.environ.get("AXONPORT_FULL")
    else {
        "nir": 140,
        "h5": 80,
        "pt": 40,
        "safetensors": 40,
    }
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    for name, make in GRAPHS.items():
        write_nir(make(), folder / f"{name}.nir")
    save(folder, *recurrent(lif(), nested=True), dt=1e-4).rename(folder / "foreign.nir")
    network = mixed_network()
    graph = read_network(network)
    write_nir(graph, folder / "mixed.nir")
    save_graph(lower(graph, integer_format()), folder / "mixed.h5")
    save_graph(lower(freeze_thresholds(graph), integer_format()), folder / "frozen.h5")
    save_checkpoint(folder / "weights.safetensors", network.state_dict(), {"size": 3})
    torch.save(network.state_dict(), folder / "weights.pt")
    return folder


def run_worker(kind: str, folder: Path, first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Run mutations; a process that dies is started again behind the mutation that killed it."""
    tally: Counter[str] = Counter()
    broken: list[str] = []
    last = first + count
    while first < last:
        command = [
            sys.executable,
            "-m",
            "tests.export.hostile_worker",
            kind,
            str(folder),
            str(first),
            str(last - first),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        lines = ended.stdout.splitlines()
        for line in lines:
            number, _, result = line.partition(" ")
            tally[result.partition(":")[0]] += 1
            if result.startswith("broken"):
                broken.append(f"{kind} {number} {result}")
        first += len(lines)
        if first < last:
            how = "hung" if ended.returncode == -signal.SIGALRM else f"died with {ended.returncode}"
            assert ended.returncode < 0, f"{kind} {first}: {ended.stderr[-2000:]}"
            tally["died"] += 1
            broken.append(f"{kind} {first} {how}")
            first += 1
    return tally, broken


@pytest.mark.parametrize("kind", PER_KIND)
def test_mutations(kind: str, seeds: Path) -> None:
    tally, broken = run_worker(kind, seeds, 0, PER_KIND[kind])
    print(kind, dict(tally))
    assert not broken, "\n".join(broken[:20])
    assert sum(tally.values()) == PER_KIND[kind]
    assert tally["refused"] > PER_KIND[kind] / 4 and tally["valid"] > 0


def test_seeds_are_read_unharmed(seeds: Path) -> None:
    for path in seeds.glob("*.nir"):
        assert read_nir(path).nodes


def test_a_shape_with_nothing_behind_it(seeds: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.nir"
    path.write_bytes((seeds / "mixed.nir").read_bytes())
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc1/weight"]
        file.create_dataset("node/nodes/fc1/weight", shape=(20_000, 20_000), dtype="f4", chunks=(64, 64))
    with pytest.raises(NirFileError, match="next to no content, or is too large to read"):
        read_nir(path)


def test_a_heap_over_which_hdf5_would_loop_for_ever(seeds: Path, tmp_path: Path) -> None:
    """Found by the mutations: the rest of a global heap, index 0, with size 0."""
    data = bytearray((seeds / "mixed.nir").read_bytes())
    begin = data.find(b"GCOL\x01\x00\x00\x00")
    at = begin + 16
    while data[at] or data[at + 1]:
        at += 16 + (int.from_bytes(data[at + 8 : at + 16], "little") + 7) // 8 * 8
    data[at + 8 : at + 16] = bytes(8)
    (tmp_path / "loop.nir").write_bytes(data)
    with pytest.raises(NirFileError, match=f"a damaged heap at byte {begin}"):
        read_nir(tmp_path / "loop.nir")


def test_arrays_in_the_place_of_groups(seeds: Path, tmp_path: Path) -> None:
    """Looking for a key in a large array takes minutes; found by the mutations."""
    for seed, key, reader in (("mixed.nir", "node", read_nir), ("mixed.h5", "nodes", load_graph)):
        (tmp_path / seed).write_bytes((seeds / seed).read_bytes())
        with h5py.File(tmp_path / seed, "a") as file:
            del file[key]
            file.create_dataset(key, data=np.zeros(1 << 22), compression="gzip")
        with pytest.raises(NirFileError, match="holds no NIR graph|nodes is an array"):
            reader(tmp_path / seed)


def test_scalars_do_not_grow_without_bound(tmp_path: Path) -> None:
    """A layer of 2^40 neurons with one scalar threshold fits in a kilobyte."""
    unit = nir.LIF(*(np.array([value]) for value in (1.0, 1.0, 0.0, 1.0)))
    nodes = {"x": nir.Input(np.array([1 << 40])), "lif": unit, "y": nir.Output(np.array([1 << 40]))}
    nir.write(str(tmp_path / "wide.nir"), nir.NIRGraph(nodes, [("x", "lif"), ("lif", "y")], type_check=False))
    with pytest.raises(NirFileError, match="node lif: layers of more than"):
        read_nir(tmp_path / "wide.nir", dt_s=1e-3)
