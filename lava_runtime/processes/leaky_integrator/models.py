"""The integrator's behaviour in floating point."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_runtime.processes.leaky_integrator.process import LeakyIntegrator


@implements(proc=LeakyIntegrator, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyLeakyIntegratorModel(PyLoihiProcessModel):
    """Double precision, as Lava's own float models."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v: Any = LavaPyType(np.ndarray, float)
    dv: Any = LavaPyType(np.ndarray, float)

    def run_spk(self) -> None:
        """On a tick: leak, integrate, send."""
        clock, a_in = self.proc_params["clock"], self.a_in.recv()
        if clock.starts(self.time_step):
            self.v[:] = 0
        if not clock.ticks(self.time_step):
            self.s_out.send(np.zeros_like(self.v))
            return
        self.v[:] = self.v * (1 - self.dv) + a_in
        self.s_out.send(self.v.copy())
