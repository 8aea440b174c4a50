"""The sink's behaviour, the same in both number formats."""

from __future__ import annotations

from typing import Any

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_runtime.processes.memory_sink.process import MemorySink, Record
from lava_runtime.processes.ports import with_ports


@implements(proc=MemorySink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyMemorySinkModel(PyLoihiProcessModel):
    """Stores messages in the spiking phase, Vars in the management phase that follows it."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        records: dict[str, Record] = proc_params["records"]
        self._messages = {port: record for port, record in records.items() if record.what == "message"}
        self._vars = {port: record for port, record in records.items() if record.what == "var"}
        self._steps_done = proc_params["steps_done"]

    def run_spk(self) -> None:
        """Receive every message, due or not."""
        for port, record in self._messages.items():
            self._store(record, getattr(self, port).recv())
        if not self._vars:
            self._steps_done[0] = self.time_step

    def post_guard(self) -> bool:
        """Ask for a management phase where Vars are recorded."""
        return bool(self._vars)

    def run_post_mgmt(self) -> None:
        """Read every Var."""
        for port, record in self._vars.items():
            self._store(record, getattr(self, port).read())
        self._steps_done[0] = self.time_step

    def _store(self, record: Record, value: Any) -> None:
        step = self.time_step - 1 - record.lag
        if 0 <= step < len(record.store):
            record.store[step] = value


def sink_model(sink: MemorySink) -> type:
    """Return the model that has the ports of `sink`."""
    records: dict[str, Record] = sink.proc_params["records"]
    kinds = {"message": PyInPort.VEC_DENSE, "var": PyRefPort.VEC_DENSE}
    return with_ports(
        PyMemorySinkModel,
        {port: LavaPyType(kinds[record.what], record.store.dtype) for port, record in records.items()},
    )
