"""What a run costs on a chip: event counts × coefficients, itemised, with ranges; nothing is left out in silence.

The rule is written down in `docs/energy.md` before it is applied to any workload. Neurocore-dynamic energy
alone is never "the energy": totals always hold the static and host rows, and rows without a published cost
are named as unpriced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .activity import Activity, LayerActivity
from .coefficient import Coefficient, weakest_kind
from .interval import Interval, cost, exactly, total
from .mapping import CoreBound, core_bound
from .profile import Profile
from .step_time import Timing, time_inference

CHIP = "(chip)"
"""The layer name of rows that belong to the whole chip."""

SYNOPS = "synaptic operations"

GROUPS = ("dynamic", "static", "host")
"""Neurocore-dynamic, neurocore-static and x86 energy: published measurements report them apart."""

ASSUMED_MAJORITY = 0.5
"""Share of a total above which it is called assumed, however well known the rest is."""

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


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """The bill of one run on one chip, per inference.

    Attributes:
        profile: its name.
        title: its name for people.
        provisional: whether decisive figures of the chip are unpublished.
        missing: capabilities that the model requires and the chip lacks, sorted.
        statement: one line on deployability; every view of the report prints it.
        badge: badge of the totals: `modelled`, or `assumed` where costs had to be borrowed for a missing
            capability or more than half of `total_j.mid` rests on assumed figures.
        items: the rows, layers first.
        unpriced: components without a published cost, in words.
        dynamic_j: neurocore-dynamic energy; like the next two, None where nothing in it has a published cost.
        static_j: neurocore-static energy.
        host_j: energy of the chip's x86 cores.
        total_j: their sum; what is unpriced comes on top.
        assumed_share: share of `total_j.mid` in rows with the badge `assumed`.
        timing: step and inference time; None where the profile gives none.
        edp_js: energy-delay product total_j × inference_s; None without timing.
        cores: least number of cores.
        notes: cautions that every view prints.
    """

    profile: str
    title: str
    provisional: bool
    missing: tuple[str, ...]
    statement: str
    badge: str
    items: tuple[EnergyItem, ...]
    unpriced: tuple[str, ...]
    dynamic_j: Interval | None
    static_j: Interval | None
    host_j: Interval | None
    total_j: Interval
    assumed_share: float
    timing: Timing | None
    edp_js: Interval | None
    cores: CoreBound
    notes: tuple[str, ...]

    @property
    def total_label(self) -> str:
        """How every view names `total_j`: a sum that lacks a whole group is never called the total."""
        parts = zip(GROUPS, (self.dynamic_j, self.static_j, self.host_j), strict=True)
        lacking = [group for group, energy_j in parts if energy_j is None]
        return f"part of the total, without {' and '.join(lacking)} energy" if lacking else "total"

    def component_j(self) -> dict[str, Interval]:
        """Return joules per inference by component, in the order of the rows."""
        return _grouped(self.items, lambda item: item.component)

    def layer_j(self) -> dict[str, Interval]:
        """Return joules per inference by layer, `(chip)` last."""
        return _grouped(self.items, lambda item: item.layer)


def price(activity: Activity, profile: Profile) -> EnergyReport:
    """Price a run's event counts with a chip's coefficients, per inference.

    Args:
        activity: counts summed over all samples and steps.
        profile: a neuromorphic chip.

    Raises:
        ProfileError: the profile is a processor, or a required capability is not in the vocabulary.
    """
    missing = profile.missing_capabilities(activity.requires)
    cores = core_bound(activity, profile)
    timing = time_inference(activity, profile, cores)
    compartments = profile.compartments_per_neuron(activity.requires)
    items = tuple(
        item
        for layer in activity.layers
        for item in _layer_items(layer, profile, activity.num_samples, compartments)
        if item.count > 0 or item.component == SYNOPS
    ) + tuple(_chip_items(profile, cores, timing))
    sums = {group: _sum(items, group) for group in GROUPS}
    total_j = total([energy_j for energy_j in sums.values() if energy_j is not None])
    assumed = total([item.energy_j for item in items if item.energy_j is not None and item.badge == "assumed"])
    assumed_share = assumed.mid / total_j.mid if total_j.mid else 0.0
    return EnergyReport(
        profile=profile.name,
        title=profile.title,
        provisional=profile.provisional,
        missing=missing,
        statement=_statement(profile, missing),
        badge="assumed" if missing or assumed_share > ASSUMED_MAJORITY else "modelled",
        items=items,
        unpriced=tuple(dict.fromkeys(f"{item.component}: {item.rule}" for item in items if item.energy_j is None)),
        dynamic_j=sums["dynamic"],
        static_j=sums["static"],
        host_j=sums["host"],
        total_j=total_j,
        assumed_share=assumed_share,
        timing=timing,
        edp_js=total_j * timing.inference_s if timing else None,
        cores=cores,
        notes=_notes(activity, profile),
    )


def _statement(profile: Profile, missing: tuple[str, ...]) -> str:
    if missing:
        return f"not deployable on {profile.name}: {', '.join(missing)}; coefficients borrowed for comparison"
    if profile.provisional:
        return f"all that the model requires is within {profile.name}'s capabilities; energies are provisional"
    return f"all that the model requires is within {profile.name}'s capabilities"


def _notes(activity: Activity, profile: Profile) -> tuple[str, ...]:
    notes = list(profile.notes)
    if activity.number_format != "fixed_pt":
        notes.append(f"counts come from a {activity.number_format} run; a chip computes in integers (fixed_pt)")
    if profile.compartments_per_neuron(activity.requires) > 1:
        notes.append("a required reset mode takes more than one compartment per neuron; updates are counted so")
    return tuple(notes)


def _layer_items(layer: LayerActivity, profile: Profile, num_samples: int, compartments: int) -> Iterator[EnergyItem]:
    """Yield one layer's dynamic rows; the caller drops those with count zero, but for synops: 0 is a finding there."""
    messages = (layer.spikes + layer.graded_messages) / num_samples
    yield _item(profile, layer.name, "spike routing within tile", messages, ("spike_within_tile_energy",))
    yield _item(profile, layer.name, "spike routing across tiles", messages, ("hops_per_spike", "spike_hop_energy"))
    if layer.kind == "input":
        return
    updates = layer.updates * compartments
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
    delivered = thresholds * layer.num_neurons
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


def _chip_items(profile: Profile, cores: CoreBound, timing: Timing | None) -> Iterator[EnergyItem]:
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


def _sum(items: tuple[EnergyItem, ...], group: str) -> Interval | None:
    priced = [item.energy_j for item in items if item.group == group and item.energy_j is not None]
    return total(priced) if priced else None


def _grouped(items: tuple[EnergyItem, ...], key: Callable[[EnergyItem], str]) -> dict[str, Interval]:
    sums: dict[str, Interval] = {}
    for item in items:
        if item.energy_j is not None:
            sums[key(item)] = sums.get(key(item), exactly(0.0)) + item.energy_j
    return sums
