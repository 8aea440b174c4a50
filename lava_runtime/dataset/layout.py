"""How results lie in HDF5, in shards and in the whole: one chunk holds steps of one sample, so chunks can be copied."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.graph import Graph
from export.nodes import DYNAMIC, DynamicThresholdLIF, Output
from export.trace import Array

from ..errors import LavaRuntimeError
from ..fused.counting import output_dtype
from ..layers import FloatNeuron, neurons
from ..probes import Probe

CHUNK_BYTES = 4 << 20
"""Size of a chunk before compression, if one step of the layer is not larger."""
GZIP_LEVEL = 1
"""Spikes shrink as well as at higher levels, membranes hardly at any; this one is the fastest."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Types and shapes of what a run leaves.

    Attributes:
        graph: the graph that runs.
        probes: what is recorded.
        num_steps: T.
    """

    graph: Graph
    probes: Collection[Probe]
    num_steps: int

    def __post_init__(self) -> None:
        for name in {*self.graph.of_type(Output), *(probe.layer for probe in self.probes)}:
            if "/" in name or name == ".":
                raise LavaRuntimeError(f"node '{name}': HDF5 takes no such name; rename the node, or do not record it")

    def output(self, name: str, num_samples: int) -> tuple[tuple[int, int], Any]:
        """Return shape and type of an output node's counts, [N, n]: int64 spikes or float64."""
        return (num_samples, self.graph.nodes[name].size), np.dtype(output_dtype(self.graph, name))

    def record(self, probe: Probe, num_samples: int) -> tuple[tuple[int, ...], Any]:
        """Return shape and type of a record: [N, T, n], or [N, T] for a threshold that a layer has in common.

        Spikes are uint8; membranes float64, or integers as narrow as their format allows; thresholds int32.
        """
        if probe.variable == "theta":
            return (num_samples, self.num_steps), np.dtype(np.int32)
        shape = (num_samples, self.num_steps, self.graph.nodes[probe.layer].size)
        if probe.variable == "s":
            return shape, np.dtype(np.uint8)
        if self.graph.fmt is None:
            return shape, np.dtype(np.float64)
        return shape, np.dtype(np.int32 if self.graph.fmt.state_bits <= 32 else np.int64)

    def create_record(self, container: Any, probe: Probe, num_samples: int) -> Any:
        """Create the dataset of a record, `layer/variable`, in a file or group."""
        shape, dtype = self.record(probe, num_samples)
        step_bytes = dtype.itemsize * int(np.prod(shape[2:]))
        steps = max(1, min(self.num_steps, CHUNK_BYTES // step_bytes))
        return container.create_dataset(
            f"{probe.layer}/{probe.variable}",
            shape,
            dtype,
            chunks=(1, steps, *shape[2:]),
            compression="gzip",
            compression_opts=GZIP_LEVEL,
            shuffle=dtype.itemsize > 1,
        )


def constant_threshold(graph: Graph, layer: str) -> Array | None:
    """Return the thresholds that a layer's membranes are compared with, [n] in units of v; None where they move."""
    node = neurons(graph)[layer]
    if isinstance(node, DYNAMIC):
        return None
    if isinstance(node, FloatNeuron):
        return None if node.threshold is None else node.threshold.astype(np.float64).ravel()
    assert graph.fmt is not None
    return None if node.vth is None else node.vth.astype(np.int64).ravel() << graph.fmt.state_shift


def theta_unit(graph: Graph, layer: str) -> float:
    """Return what a threshold mantissa of 1 is in units of v."""
    node = neurons(graph)[layer]
    assert isinstance(node, DYNAMIC)
    if isinstance(node, DynamicThresholdLIF):
        return 2.0**-node.controller.fraction_bits
    assert graph.fmt is not None
    return 2.0 ** (node.theta_shift + graph.fmt.state_shift)
