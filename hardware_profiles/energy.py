"""What a run costs on a chip: event counts × coefficients, itemised, with ranges; nothing is left out in silence.

The rule is written down in `docs/energy.md` before it is applied to any workload. Neurocore-dynamic energy
alone is never "the energy": totals always hold the static and host rows, and rows without a published cost
are named as unpriced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .activity import Activity
from .energy_items import GROUPS, SYNOPS, EnergyItem, chip_items, layer_items, served_neurons
from .interval import Interval, exactly, total
from .mapping import CoreBound, core_bound
from .profile import Profile
from .step_time import Timing, time_inference

ASSUMED_MAJORITY = 0.5
"""Share of a total above which it is called assumed, however well known the rest is."""


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
    served = served_neurons(activity)
    items = tuple(
        item
        for layer in activity.layers
        for item in layer_items(layer, profile, activity, served.get(layer.name, 0))
        if item.count > 0 or item.component == SYNOPS
    ) + tuple(chip_items(profile, cores, timing))
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


def _sum(items: tuple[EnergyItem, ...], group: str) -> Interval | None:
    priced = [item.energy_j for item in items if item.group == group and item.energy_j is not None]
    return total(priced) if priced else None


def _grouped(items: tuple[EnergyItem, ...], key: Callable[[EnergyItem], str]) -> dict[str, Interval]:
    sums: dict[str, Interval] = {}
    for item in items:
        if item.energy_j is not None:
            sums[key(item)] = sums.get(key(item), exactly(0.0)) + item.energy_j
    return sums
