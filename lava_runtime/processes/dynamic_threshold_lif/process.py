"""The neuron's ports and Vars."""

from __future__ import annotations

import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from hardware_profiles.arithmetic import IntegerFormat
from lava_runtime.processes.sample_clock import SampleClock


class DynamicThresholdLIF(AbstractProcess):
    """LIF with reset to zero whose threshold arrives by message; no stock Process has such a port.

    v[t] = v[t-1] * (1-dv) + a_in + bias
    s_out = v[t] > th_in * 2^th_exp
    v[t] = 0                                        # reset at spike

    In fixed_pt all in Loihi's integers (`hardware_profiles.arithmetic`); equal to stock `LIF(du=4095)` where
    th_in is constant. Ports: a_in (n,), th_in (1,), s_out (n,).
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        dv: npt.ArrayLike,
        bias_mant: npt.ArrayLike = 0,
        bias_exp: int = 0,
        th_exp: int = 0,
        fmt: IntegerFormat | None = None,
        reset_interval: int = 1 << 62,
        reset_offset: int = 1,
        period: int = 1,
        name: str | None = None,
    ) -> None:
        """Make the neurons.

        Args:
            shape: (n,).
            dv: membrane decay, [n] or one for all; of 4096 in fixed_pt, of 1 in floating_pt.
            bias_mant: bias, [n] or one for all.
            bias_exp: exponent of the bias, fixed_pt only.
            th_exp: exponent of the threshold message; not negative in fixed_pt.
            fmt: integer widths, needed by fixed_pt.
            reset_interval: as of stock `LIFReset`: v is zeroed where time_step % interval == offset.
            reset_offset: see `reset_interval`.
            period: time steps between two ticks; what is kept is held between them.
            name: name of the Process.
        """
        super().__init__(
            fmt=fmt,
            th_exp=th_exp,
            clock=SampleClock(interval=reset_interval, offset=reset_offset % reset_interval, period=period),
            name=name,
        )
        self.a_in = InPort(shape=shape)
        self.th_in = InPort(shape=(1,))
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=0)
        self.dv = Var(shape=shape, init=dv)
        self.bias_mant = Var(shape=shape, init=bias_mant)
        self.bias_exp = Var(shape=(1,), init=bias_exp)
