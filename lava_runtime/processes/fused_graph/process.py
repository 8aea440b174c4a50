"""The ports of a whole graph."""

from __future__ import annotations

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from export.graph import Graph
from export.nodes import Output
from export.ranges import carries_spikes
from lava_runtime.fused.executor import Executor


def input_port(node: str) -> str:
    """Return the name of the InPort of an input node."""
    return f"in_{node}"


def output_port(node: str) -> str:
    """Return the name of the OutPort of an output node."""
    return f"out_{node}"


def message_type(graph: Graph, name: str) -> type:
    """Return the type of what travels at an input or output node: spikes are bytes, graded inputs have 11 bits."""
    if carries_spikes(graph, name if name in graph.inputs() else graph.sources(name)[0]):
        return np.int8
    return np.int16 if name in graph.inputs() else np.float64


class FusedGraph(AbstractProcess):
    """A whole graph for a batch of samples, without latency: spikes in and out within one time step.

    Ports: `in_<name>` (batch, size) per graph input, `out_<name>` (batch, n) per graph output; they connect to
    any other Lava Process. Select the model by instance: `exception_proc_model_map={p: fused_model(p)}`.
    """

    def __init__(self, *, graph: Graph, batch: int, name: str | None = None) -> None:
        """Make the Process, and compile what it computes, so that Lava's forks inherit it.

        Args:
            graph: a verified graph, integer dialect for `fixed_pt`, float dialect for `floating_pt`.
            batch: samples that run side by side, from the first time step on.
            name: name of the Process.
        """
        executor = Executor(graph)
        executor.compile()
        super().__init__(graph=graph, batch=batch, executor=executor, name=name)
        for node_name, node in graph.inputs().items():
            setattr(self, input_port(node_name), InPort(shape=(batch, node.size)))
        for node_name, output in graph.of_type(Output).items():
            setattr(self, output_port(node_name), OutPort(shape=(batch, output.size)))
