"""How long a time step and an inference take on a chip: a range, never one number."""

from __future__ import annotations

from dataclasses import dataclass

from .activity import Activity
from .coefficient import Coefficient, weakest_kind
from .interval import Interval, cost, exactly
from .mapping import CoreBound, compartments_per_neuron
from .profile import Profile


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Time per step and per inference.

    Attributes:
        step_s: one time step.
        inference_s: all steps of one inference, latency steps included.
        num_steps: steps per inference, latency steps included.
        busiest_layer: the layer whose cores decide the step.
        kind: the weakest kind among the coefficients used.
        source: their sources.
    """

    step_s: Interval
    inference_s: Interval
    num_steps: int
    busiest_layer: str
    kind: str
    source: str


def time_inference(activity: Activity, profile: Profile, cores: CoreBound) -> Timing | None:
    """Return step and inference time, or None where the profile has no synop time.

    step = max(floor, max over layers (synops per core and step · t_synop + neurons per core · t_update) + barrier)

    Each layer's work is spread evenly over its least number of cores: fewer cores mean longer steps, an uneven
    spread does too. Costs that a profile lacks count as zero, which its range then has to cover.
    """
    synop_time = profile.find("synop_time")
    if synop_time is None:
        return None
    update_time, barrier, floor = (
        profile.find(name) for name in ("neuron_update_time", "barrier_time", "step_time_floor")
    )
    steps_run = activity.num_samples * activity.num_steps
    busy: dict[str, Interval] = {}
    for entry in cores.layers:
        layer = activity.layer(entry.layer)
        synops = cost(synop_time) * (layer.synops / steps_run / entry.num_cores)
        updates = _optional(update_time) * (
            layer.num_neurons * compartments_per_neuron(layer, activity, profile) / entry.num_cores
        )
        busy[layer.name] = synops + updates
    busiest = max(busy, key=lambda name: busy[name].mid)
    slowest = exactly(0.0)
    for duration in busy.values():
        slowest = slowest.at_least(duration)
    step = (slowest + _optional(barrier)).at_least(_optional(floor))
    used = [entry for entry in (synop_time, update_time, barrier, floor) if entry is not None]
    num_steps = activity.num_steps + activity.latency_steps
    return Timing(
        step_s=step,
        inference_s=step * num_steps,
        num_steps=num_steps,
        busiest_layer=busiest,
        kind=weakest_kind(used),
        source="; ".join(dict.fromkeys(entry.source for entry in used)),
    )


def _optional(coefficient: Coefficient | None) -> Interval:
    return exactly(0.0) if coefficient is None else cost(coefficient)
