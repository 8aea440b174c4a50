"""The behaviour of a whole graph; the number format is that of the graph's dialect."""

from __future__ import annotations

from typing import Any

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from export.graph import Graph
from export.nodes import Output
from lava_runtime.fused.executor import Executor
from lava_runtime.processes.fused_graph.process import FusedGraph, input_port, message_type, output_port
from lava_runtime.processes.ports import with_ports


class _FusedGraphModel(PyLoihiProcessModel):
    """Receives one step of every input, advances the executor, sends every output."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._graph: Graph = proc_params["graph"]
        self._executor: Executor = proc_params["executor"]
        self._executor.reset(proc_params["batch"])

    def run_spk(self) -> None:
        """Advance by one time step."""
        self._executor.run({name: getattr(self, input_port(name)).recv()[None] for name in self._graph.inputs()})
        for name in self._graph.of_type(Output):
            (sent,) = self._executor.sent(name)
            getattr(self, output_port(name)).send(sent.astype(message_type(self._graph, name)))


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
