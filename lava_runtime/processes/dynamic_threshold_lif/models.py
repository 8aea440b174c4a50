"""The neuron's behaviour in floating and fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware_profiles import arithmetic
from lava_runtime.processes.dynamic_threshold_lif.process import DynamicThresholdLIF


class _DynamicThresholdLIFModel(PyLoihiProcessModel):
    """What both number formats share: the order of a step, and the reset between samples."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._clock = proc_params["clock"]
        self._th_exp = proc_params["th_exp"]

    def run_spk(self) -> None:
        """Receive; on a tick integrate, compare, reset, send; between ticks hold and be silent."""
        if self._clock.starts(self.time_step):
            self.v[:] = 0
        a_in, theta = self.a_in.recv(), self.th_in.recv()
        if not self._clock.ticks(self.time_step):
            self.s_out.send(np.zeros(self.v.shape, dtype=bool))
            return
        self.v[:] = self.integrate(a_in)
        spikes = self.v > self.threshold(theta)
        self.v[spikes] = 0
        self.s_out.send(spikes)


@implements(proc=DynamicThresholdLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyDynamicThresholdLIFModelFloat(_DynamicThresholdLIFModel):
    """Double precision, as Lava's own float models."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    th_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v: Any = LavaPyType(np.ndarray, float)
    dv: Any = LavaPyType(np.ndarray, float)
    bias_mant: Any = LavaPyType(np.ndarray, float)
    bias_exp: Any = LavaPyType(np.ndarray, float)

    def integrate(self, a_in: Any) -> Any:
        """Compute v * (1-dv) + a_in + bias, in stock LIF's order of additions."""
        return self.v * (1 - self.dv) + a_in + self.bias_mant

    def threshold(self, theta: Any) -> Any:
        """Scale the mantissa."""
        return np.ldexp(theta.astype(float), self._th_exp)


@implements(proc=DynamicThresholdLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyDynamicThresholdLIFModelFixed(_DynamicThresholdLIFModel):
    """Loihi's integers."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    th_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=17)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=1)
    v: Any = LavaPyType(np.ndarray, np.int32, precision=24)
    dv: Any = LavaPyType(np.ndarray, np.int32, precision=12)
    bias_mant: Any = LavaPyType(np.ndarray, np.int32, precision=13)
    bias_exp: Any = LavaPyType(np.ndarray, np.int32, precision=3)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._fmt: arithmetic.IntegerFormat = proc_params["fmt"]

    def integrate(self, a_in: Any) -> Any:
        """Decay, add, saturate."""
        bias = self.bias_mant.astype(np.int64) << self.bias_exp
        v = arithmetic.integrate(self.v.astype(np.int64), a_in.astype(np.int64), self.dv, bias, self._fmt)
        return arithmetic.saturate(v, self._fmt)

    def threshold(self, theta: Any) -> Any:
        """Align the mantissa with the membrane."""
        return theta.astype(np.int64) << (self._th_exp + self._fmt.state_shift)
