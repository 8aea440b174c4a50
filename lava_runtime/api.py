"""A model on Lava from Python: arrays in, arrays out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from export.graph import Graph
from export.nodes import Output
from export.trace import Array
from hardware_profiles.activity import LayerActivity, add_layers

from .dataset.compute import LavaSettings, prepare, run_shard
from .dataset.layout import Layout
from .dataset.shards import Shard, default_samples_per_shard, plan_shards
from .dataset.source import array_source
from .dataset.workers import ShardRunner
from .model import load_model
from .preconditions import TIMEOUT_S, NumberFormat, check_graph
from .probes import read_probes
from .shared_memory import shared_array
from .target import Granularity, Target


@dataclass(frozen=True, eq=False, kw_only=True)
class LavaRun:
    """What a model did on Lava.

    Attributes:
        outputs: output node to what left there, summed over time: int64 spikes or float64, [N, n].
        records: `layer.variable` to what was recorded: `s` uint8, `v` int32, int64 or
            float64, [N, T, n]; `theta` int32 [N, T].
        layers: event counts, inputs first.
    """

    outputs: dict[str, Array]
    records: dict[str, Array]
    layers: tuple[LayerActivity, ...]


def run(
    model: Graph | Path | str,
    inputs: Mapping[str, Array],
    *,
    granularity: Granularity = "fused",
    number_format: NumberFormat = "fixed_pt",
    target: Target = "simulation",
    record: str = "",
    dt_s: float | None = None,
    profile: str | None = None,
    batch_size: int = 64,
    num_workers: int = 1,
    samples_per_shard: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> LavaRun:
    """Run a model on Lava; for data sets that do not fit into memory see `dataset.run.DatasetRun`.

    Args:
        model: a graph (integer dialect for `fixed_pt`), a `.nir` file or an `integer_model.h5`.
        inputs: name to [N, T, *shape], as data sets are stored.
        granularity: `fused` (one Lava Process) or `processes` (one per node).
        number_format: `fixed_pt` (bit-accurate) or `floating_pt` (double precision).
        target: `simulation`, or `hardware` for a Loihi 2 behind Intel's extension.
        record: what to record in every step, as `l2.v,l3.s`, or `all`.
        dt_s: time step in seconds of a `.nir` file that does not say it.
        profile: hardware profile whose integer widths a `.nir` file gets; `loihi2` by default.
        batch_size: samples side by side in the fused Process.
        num_workers: OS processes that run shards at a time; with several, set OMP_NUM_THREADS=1 before numpy is
            imported.
        samples_per_shard: samples of one Lava session; chosen by memory and number of samples by default.
        timeout_s: longest time in seconds without a finished time step.

    Raises:
        ExportError: the model cannot be read, or does not fit the number format.
        InputDataError: the inputs do not fit the model.
        LavaRuntimeError: Lava is missing, failed or stood still, or there is no such layer to record.
    """
    graph = model if isinstance(model, Graph) else load_model(Path(model), number_format, dt_s=dt_s, profile=profile)
    check_graph(graph, number_format)
    source = array_source(inputs, graph)
    settings = LavaSettings(
        granularity=granularity,
        number_format=number_format,
        probes=read_probes(record, graph),
        batch_size=batch_size,
        timeout_s=timeout_s,
        target=target,
    )
    layout = Layout(graph=graph, probes=settings.probes, num_steps=source.num_steps)
    num_samples = source.num_samples
    if samples_per_shard is None:
        samples_per_shard = default_samples_per_shard(
            graph, settings.probes, granularity, num_samples, source.num_steps, batch_size
        )
    shards = plan_shards(num_samples, samples_per_shard)
    prepare(graph, settings)
    outputs = {name: shared_array(*layout.output(name, num_samples)) for name in graph.of_type(Output)}
    records = {probe: shared_array(*layout.record(probe, num_samples)) for probe in settings.probes}

    def work(shard: Shard, given: dict[str, Array], steps_done: npt.NDArray[Any]) -> tuple[LayerActivity, ...]:
        result = run_shard(graph, given, settings, steps_done)
        for name, counts in result.output_counts.items():
            outputs[name][shard.samples] = counts
        for probe, values in result.records.items():
            records[probe][shard.samples] = values.swapaxes(0, 1)
        return result.layers

    layers: list[tuple[LayerActivity, ...]] = []
    ShardRunner(source.load, work, num_workers).run(
        shards,
        finished=lambda _, done: layers.append(done),
        watch=lambda _: None,
        tell=lambda line: print(line, file=sys.stderr),
    )
    return LavaRun(
        outputs=outputs,
        records={str(probe): values for probe, values in records.items()},
        layers=add_layers(layers),
    )
