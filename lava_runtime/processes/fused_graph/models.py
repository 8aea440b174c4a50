"""The behaviour of a whole graph; the number format is that of the graph's dialect."""

from __future__ import annotations

from collections.abc import Callable
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
from export.trace import Array
from lava_runtime.fused.executor import Executor
from lava_runtime.fused.ledger import Ledger
from lava_runtime.processes.fused_graph.process import FusedGraph, input_port, message_type, output_port
from lava_runtime.processes.ports import with_ports


class _FusedGraphModel(PyLoihiProcessModel):
    """Receives a step or a block of every input, advances the executor, sends every output."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._graph: Graph = proc_params["graph"]
        self._batch: int = proc_params["batch"]
        self._executor: Executor = proc_params["executor"]
        self._ledger: Ledger | None = proc_params["ledger"]

    def run_spk(self) -> None:
        """Advance by one of Lava's time steps; a block may hold fewer steps and samples than the ports."""
        if self._ledger is None:
            if self.time_step == 1:
                self._executor.reset(self._batch)
            self._executor.run({name: values[None] for name, values in self._received().items()})
            self._send(lambda values: values[0])
            return
        place = self._ledger.locate(self.time_step - 1)
        if place.steps.start == 0:
            self._executor.reset(place.num_samples)
        num_steps = place.steps.stop - place.steps.start
        received = self._received()
        self._executor.run({name: values[:num_steps, : place.num_samples] for name, values in received.items()})
        self._ledger.enter(place, self._executor)
        self._send(lambda values: values)

    def _received(self) -> dict[str, Array]:
        return {name: getattr(self, input_port(name)).recv() for name in self._graph.inputs()}

    def _send(self, shaped: Callable[[Array], Array]) -> None:
        """Send what the outputs sent, filled up with zeros to the shape of the port."""
        for name in self._graph.of_type(Output):
            port = getattr(self, output_port(name))
            if port.csp_ports:
                sent = shaped(self._executor.sent(name))
                message: Any = np.zeros(port.shape, dtype=message_type(self._graph, name))
                message[tuple(map(slice, sent.shape))] = sent
                port.send(message)


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


def fused_model(process: FusedGraph) -> type:
    """Return the model that has the ports of `process` and the number format of its graph."""
    graph: Graph = process.proc_params["graph"]
    ports: dict[str, Any] = {
        input_port(name): LavaPyType(PyInPort.VEC_DENSE, message_type(graph, name)) for name in graph.inputs()
    }
    ports |= {
        output_port(name): LavaPyType(PyOutPort.VEC_DENSE, message_type(graph, name)) for name in graph.of_type(Output)
    }
    model = PyFusedGraphModelFixed if graph.dialect == "integer" else PyFusedGraphModelFloat
    return with_ports(model, ports)
