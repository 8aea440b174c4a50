"""What a shard is: a pure function of the graph, its samples, and the settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from export.graph import Graph
from export.nodes import Output
from export.trace import Array, Trace
from hardware_profiles.activity import LayerActivity

from ..compat import load_lava
from ..counts import count_events
from ..errors import LavaRuntimeError
from ..fused.counting import output_dtype
from ..fused.executor import Executor
from ..fused.run import run_fused
from ..layerwise import run_processes
from ..preconditions import TIMEOUT_S, NumberFormat
from ..probes import Probe
from ..target import Granularity, Target, check_target
from ..traffic import node_values


@dataclass(frozen=True, kw_only=True)
class LavaSettings:
    """How samples run on Lava.

    Attributes:
        granularity: `fused` (one Process for the graph) or `processes` (one per node).
        number_format: `fixed_pt` or `floating_pt`.
        probes: what is recorded in every step.
        batch_size: samples side by side in the fused Process.
        timeout_s: longest time in seconds without a finished time step.
        target: `simulation`, or `hardware` for a Loihi 2 behind Intel's extension, which tells spikes only.
    """

    granularity: Granularity
    number_format: NumberFormat
    probes: tuple[Probe, ...]
    batch_size: int = 64
    timeout_s: float = TIMEOUT_S
    target: Target = "simulation"

    def __post_init__(self) -> None:
        if self.granularity not in get_args(Granularity):
            allowed = ", ".join(get_args(Granularity))
            raise LavaRuntimeError(f"granularity: is '{self.granularity}', allowed are {allowed}; choose one")
        if self.batch_size < 1:
            raise LavaRuntimeError(f"batch_size: is {self.batch_size}, allowed is at least 1; 64 is a good start")
        check_target(self.target, self.granularity, self.number_format)
        for probe in self.probes:
            if self.target == "hardware" and probe.variable != "s":
                raise LavaRuntimeError(f"record '{probe}': a chip tells spikes only; record {probe.layer}.s")

    def total_steps(self, num_samples: int, num_steps: int) -> int:
        """Return the time steps, latency left out, that so many samples take in one session."""
        return num_steps * (-(-num_samples // self.batch_size) if self.granularity == "fused" else num_samples)


@dataclass(frozen=True, eq=False, kw_only=True)
class ShardResult:
    """What came out of a shard.

    Attributes:
        output_counts: output node to what left there, summed over time: int64 spikes or float64, [B, n].
        records: probe to what it saw, [T, B, n] or [T, B].
        layers: event counts.
    """

    output_counts: Mapping[str, Array]
    records: Mapping[Probe, Array]
    layers: tuple[LayerActivity, ...]


def prepare(graph: Graph, settings: LavaSettings) -> None:
    """Load Lava, and compile what a shard computes: before workers are forked, so that they inherit it.

    Raises:
        LavaRuntimeError: Lava is missing.
    """
    load_lava()
    if settings.granularity == "fused":
        importlib.import_module("..processes.fused_data_set.models", __package__)
        Executor(graph, settings.probes).compile()


def run_shard(
    graph: Graph, inputs: Mapping[str, Array], settings: LavaSettings, steps_done: npt.NDArray[np.int64]
) -> ShardResult:
    """Run some samples on Lava, in one session.

    Args:
        graph: the dialect of the number format, model timing.
        inputs: name to [T, B, *shape].
        settings: how.
        steps_done: int64 [1], shared: counts finished time steps.

    Raises:
        LavaRuntimeError: Lava is missing, failed or stood still.
        ExportError: the graph does not fit.
    """
    if settings.granularity == "processes":
        return _run_processes(graph, inputs, settings, steps_done)
    run = run_fused(
        graph,
        inputs,
        number_format=settings.number_format,
        batch_size=settings.batch_size,
        probes=settings.probes,
        timeout_s=settings.timeout_s,
        steps_done=steps_done,
    )
    return ShardResult(output_counts=run.output_counts, records=run.records, layers=run.layers)


def _run_processes(
    graph: Graph, inputs: Mapping[str, Array], settings: LavaSettings, steps_done: npt.NDArray[np.int64]
) -> ShardResult:
    """Run with one Process per node, which records everything; what was not asked for is let go."""
    trace = run_processes(
        graph,
        inputs,
        number_format=settings.number_format,
        timeout_s=settings.timeout_s,
        target=settings.target,
        steps_done=steps_done,
    )
    return ShardResult(
        output_counts=_output_counts(graph, inputs, trace),
        records={probe: getattr(trace[probe.layer], probe.variable) for probe in settings.probes},
        layers=count_events(graph, inputs, trace),
    )


def _output_counts(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> dict[str, Array]:
    values = node_values(graph, inputs, trace)
    return {name: values[name].sum(axis=0).astype(output_dtype(graph, name)) for name in graph.of_type(Output)}
