"""The delay line's behaviour in floating and fixed point."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_runtime.processes.delay_line.process import DelayLine


class _DelayLineModel(PyLoihiProcessModel):
    """What both number formats share."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._delay, self._silent = proc_params["delay"], proc_params["silent"]
        self._interval, self._lag = proc_params["interval"], proc_params["lag"]
        self._waiting: deque[Any] = deque()

    def run_spk(self) -> None:
        """Send what is due, before anything is received where it can: loops may pass through here."""
        if not self._delay:
            self._send(self.s_in.recv())
            return
        is_full = len(self._waiting) == self._delay
        self._send(self._waiting.popleft() if is_full else np.zeros(self.s_in._shape))
        self._waiting.append(self.s_in.recv())

    def _send(self, values: Any) -> None:
        step = self.time_step - 1 - self._lag
        is_silent = step < 0 or step % self._interval < self._silent
        self.s_out.send((np.zeros_like(values) if is_silent else values).astype(self.s_out._d_type))


@implements(proc=DelayLine, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyDelayLineModelFloat(_DelayLineModel):
    """Spikes, or values in double precision."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


@implements(proc=DelayLine, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyDelayLineModelFixed(_DelayLineModel):
    """Spikes, or graded values."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
