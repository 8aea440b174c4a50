"""The controller's ports."""

from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from hardware_profiles import arithmetic
from lava_runtime.processes.sample_clock import SampleClock


class ThresholdController(AbstractProcess):
    """Sends the threshold that `hardware_profiles.arithmetic.ThresholdController` computes, in the same step.

    Ports:
        count_in: (num_groups,), spikes per group of the driving population.
        context_in: (num_context,), graded values; (1,) and left unconnected where there is no context.
        th_out: (1,), the threshold mantissa θ, held between ticks; 0 before the first of a sample.
    """

    def __init__(
        self,
        *,
        controller: arithmetic.ThresholdController,
        reset_interval: int = 1 << 62,
        reset_offset: int = 1,
        period: int = 1,
        name: str | None = None,
    ) -> None:
        """Make the controller.

        Args:
            controller: its numbers.
            reset_interval: time steps per sample; one starts where time_step % interval == offset.
            reset_offset: see `reset_interval`.
            period: time steps between two ticks.
            name: name of the Process.
        """
        clock = SampleClock(interval=reset_interval, offset=reset_offset % reset_interval, period=period)
        super().__init__(controller=controller, clock=clock, name=name)
        self.count_in = InPort(shape=(controller.num_groups,))
        self.context_in = InPort(shape=(max(controller.num_context, 1),))
        self.th_out = OutPort(shape=(1,))
