"""The figures that a reader sees first, each with the badge that says how far to trust it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..activity import Activity
from ..number_format import format_count, format_share, format_si
from ..reference_file import ReferenceMeasurement
from .contents import Report


@dataclass(frozen=True, kw_only=True)
class Card:
    """One headline figure with its range; `tone` is `good`, `bad` or `plain`."""

    title: str
    figure: str
    span: str = ""
    detail: str
    badge: str = ""
    tone: str = "plain"


def what_ran(activity: Activity) -> str:
    """Say in one sentence what was run."""
    layers = [layer for layer in activity.layers if layer.kind not in {"input", "threshold_controller"}]
    controllers = sum(layer.kind == "threshold_controller" for layer in activity.layers)
    neurons = sum(layer.num_neurons for layer in layers)
    synapses = sum(layer.num_synapses for layer in layers)
    return (
        f"{len(layers)} layers with {format_count(neurons)} neurons, {format_count(synapses)} non-zero synapses"
        f"{f' and {controllers} threshold controllers' if controllers else ''}, "
        f"run on {format_count(activity.num_samples)} samples of {activity.num_steps} time steps "
        f"({activity.number_format}, {activity.granularity})."
    )


def input_rate(activity: Activity) -> str:
    """Say how active the input was: a silent input would make every energy meaningless."""
    inputs = [layer for layer in activity.layers if layer.kind == "input" and layer.num_neurons]
    if not inputs:
        return "The run has no input layer; its activity comes from biases alone."
    steps_run = activity.num_samples * activity.num_steps
    spiking = [layer for layer in inputs if not layer.graded_messages]
    spikes = sum(layer.spikes for layer in spiking) / max(1, sum(layer.num_neurons for layer in spiking) * steps_run)
    graded = sum(layer.graded_messages for layer in inputs) / steps_run
    said = f"Input activity: {format_share(spikes)} of the spiking inputs spike in a step"
    return said + (f", {format_count(graded)} graded values arrive per step." if graded else ".")


def cards(report: Report) -> tuple[Card, ...]:
    """Return the headline figures, in the order in which they are shown."""
    references = sorted(report.references, key=lambda entry: (entry.badge != "measured", entry.batch))
    return (
        *_parity_cards(report),
        *_accuracy_cards(report),
        *(
            Card(
                title=f"Energy per inference on {energy.profile}, {energy.total_label}",
                figure=format_si(energy.total_j.mid, "J"),
                span=f"{format_si(energy.total_j.low, 'J')} to {format_si(energy.total_j.high, 'J')}",
                detail=energy.statement,
                badge=energy.badge,
                tone="bad" if energy.missing else "plain",
            )
            for energy in report.energies
        ),
        *(reference_card(entry) for entry in references[:1]),
    )


def reference_card(entry: ReferenceMeasurement) -> Card:
    """Return one reference as a headline figure."""
    return Card(
        title=f"{entry.workload} on {entry.device_name}",
        figure=reference_energy(entry),
        detail=f"per inference at batch {entry.batch}",
        badge=entry.badge,
    )


def reference_energy(entry: ReferenceMeasurement) -> str:
    """Return the energy of a reference: mean and range if measured, ends if bounded."""
    low = format_si(entry.energy_low_j, "J")
    if entry.energy_high_j is None:
        return f"at least {low}"
    high = format_si(entry.energy_high_j, "J")
    return (
        f"{low} to {high}" if entry.energy_mid_j is None else f"{format_si(entry.energy_mid_j, 'J')} ({low} to {high})"
    )


def _parity_cards(report: Report) -> Iterator[Card]:
    exact = [rung for rung in report.rungs if rung.exactness == "exact"]
    if not exact:
        return
    holding = sum(rung.verdict == "holds" for rung in exact)
    compared = format_count(sum(rung.compared for rung in exact))
    differences = format_count(sum(rung.differences for rung in exact))
    yield Card(
        title="Equality where it is claimed",
        figure=f"{holding} of {len(exact)} hold",
        detail=f"{differences} differences in {compared} neuron-steps",
        badge="exact",
        tone="good" if holding == len(exact) else "bad",
    )


def _accuracy_cards(report: Report) -> Iterator[Card]:
    accuracy = report.accuracy
    scored = [row for row in accuracy.rows if row.HM is not None] if accuracy else []
    if not accuracy or not scored:
        return
    # the first row is the network as trained; what ran on Lava is the end of the chain, baselines may follow it
    after = [row for row in scored[1:] if re.search(r"lava|fixed_pt|integer", row.world, re.IGNORECASE)]
    shown = [scored[0], *after[-1:]]
    yield Card(
        title="Harmonic mean accuracy",
        figure=" → ".join(f"{(row.HM or 0.0) * accuracy.scale:.1f}" for row in shown) + "\u00a0%",
        detail=" → ".join(row.world for row in shown),
    )
