"""The product's behaviour in floating and fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from export.nodes import MatMul
from lava_runtime.processes.product.process import SignalProduct


class _SignalProductModel(PyLoihiProcessModel):
    """What both number formats share; nothing is kept."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._node = proc_params["node"]

    def run_spk(self) -> None:
        """Receive both factors, send their product."""
        dtype = self.s_out._d_type
        a, b = (port.recv().astype(dtype) for port in (self.a_in, self.b_in))
        if isinstance(self._node, MatMul):
            self.s_out.send((a.reshape(self._node.shape_a) @ b.reshape(self._node.shape_b)).ravel())
        else:
            self.s_out.send(a * b)


@implements(proc=SignalProduct, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySignalProductModelFloat(_SignalProductModel):
    """Double precision."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    b_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


@implements(proc=SignalProduct, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PySignalProductModelFixed(_SignalProductModel):
    """Graded spikes of 24 bits; `export.verify` proves that no product leaves them."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    b_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
