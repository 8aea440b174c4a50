"""The source's behaviour, the same in both number formats."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_runtime.processes.memory_source.process import MemorySource
from lava_runtime.processes.ports import with_ports


@implements(proc=MemorySource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyMemorySourceModel(PyLoihiProcessModel):
    """Sends frame `t` of every stream in time step t + 1."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._streams = proc_params["streams"]

    def run_spk(self) -> None:
        """Send one message per stream."""
        for port, stream in self._streams.items():
            message = np.asarray(stream.frame(self.time_step - 1), dtype=stream.dtype)
            getattr(self, port).send(message)


def source_model(source: MemorySource) -> type:
    """Return the model that has the ports of `source`."""
    streams = source.proc_params["streams"]
    return with_ports(
        PyMemorySourceModel,
        {port: LavaPyType(PyOutPort.VEC_DENSE, np.dtype(stream.dtype)) for port, stream in streams.items()},
    )
