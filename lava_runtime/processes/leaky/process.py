"""The neuron's ports and Vars."""

from __future__ import annotations

from typing import Literal

import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from hardware_profiles.arithmetic import IntegerFormat


class Leaky(AbstractProcess):
    """snnTorch's `Leaky` with the resets that stock `LIF` (reset to zero) does not know.

    v[t] = v[t-1] * (1-dv) + a_in + bias - s[t-1] * vth      # without the last term for reset `none`
    s_out = v[t] > vth

    In fixed_pt all in Loihi's integers (`hardware_profiles.arithmetic`). Ports: a_in (n,), s_out (n,).
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        dv: npt.ArrayLike,
        vth: npt.ArrayLike,
        reset: Literal["subtract", "none"],
        bias_mant: npt.ArrayLike = 0,
        bias_exp: int = 0,
        fmt: IntegerFormat | None = None,
        reset_interval: int = 1 << 62,
        reset_offset: int = 1,
        name: str | None = None,
    ) -> None:
        """Make the neurons.

        Args:
            shape: (n,).
            dv: membrane decay, [n] or one for all; of 4096 in fixed_pt, of 1 in floating_pt.
            vth: threshold (a mantissa in fixed_pt), [n] or one for all.
            reset: `subtract` or `none`.
            bias_mant: bias, [n] or one for all.
            bias_exp: exponent of the bias, fixed_pt only.
            fmt: integer widths, needed by fixed_pt.
            reset_interval: as of stock `LIFReset`: the state is zeroed where time_step % interval == offset.
            reset_offset: see `reset_interval`.
            name: name of the Process.
        """
        super().__init__(
            fmt=fmt, reset=reset, reset_interval=reset_interval, reset_offset=reset_offset % reset_interval, name=name
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=0)
        self.dv = Var(shape=shape, init=dv)
        self.vth = Var(shape=shape, init=vth)
        self.bias_mant = Var(shape=shape, init=bias_mant)
        self.bias_exp = Var(shape=(1,), init=bias_exp)
