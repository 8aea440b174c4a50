"""The figures that a reader sees first, each with the badge that says how far to trust it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..activity import Activity
from ..number_format import format_count, format_share, format_si
from ..reference_file import ReferenceMeasurement
from .contents import Report
from .reference_text import reference_energy
from .stage_files import AccuracyRow


@dataclass(frozen=True, kw_only=True)
class Card:
    """One headline figure with its range; `tone` is `good`, `bad` or `plain`."""

    title: str
    figure: str
    badge: str
    detail: str
    span: str = ""
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
    metered = "" if entry.badge == "measured" else "; a bracket, no energy was measured"
    return Card(
        title=f"Energy per inference on {entry.device_name}",
        figure=reference_energy(entry),
        detail=f"{entry.workload}, batch {entry.batch}{metered}",
        badge=entry.badge,
    )


def origin(report: Report) -> str:
    """Say which network was run, from which source tree and where."""
    for stage in ("simulation", "export"):
        manifest = report.manifests.get(stage)
        if manifest is not None:
            break
    else:
        return ""
    config = report.manifests.get("export", {}).get("config")
    network = config.get("factory") if isinstance(config, dict) else None
    said = [f"Network {network}"] if isinstance(network, str) else []
    said += [f"commit {manifest.get('commit', 'unknown')}", str(manifest.get("machine", "unknown machine"))]
    return "; ".join(said) + "."


def _parity_cards(report: Report) -> Iterator[Card]:
    exact = [rung for rung in report.rungs if rung.exactness == "exact"]
    if not exact:
        return
    holding = sum(rung.verdict == "holds" for rung in exact)
    compared = format_count(sum(rung.compared for rung in exact))
    differences = sum(rung.differences for rung in exact)
    yield Card(
        title="Spikes and membranes, where equality is claimed",
        figure=f"{format_count(differences)} difference{'' if differences == 1 else 's'}",
        detail=f"in {compared} neuron-steps; {holding} of {len(exact)} comparisons hold",
        badge="exact" if holding == len(exact) else "broken" if differences else "vacuous",
        tone="good" if holding == len(exact) else "bad",
    )


def _accuracy_cards(report: Report) -> Iterator[Card]:
    accuracy = report.accuracy
    scored = [row for row in accuracy.rows if row.HM is not None] if accuracy else []
    if not accuracy or not scored:
        return
    shown = [scored[0], *_on_chip(scored[1:])]
    baselines = [
        f"{row.world} {row.HM * accuracy.scale:.1f}\u00a0%" for row in accuracy.baselines if row.HM is not None
    ]
    yield Card(
        title="Harmonic mean accuracy",
        figure=" → ".join(f"{(row.HM or 0.0) * accuracy.scale:.1f}" for row in shown) + "\u00a0%",
        detail="; ".join([" → ".join(row.world for row in shown), *baselines]),
        badge="counted",
    )


def _on_chip(rows: Sequence[AccuracyRow]) -> Sequence[AccuracyRow]:
    """Return the row that is nearest to the chip, if any: integers on Lava before any other integers."""
    for wanted in (r"fixed_pt", r"integer|lava"):
        found = [row for row in rows if re.search(wanted, row.world, re.IGNORECASE)]
        if found:
            return found[-1:]
    return ()
