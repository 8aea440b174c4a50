"""The integrator's ports and Vars."""

from __future__ import annotations

import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from lava_runtime.processes.sample_clock import SampleClock


class LeakyIntegrator(AbstractProcess):
    """Sends its membrane, v[t] = v[t-1] * (1-dv) + a_in; floating_pt only. Ports: a_in (n,), s_out (n,)."""

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        dv: npt.ArrayLike,
        reset_interval: int = 1 << 62,
        reset_offset: int = 1,
        period: int = 1,
        name: str | None = None,
    ) -> None:
        """Make the membranes.

        Args:
            shape: (n,).
            dv: membrane decay of 1, [n] or one for all.
            reset_interval: as of stock `LIFReset`: v is zeroed where time_step % interval == offset.
            reset_offset: see `reset_interval`.
            period: time steps between two ticks; what is kept is held between them.
            name: name of the Process.
        """
        super().__init__(
            clock=SampleClock(interval=reset_interval, offset=reset_offset % reset_interval, period=period), name=name
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=0)
        self.dv = Var(shape=shape, init=dv)
