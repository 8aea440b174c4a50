"""The window's ports."""

from __future__ import annotations

from collections.abc import Sequence

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from lava_runtime.processes.sample_clock import SampleClock


class WindowSum(AbstractProcess):
    """Adds what arrives, each tick with its own weight; sends the sum with the last tick of a window, else zeros.

    s_out = Σ_k weights[k] a_in[tick k of the window]

    Stock Lava says it in three Processes per layer (`DelaySparse` taps, a clock, `ProdNeuron`), in fixed_pt only.
    Ports: a_in (n,), s_out (n,).
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        weights: Sequence[float],
        arrival_period: int = 1,
        reset_interval: int = 1 << 62,
        reset_offset: int = 1,
        name: str | None = None,
    ) -> None:
        """Make the window.

        Args:
            shape: (n,).
            weights: one per tick; integers in fixed_pt.
            arrival_period: time steps between two ticks of what arrives; zeros arrive between.
            reset_interval: time steps per sample: windows begin anew where time_step % interval == offset.
            reset_offset: see `reset_interval`.
            name: name of the Process.
        """
        clock = SampleClock(interval=reset_interval, offset=reset_offset, period=arrival_period * len(weights))
        super().__init__(weights=tuple(weights), arrival_period=arrival_period, clock=clock, name=name)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
