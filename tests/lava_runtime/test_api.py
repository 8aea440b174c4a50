"""Arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.errors import InputDataError
from lava_runtime.api import run
from lava_runtime.counts import count_events
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.model import load_model

from .children import children
from .dataset.models import DT_S, specification, spikes, write_foreign_nir

pytestmark = pytest.mark.lava
NUM_SAMPLES = 7


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.nir"
    write_foreign_nir(path)
    return path


@pytest.mark.parametrize(("granularity", "num_workers"), [("fused", 1), ("fused", 2), ("processes", 1)])
def test_a_file_and_arrays_give_arrays(model: Path, granularity: str, num_workers: int) -> None:
    data = spikes(NUM_SAMPLES)
    done = run(
        model, {"input": data}, granularity=granularity, record="l1.v,l2.s", dt_s=DT_S, num_workers=num_workers,
        samples_per_shard=3,
    )  # fmt: skip
    trace = specification(model, data)
    assert set(done.records) == {"l1.v", "l2.s"} and trace["l2"].s.any() and not trace["l2"].s.all()
    assert np.array_equal(done.records["l1.v"], trace["l1"].v.swapaxes(0, 1))
    assert np.array_equal(done.records["l2.s"], trace["l2"].s.swapaxes(0, 1))
    assert np.array_equal(done.outputs["output"], trace["l2"].s.sum(axis=0))
    graph = load_model(model, "fixed_pt", dt_s=DT_S)
    assert done.layers == count_events(graph, {"input": data.swapaxes(0, 1)}, trace)
    assert children() == set()


def test_a_graph_runs_as_its_file_does(model: Path) -> None:
    data = spikes(NUM_SAMPLES)
    for number_format in ("fixed_pt", "floating_pt"):
        graph = load_model(model, number_format, dt_s=DT_S)
        one = run(graph, {"input": data}, number_format=number_format, record="all")
        other = run(str(model), {"input": data}, number_format=number_format, record="all", dt_s=DT_S)
        assert one.records.keys() == {"l1.s", "l1.v", "l2.s", "l2.v"}
        assert all(np.array_equal(one.records[name], other.records[name]) for name in one.records)
        assert one.records["l1.s"].any() and one.layers == other.layers


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"inputs": {"x": spikes(2)}}, InputDataError, "inputs: are x, allowed are exactly input"),
        ({"inputs": {"input": spikes(2)[:, 0]}}, InputDataError, "'input' has shape (2, 10), allowed is [N, T, 10]"),
        ({"inputs": {"input": spikes(4) + 1}}, InputDataError, "sample 0: input input: holds values other than 0"),
        ({"record": "l3.v"}, LavaRuntimeError, "there is no such layer"),
        ({"num_workers": 0}, LavaRuntimeError, "workers: are 0"),
        ({"samples_per_shard": 0}, LavaRuntimeError, "samples per shard: are 0"),
        ({"granularity": "fusd"}, LavaRuntimeError, "granularity: is 'fusd'"),
        ({"batch_size": 0}, LavaRuntimeError, "batch_size: is 0"),
        ({"number_format": "half"}, LavaRuntimeError, "number format: is 'half'"),
    ],
)
def test_what_is_wrong_is_one_line(model: Path, changed: dict, kind: type, message: str) -> None:
    graph = load_model(model, "fixed_pt", dt_s=DT_S)
    with pytest.raises(kind) as caught:
        run(graph, **{"inputs": {"input": spikes(2)}, **changed})
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert children() == set()
