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
    """Stateless: one threshold per time step."""

    count_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    context_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    th_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._controller = proc_params["controller"]

    def run_spk(self) -> None:
        """Receive counts and context, send θ."""
        counts = self.count_in.recv().astype(np.int64)
        context = self.context_in.recv().astype(np.int64)[: self._controller.num_context]
        theta = self._controller.threshold(counts, context)
        self.th_out.send(np.array([theta], dtype=np.int32))
