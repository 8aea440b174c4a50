"""The rows of an energy bill: one event count × published coefficients each, or named as unpriced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .activity import Activity, LayerActivity
from .coefficient import Coefficient, weakest_kind
from .errors import ArtifactError
from .interval import Interval, cost, exactly
from .mapping import CoreBound, compartments_per_neuron
from .profile import Profile
from .step_time import Timing

CHIP = "(chip)"
"""The layer name of rows that belong to the whole chip."""

SYNOPS = "synaptic operations"

GROUPS = ("dynamic", "static", "host")
"""Neurocore-dynamic, neurocore-static and x86 energy: published measurements report them apart."""

BADGES = {
    "measured": "read from a meter",
    "modelled": "event counts times published coefficients",
    "bound": "analytic bracket, nothing was read from a meter",
    "assumed": "rests on a figure that nobody has published",
    "unpriced": "named, but nobody has published a cost",
}
"""How a figure came about; every figure in a report carries one."""


@dataclass(frozen=True, kw_only=True)
class EnergyItem:
    """One row of the bill.

    Attributes:
        layer: node name, or `(chip)`.
        component: what is priced.
        group: one of `GROUPS`.
        count: operations per inference; seconds × chips for powers.
        energy_j: joules per inference; None where no cost is published.
        badge: one of `BADGES`.
        rule: how the count becomes joules.
        source: where the coefficients come from.
    """

    layer: str
    component: str
    group: str
    count: float
    energy_j: Interval | None
    badge: str
    rule: str
    source: str


def served_neurons(activity: Activity) -> dict[str, int]:
    """Return, for every layer that computes thresholds, how many neurons each threshold is delivered to.

    A controller follows the layer that it serves.

    Raises:
        ArtifactError: a controller follows no such layer.
    """
    served: dict[str, int] = {}
    neurons = 0
    for layer in activity.layers:
        if layer.kind == "dynamic_threshold_lif":
            neurons = layer.num_neurons
        if layer.controller_updates:
            if not neurons:
                raise ArtifactError(
                    f"activity layer '{layer.name}': computes thresholds for no layer; allowed is a controller "
                    "after its dynamic_threshold_lif, run lava_runtime again"
                )
            served[layer.name] = neurons
    return served


def layer_items(layer: LayerActivity, profile: Profile, activity: Activity, num_served: int) -> Iterator[EnergyItem]:
    """Yield one layer's dynamic rows, those with count zero too.

    Args:
        layer: what it did.
        profile: the chip.
        activity: the run that the layer is part of.
        num_served: neurons that each of its thresholds is delivered to.
    """
    num_samples = activity.num_samples
    messages = (layer.spikes + layer.graded_messages) / num_samples
    yield _item(profile, layer.name, "spike routing within tile", messages, ("spike_within_tile_energy",))
    yield _item(profile, layer.name, "spike routing across tiles", messages, ("hops_per_spike", "spike_hop_energy"))
    if layer.kind == "input":
        return
    updates = layer.updates * compartments_per_neuron(layer, activity, profile)
    active = min(layer.spikes, updates)
    yield _item(profile, layer.name, SYNOPS, layer.synops / num_samples, ("synop_energy",))
    yield _item(profile, layer.name, "neuron updates, spiking", active / num_samples, ("neuron_update_active_energy",))
    yield _item(
        profile,
        layer.name,
        "neuron updates, silent",
        (updates - active) / num_samples,
        ("neuron_update_inactive_energy",),
    )
    thresholds = layer.controller_updates / num_samples
    yield _item(profile, layer.name, "threshold controller", thresholds, ("threshold_controller_energy",))
    delivered = thresholds * num_served
    yield _item(profile, layer.name, "threshold delivery", delivered, ("threshold_delivery_energy",))


def _item(profile: Profile, layer: str, component: str, count: float, names: tuple[str, ...]) -> EnergyItem:
    """Return one dynamic row: count × the product of the named coefficients, unpriced if one is absent."""
    used: list[Coefficient] = []
    for name in names:
        entry = profile.find(name)
        if entry is None:
            return _unpriced(layer, component, count, f"{profile.name} has no published {name}")
        used.append(entry)
    energy_j = exactly(count)
    for entry in used:
        energy_j = energy_j * cost(entry)
    return EnergyItem(
        layer=layer,
        component=component,
        group="dynamic",
        count=count,
        energy_j=energy_j,
        badge="assumed" if weakest_kind(used) == "assumed" else "modelled",
        rule=" × ".join(("count", *names)),
        source="; ".join(dict.fromkeys(entry.source for entry in used)),
    )


def _unpriced(layer: str, component: str, count: float, why: str, group: str = "dynamic") -> EnergyItem:
    return EnergyItem(
        layer=layer,
        component=component,
        group=group,
        count=count,
        energy_j=None,
        badge="unpriced",
        rule=why,
        source="none published",
    )


def chip_items(profile: Profile, cores: CoreBound, timing: Timing | None) -> Iterator[EnergyItem]:
    """Yield the rows of the whole chip: powers × time, and what has no published cost."""
    cores_per_chip = profile.require_limit("cores_per_chip").value
    # published per-core figures charge a workload only for the cores it uses; whoever runs it pays for the chip
    used_share = cores.num_cores / (cores_per_chip * cores.num_chips)
    yield _power_item(profile, "static_power", "static power", "static", cores.num_chips, timing, used_share)
    yield _power_item(profile, "host_power", "x86 cores on the chip", "host", cores.num_chips, timing, 1.0)
    yield _unpriced(CHIP, "barrier", 0.0, "its time is in the step, its energy is not published")
    yield _unpriced(CHIP, "input and output", 0.0, "encoding, spike injection and read-out are not priced", "host")
    yield _unpriced(CHIP, "host segment", 0.0, "the ONNX part runs on a host; see the CPU/GPU reference", "host")
    if cores.num_chips > 1:
        yield _unpriced(CHIP, "links between chips", 0.0, f"{cores.num_chips} chips; link energy is not published")


def _power_item(
    profile: Profile,
    name: str,
    component: str,
    group: str,
    num_chips: int,
    timing: Timing | None,
    low_share: float,
) -> EnergyItem:
    power = profile.find(name)
    if power is None or timing is None:
        lacking = name if power is None else "synop_time"
        return _unpriced(CHIP, component, 0.0, f"{profile.name} has no published {lacking}", group)
    share = Interval(low=low_share, mid=1.0, high=1.0)
    return EnergyItem(
        layer=CHIP,
        component=component,
        group=group,
        count=timing.inference_s.mid * num_chips,
        energy_j=cost(power) * timing.inference_s * num_chips * share,
        badge="assumed" if "assumed" in (power.kind, timing.kind) else "modelled",
        rule=f"{name} × inference time × {num_chips} chip(s)"
        + (f"; low: only the {low_share:.1%} of the cores in use" if low_share < 1.0 else ""),
        source=f"{power.source}; time: {timing.source}",
    )
