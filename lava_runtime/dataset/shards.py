"""How a data set is cut: consecutive samples, the same on every machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from export.graph import Graph

from ..errors import LavaRuntimeError
from ..layers import neurons
from ..probes import Probe
from ..target import Granularity

SHARD_BYTES = 256 << 20
"""Inputs and records of one shard, as held by the worker that runs it; each worker needs this besides the model."""
MIN_SHARDS = 64
"""Data sets that are large enough are cut into at least so many shards: for all cores of a machine, and a kill loses
little."""
WORTHWHILE = 10**8
"""Values × steps × samples that are worth a Lava session of their own: both take a tenth of a second."""
MAX_SAMPLES = 1024
PROCESSES_GRAIN = 4
"""Samples that are worth a Lava session of their own, with one Process per node."""


@dataclass(frozen=True)
class Shard:
    """Samples `start` to `stop - 1`, run in one Lava session."""

    index: int
    start: int
    stop: int

    @property
    def num_samples(self) -> int:
        """How many samples it has."""
        return self.stop - self.start

    @property
    def samples(self) -> slice:
        """Its samples in the data set."""
        return slice(self.start, self.stop)

    def __str__(self) -> str:
        return f"shard {self.index} (samples {self.start} to {self.stop - 1})"


def plan_shards(num_samples: int, samples_per_shard: int) -> tuple[Shard, ...]:
    """Cut N samples.

    Raises:
        LavaRuntimeError: a shard would be empty.
    """
    if samples_per_shard < 1:
        raise LavaRuntimeError(f"samples per shard: are {samples_per_shard}, allowed is at least 1")
    starts = range(0, num_samples, samples_per_shard)
    return tuple(Shard(index, start, min(start + samples_per_shard, num_samples)) for index, start in enumerate(starts))


def default_samples_per_shard(
    graph: Graph,
    probes: Collection[Probe],
    granularity: Granularity,
    num_samples: int,
    num_steps: int,
    batch_size: int,
) -> int:
    """Choose how many samples a shard has; a function of the task alone, so that every machine cuts alike.

    A whole number of batches, so many that a session's start costs little, within `SHARD_BYTES`.
    """
    grain = batch_size if granularity == "fused" else PROCESSES_GRAIN
    num_values = num_steps * sum(node.size for node in graph.nodes.values())
    worthwhile = WORTHWHILE // num_values if granularity == "fused" else 1
    wanted = min(max(-(-num_samples // MIN_SHARDS), worthwhile), MAX_SAMPLES)
    affordable = SHARD_BYTES // (num_steps * _bytes_per_step(graph, probes, granularity))
    whole_grains = max(min(-(-wanted // grain), affordable // grain), 1) * grain
    return max(min(whole_grains, affordable), 1)


def _bytes_per_step(graph: Graph, probes: Collection[Probe], granularity: Granularity) -> int:
    """Return what a worker holds of one sample and one step."""
    inputs = sum(node.size * (1 if node.kind == "spike" else 2) for node in graph.inputs().values())
    if granularity == "processes":  # spikes and membranes of all, and every node's values while events are counted
        return inputs + 16 * sum(node.size for node in graph.nodes.values())
    # a record lies in shared memory and is copied out of it, twice where everything is recorded
    return inputs + 3 * sum(neurons(graph)[probe.layer].size * (1 if probe.variable == "s" else 8) for probe in probes)
