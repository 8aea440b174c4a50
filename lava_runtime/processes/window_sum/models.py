"""The window's behaviour in floating and fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_runtime.processes.window_sum.process import WindowSum


class _WindowSumModel(PyLoihiProcessModel):
    """What both number formats share."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._weights, self._clock = proc_params["weights"], proc_params["clock"]
        self._arrival_period = proc_params["arrival_period"]
        self._sum: Any = 0

    def run_spk(self) -> None:
        """Add with the weight of the tick, send when the window is full."""
        step = self._clock.step(self.time_step)
        place = step // self._arrival_period % len(self._weights)
        if place == 0 and step % self._arrival_period == 0:
            self._sum = 0
        arrived = self.a_in.recv().astype(self.s_out._d_type)
        self._sum = self._sum + self._weights[place] * arrived
        is_full = self._clock.ticks(self.time_step)
        self.s_out.send((self._sum if is_full else np.zeros_like(self._sum)).astype(self.s_out._d_type))


@implements(proc=WindowSum, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyWindowSumModelFloat(_WindowSumModel):
    """Double precision."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


@implements(proc=WindowSum, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyWindowSumModelFixed(_WindowSumModel):
    """Unsigned 8-bit weights, graded values of 24 bits; `export.verify` proves that no sum leaves them."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
