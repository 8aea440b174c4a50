"""The controller's behaviour: integers, in both number formats."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_runtime.processes.threshold_controller.process import ThresholdController


@implements(proc=ThresholdController, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt", "floating_pt")
class PyThresholdControllerModel(PyLoihiProcessModel):
    """One threshold per tick."""

    count_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    context_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    th_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._controller, self._clock = proc_params["controller"], proc_params["clock"]
        self._theta = 0

    def run_spk(self) -> None:
        """Receive counts and context, send θ: a new one on a tick."""
        if self._clock.starts(self.time_step):
            self._theta = 0
        counts = self.count_in.recv().astype(np.int64)
        context = self.context_in.recv().astype(np.int64)[: self._controller.num_context]
        if self._clock.ticks(self.time_step):
            self._theta = self._controller.threshold(counts, context)
        self.th_out.send(np.array([self._theta], dtype=np.int32))
