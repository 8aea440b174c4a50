"""The delay line's ports."""

from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess


class DelayLine(AbstractProcess):
    """Sends what arrived `delay` time steps before, and zeros at the start of every sample.

    A model that delays an edge by d steps delivers zeros in the first d steps of a sample, while a chip still delivers
    what was sent at the end of the sample before; no stock Process tells them apart. Ports: s_in (n,), s_out (n,).
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        delay: int = 0,
        silent: int = 0,
        interval: int = 1 << 62,
        lag: int = 0,
        name: str | None = None,
    ) -> None:
        """Make the line.

        Args:
            shape: (n,).
            delay: time steps; 0 sends what arrives, in the same step.
            silent: time steps without values at the start of a sample.
            interval: time steps per sample.
            lag: time steps before the first sample starts at the line's end.
            name: name of the Process.
        """
        super().__init__(delay=delay, silent=silent, interval=interval, lag=lag, name=name)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
