"""The neuron's ports and Vars."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from export.nodes import (
    LIF,
    AlphaLIF,
    CubaLIF,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerLIF,
    IntegerThreshold,
    Threshold,
)
from hardware_profiles.arithmetic import IntegerFormat
from lava_runtime.processes.sample_clock import SampleClock

SnnTorchNode = LIF | CubaLIF | AlphaLIF | Threshold | IntegerLIF | IntegerCubaLIF | IntegerAlphaLIF | IntegerThreshold


class SnnTorchNeuron(AbstractProcess):
    """A neuron node of the graph with all its resets; its equation is the docstring of its node in `export.nodes`.

    Float nodes run in floating_pt, integer nodes in fixed_pt. Ports: a_in (n,) receives what arrives at the node's
    ports `input` and `recurrent`, th_in (n,) a threshold that is not the node's own, s_out (n,) sends spikes. The Var
    v (n,) is what the node's equation stores.
    """

    def __init__(
        self,
        *,
        node: SnnTorchNode,
        bias: npt.ArrayLike = 0,
        fmt: IntegerFormat | None = None,
        reset_interval: int = 1 << 62,
        reset_offset: int = 1,
        period: int = 1,
        name: str | None = None,
    ) -> None:
        """Make the neurons.

        Args:
            node: what kind of neuron, with its parameters.
            bias: float64 [n] or one for all, added to a_in; floating_pt only, integer nodes have their own.
            fmt: integer widths, needed by fixed_pt.
            reset_interval: as of stock `LIFReset`: the state is zeroed where time_step % interval == offset.
            reset_offset: see `reset_interval`.
            period: time steps between two ticks; what is kept is held between them.
            name: name of the Process.
        """
        super().__init__(
            node=node,
            bias=np.broadcast_to(bias, (node.size,)),
            fmt=fmt,
            clock=SampleClock(interval=reset_interval, offset=reset_offset % reset_interval, period=period),
            name=name,
        )
        self.a_in = InPort(shape=(node.size,))
        self.th_in = InPort(shape=(node.size,))
        self.s_out = OutPort(shape=(node.size,))
        self.v = Var(shape=(node.size,), init=0)
