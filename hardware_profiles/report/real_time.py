"""What a chip spends while it waits: samples that arrive in real time take longer than the chip needs for them."""

from __future__ import annotations

from dataclasses import dataclass

from ..energy import EnergyReport
from ..interval import Interval
from .contents import Report


@dataclass(frozen=True, kw_only=True)
class RealTime:
    """A sample fed as fast as the world delivers it: its duration and the static energy of a powered chip."""

    duration_s: float
    static_j: Interval


def in_real_time(report: Report, energy: EnergyReport) -> RealTime | None:
    """Return the static energy of one sample in real time, E = P_static · T · Δt.

    None where step, static or inference time is unknown, or where the chip is slower than the world.
    """
    if report.activity is None or report.export is None or not report.export.dt_s:
        return None
    if energy.timing is None or energy.static_j is None:
        return None
    duration_s = report.activity.num_steps * report.export.dt_s
    busy_s, static_j = energy.timing.inference_s, energy.static_j
    if busy_s.low <= 0.0 or busy_s.high >= duration_s:
        return None
    return RealTime(
        duration_s=duration_s,
        # static energy is power times inference time at each end, so dividing end by end gives the power back
        static_j=Interval(
            low=static_j.low / busy_s.low * duration_s,
            mid=static_j.mid / busy_s.mid * duration_s,
            high=static_j.high / busy_s.high * duration_s,
        ),
    )
