"""The behaviour of a whole graph; the number format is that of the graph's dialect."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from export.graph import Graph
from export.nodes import Output
from lava_runtime.fused.counting import output_dtype
from lava_runtime.fused.executor import Executor
from lava_runtime.processes.fused_graph.process import FusedGraph, input_port, output_port
from lava_runtime.processes.ports import with_ports


class _FusedGraphModel(PyLoihiProcessModel):
    """Receives one step of every input, advances the executor, sends every output."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._graph: Graph = proc_params["graph"]
        self._batch: int = proc_params["batch"]
        self._ledger = proc_params["ledger"]
        self._executor = Executor(self._graph)

    def run_spk(self) -> None:
        """Advance by one time step; a shard may hold fewer samples than the ports."""
        step, num_samples, starts = self.time_step - 1, self._batch, self.time_step == 1
        if self._ledger is not None:
            num_samples, starts = self._ledger.num_samples(step), self._ledger.starts(step)
        if starts:
            self._executor.reset(num_samples)
        inputs = {name: getattr(self, input_port(name)).recv()[:num_samples] for name in self._graph.inputs()}
        outputs = self._executor.step(inputs)
        for name, sent in outputs.items():
            message: Any = np.zeros((self._batch, sent.shape[1]), dtype=message_dtype(self._graph, name))
            message[:num_samples] = sent
            getattr(self, output_port(name)).send(message)
        if self._ledger is not None:
            self._ledger.enter(step, self._executor)


@implements(proc=FusedGraph, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyFusedGraphModelFixed(_FusedGraphModel):
    """Runs graphs of the integer dialect."""


@implements(proc=FusedGraph, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyFusedGraphModelFloat(_FusedGraphModel):
    """Runs graphs of the float dialect."""


def message_dtype(graph: Graph, output: str) -> type:
    """Return the type of what an output sends: spikes are bytes."""
    return np.int8 if output_dtype(graph, output) is np.int64 else np.float64


def fused_model(process: FusedGraph) -> type:
    """Return the model that has the ports of `process` and the number format of its graph."""
    graph: Graph = process.proc_params["graph"]
    ports: dict[str, Any] = {input_port(name): LavaPyType(PyInPort.VEC_DENSE, np.int8) for name in graph.inputs()}
    ports |= {
        output_port(name): LavaPyType(PyOutPort.VEC_DENSE, message_dtype(graph, name)) for name in graph.of_type(Output)
    }
    model = PyFusedGraphModelFixed if graph.dialect == "integer" else PyFusedGraphModelFloat
    return with_ports(model, ports)
