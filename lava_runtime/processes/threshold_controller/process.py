"""The controller's ports."""

from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from hardware_profiles import arithmetic


class ThresholdController(AbstractProcess):
    """Sends the threshold that `hardware_profiles.arithmetic.ThresholdController` computes, in the same step.

    Ports:
        count_in: (num_groups,), spikes per group of the driving population.
        context_in: (num_context,), graded values; (1,) and left unconnected where there is no context.
        th_out: (1,), the threshold mantissa θ.
    """

    def __init__(self, *, controller: arithmetic.ThresholdController, name: str | None = None) -> None:
        super().__init__(controller=controller, name=name)
        self.count_in = InPort(shape=(controller.num_groups,))
        self.context_in = InPort(shape=(max(controller.num_context, 1),))
        self.th_out = OutPort(shape=(1,))
