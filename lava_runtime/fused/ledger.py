"""What a fused run leaves behind, in memory that the worker fills and the parent reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import Graph
from export.nodes import DYNAMIC, Output
from export.trace import Array, LayerTrace, Trace

from ..counts import Events
from ..layers import controller_name, neurons
from ..probes import Probe, every_probe
from ..shared_memory import shared_array
from .counting import output_dtype
from .executor import Executor
from .plan import Place, Plan

EVENT_FIELDS = tuple(field.name for field in dataclasses.fields(Events))


class Ledger:
    """Batches of samples, one after another, each in blocks of time steps, and their results.

    Batch k holds the samples k·batch … (k+1)·batch − 1, the last one what is left.

    Attributes:
        output_sums: output node to what left there per sample and value: int64 spikes or float64, [N, n].
        records: probe to what it saw in every step and sample.
    """

    def __init__(self, graph: Graph, plan: Plan, probes: Collection[Probe], steps_done: npt.NDArray[np.int64]) -> None:
        self._plan = plan
        self._steps_done = steps_done
        self._layers = [*graph.inputs(), *neurons(graph), *map(controller_name, graph.of_type(DYNAMIC))]
        self._events = shared_array((len(self._layers), len(EVENT_FIELDS)), np.int64)
        self.output_sums = {
            name: shared_array((plan.num_samples, node.size), output_dtype(graph, name))
            for name, node in graph.of_type(Output).items()
        }
        self.records = {probe: _record(graph, probe, plan) for probe in probes}

    def places(self, lava_step: int) -> tuple[Place, ...]:
        """Return which blocks are computed in one of Lava's time steps (from 0)."""
        return self._plan.places(lava_step)

    def enter(self, place: Place, executor: Executor) -> None:
        """Write down a finished block, and after its last block a batch; runs in the worker."""
        for probe, record in self.records.items():
            record[place.steps, place.samples] = executor.recorded(probe)
        if place.steps.stop == self._plan.num_steps:
            for name, sums in self.output_sums.items():
                sums[place.samples] = executor.output_sums(name)
            events = executor.events()
            self._events += np.array([dataclasses.astuple(events[name]) for name in self._layers], dtype=np.int64)
        self._steps_done[0] += place.steps.stop - place.steps.start

    def events(self) -> dict[str, Events]:
        """Return the event counts of the run, by layer."""
        return {
            name: Events(**dict(zip(EVENT_FIELDS, map(int, row), strict=True)))
            for name, row in zip(self._layers, self._events, strict=True)
        }

    def trace(self, graph: Graph) -> Trace | None:
        """Return the records as a trace, copied out of the shared memory; None unless everything was recorded."""
        if set(self.records) != set(every_probe(graph)):
            return None
        events, records = self.events(), self.copies()
        return {
            name: LayerTrace(
                s=records[Probe(name, "s")],
                v=records.get(Probe(name, "v")),
                theta=records.get(Probe(name, "theta")),
                saturations=events[name].saturations,
            )
            for name in neurons(graph)
        }

    def copies(self) -> dict[Probe, Array]:
        """Return what was recorded, copied out of the shared memory."""
        return {probe: record.copy() for probe, record in self.records.items()}


def _record(graph: Graph, probe: Probe, plan: Plan) -> Array:
    if probe.variable == "theta":
        return shared_array((plan.num_steps, plan.num_samples), np.int64)
    dtype: Any = np.uint8
    if probe.variable == "v":
        dtype = np.float64 if graph.fmt is None else np.int64
    return shared_array((plan.num_steps, plan.num_samples, graph.nodes[probe.layer].size), dtype)
