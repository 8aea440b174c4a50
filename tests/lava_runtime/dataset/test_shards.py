from __future__ import annotations

import numpy as np
import pytest

from export.graph import Edge, Graph
from export.nodes import LIF, Input, Linear, Output
from hardware_profiles.errors import ConfigError
from lava_runtime.dataset.run import Part
from lava_runtime.dataset.shards import SHARD_BYTES, default_samples_per_shard, plan_shards
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.probes import Probe


def graph_of(size: int) -> Graph:
    nodes = {
        "x": Input(shape=(4,)), "w": Linear(weight=np.ones((size, 4), np.float32)),
        "l": LIF(beta=np.full(size, 0.5, np.float32), threshold=np.ones(size, np.float32), reset="zero"),
        "y": Output(shape=(size,)),
    }  # fmt: skip
    edges = (Edge("x", "w"), Edge("w", "l"), Edge("l", "y"))
    return Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3)


@pytest.mark.parametrize(("num_samples", "size"), [(1, 1), (7, 3), (9, 3), (10, 100), (1000, 64)])
def test_a_plan_holds_every_sample_once_in_order(num_samples: int, size: int) -> None:
    shards = plan_shards(num_samples, size)
    assert [index for shard in shards for index in range(num_samples)[shard.samples]] == list(range(num_samples))
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert all(shard.num_samples == size for shard in shards[:-1])


def test_an_empty_shard_is_refused() -> None:
    with pytest.raises(LavaRuntimeError, match="samples per shard: are 0"):
        plan_shards(4, 0)


def test_shards_are_whole_batches_that_fit_into_memory() -> None:
    small, medium = graph_of(8), graph_of(4000)
    assert default_samples_per_shard(small, (), "fused", 160, 50, 64) == 1024
    assert default_samples_per_shard(medium, (), "fused", 10_000, 50, 64) == 192
    assert default_samples_per_shard(medium, (), "fused", 10**7, 50, 64) == 1024
    assert default_samples_per_shard(small, (), "processes", 160, 50, 64) == 4
    large, probes = graph_of(50_000), (Probe("l", "v"),)
    samples = default_samples_per_shard(large, probes, "fused", 10_000, 50, 64)
    assert samples == SHARD_BYTES // (50 * (4 + 3 * 8 * 50_000)) == 4
    assert default_samples_per_shard(large, probes, "fused", 10_000, 5000, 64) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 11])
def test_parts_are_all_shards_once(n: int) -> None:
    shards = plan_shards(20, 2)
    parts = [Part.read(f"{k}/{n}").of(shards) for k in range(1, n + 1)]
    assert sorted(shard.index for part in parts for shard in part) == list(range(10))


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "a/b", "1/2/3", "-1/2", "1/"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--part {text}: allowed is k/n"):
        Part.read(text)
