"""Records of every kind of neuron, and what stands beside them: thresholds as Lava compares them, moving ones too."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from export.graph import Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import IntegerDynamicThresholdLIF, Output
from export.trace import Trace
from lava_runtime.dataset import layout
from lava_runtime.dataset.compute import LavaSettings
from lava_runtime.dataset.layout import Layout
from lava_runtime.dataset.results import open_records
from lava_runtime.dataset.run import DatasetRun
from lava_runtime.dataset.source import array_source
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.probes import Probe, every_probe

from ..random_graphs import dyadic_graph, integer_graph, random_inputs
from ..random_outline import Case

KINDS = ("stock", "dynamic with context", "memoryless", "moving", "cuba subtract")
CASE = Case(layers=tuple(("linear", kind) for kind in KINDS), num_steps=9, batch=5, seed=162)


def record(graph: Graph, out: Path, number_format: str, granularity: str = "fused") -> dict[str, np.ndarray]:
    inputs = {name: array.swapaxes(0, 1) for name, array in random_inputs(graph, CASE).items()}
    settings = LavaSettings(granularity=granularity, number_format=number_format, probes=every_probe(graph))
    DatasetRun(
        graph=graph, source=array_source(inputs, graph), settings=settings, samples_per_shard=2, num_workers=2, out=out,
        manifest={"stage": "dataset", "key": "k", "source_sha256": ""},
    ).run()  # fmt: skip
    return inputs


def stored(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(folder / "records.h5") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_recorded(folder: Path, trace: Trace) -> None:
    found = stored(folder)
    for name, layer in trace.items():
        for variable in ("s", "v", "theta"):
            expected = getattr(layer, variable)
            assert (expected is None) == (f"{name}/{variable}" not in found)
            if expected is not None:
                assert np.array_equal(found[f"{name}/{variable}"], expected.swapaxes(0, 1))


@pytest.mark.lava
@pytest.mark.parametrize("granularity", ["fused", "processes"])
def test_every_variable_of_every_kind_of_neuron(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, granularity: str
) -> None:
    monkeypatch.setattr(layout, "CHUNK_BYTES", 64)  # several chunks per sample
    graph = integer_graph(CASE)
    inputs = record(graph, tmp_path / "run", "fixed_pt", granularity)
    trace = run_integer(graph, {name: array.swapaxes(0, 1) for name, array in inputs.items()})
    assert sum(layer.s.any() and not layer.s.all() for layer in trace.values()) == len(KINDS)
    assert_recorded(tmp_path / "run", trace)
    ((name, node),) = graph.of_type(IntegerDynamicThresholdLIF).items()
    with open_records(tmp_path / "run") as records:
        threshold = records.read(name, 4).threshold
        assert np.array_equal(threshold[:, 0], trace[name].theta[:, 4] << (node.theta_shift + 6))
        assert len(np.unique(threshold)) > 1


@pytest.mark.lava
def test_thresholds_that_move_in_floats(tmp_path: Path) -> None:
    graph = dyadic_graph(CASE)
    record(graph, tmp_path / "run", "floating_pt")
    (name,) = (probe.layer for probe in every_probe(graph) if probe.variable == "theta")
    with open_records(tmp_path / "run") as records:
        layer = records.read(name, 2)
        bits = graph.nodes[name].controller.fraction_bits
        assert np.array_equal(layer.threshold[:, 0], stored(tmp_path / "run")[f"{name}/theta"][2] * 2.0**-bits)
        assert (layer.v <= layer.threshold).all() and layer.v.dtype == np.float64


def test_names_that_hdf5_has_no_room_for_are_refused() -> None:
    graph = Graph(nodes={"a/b": Output(shape=(2,)), ".": Output(shape=(2,))}, edges=(), dialect="integer", dt_s=1e-3)
    with pytest.raises(LavaRuntimeError, match=r"node '(a/b|\.)': HDF5 takes no such name; rename the node"):
        Layout(graph=graph, probes=(), num_steps=3)
    with pytest.raises(LavaRuntimeError, match="node 'l/1': HDF5 takes no such name"):
        Layout(graph=integer_graph(CASE), probes=(Probe("l/1", "s"),), num_steps=3)
