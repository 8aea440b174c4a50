"""The report's plots, each returned as inline SVG."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from ..activity import Activity, LayerActivity
from ..energy import EnergyReport
from ..number_format import format_share
from ..reference_file import ReferenceMeasurement
from .canvas import INK, MUTED, Canvas, short_label
from .stage_files import LayerThresholds, TrainingHistory

SPIKES, SYNOPS = "#2b6cb0", "#b7791f"
COMPONENT_COLOURS = {
    "synaptic operations": "#2b6cb0",
    "neuron updates, silent": "#90cdf4",
    "neuron updates, spiking": "#4299e1",
    "spike routing within tile": "#38a169",
    "spike routing across tiles": "#9ae6b4",
    "threshold controller": "#805ad5",
    "threshold delivery": "#b794f4",
    "static power": "#a0aec0",
    "x86 cores on the chip": "#dd6b20",
}
BADGE_COLOURS = {"measured": "#2f855a", "modelled": SPIKES, "assumed": SYNOPS}
REST_SHARE = 0.02
"""Components below this share of every bar are drawn as one; the tables list each."""
REST_COLOUR = "#38a169"


def draw_activity(canvas: Canvas, activity: Activity, layers: Iterable[LayerActivity]) -> str:
    """Draw spikes (with their rate) and synops per inference, one bar pair per layer; controllers are left out."""
    drawn = [layer for layer in layers if layer.kind != "threshold_controller" and (layer.spikes or layer.synops)]
    names = [short_label(layer.name) for layer in drawn]
    with canvas.draw(0.8 + 0.25 * len(names), "Spikes and synaptic operations per layer") as (figure, svg):
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, key, label, colour in (
            (left, "spikes", "spikes per inference, rate", SPIKES),
            (right, "synops", "synops per inference", SYNOPS),
        ):
            counts = [getattr(layer, key) / activity.num_samples for layer in drawn]
            axes.barh(range(len(names)), counts, color=colour, height=0.62)
            axes.set_xlabel(label)
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(axis="y", visible=False)
        for row, layer in enumerate(drawn):
            chances = layer.num_neurons * activity.num_steps * activity.num_samples
            rate = format_share(layer.spikes / chances) if chances else ""
            left.annotate(f" {rate}", (layer.spikes / activity.num_samples, row), va="center", color=MUTED, fontsize=8)
        left.margins(x=0.22)
        left.set_yticks(range(len(names)), names)
        left.set_ylim(len(names) - 0.5, -0.5)
    return svg[0]


def draw_energy_stack(canvas: Canvas, energies: Sequence[EnergyReport]) -> str:
    """Draw one stacked bar per profile: central figures by component, under it the range of the total."""
    large = _large_components(energies)
    rest = f"the rest, each below {REST_SHARE:.0%}"
    colours = {name: COMPONENT_COLOURS[name] for name in COMPONENT_COLOURS if name in large} | {rest: REST_COLOUR}
    present = dict.fromkeys(colours, False)
    with canvas.draw(1.15 + 0.55 * len(energies), "Energy per inference by component") as (figure, svg):
        axes = figure.subplots()
        for row, report in enumerate(energies):
            parts = dict.fromkeys(colours, 0.0)
            for component, energy in report.component_j().items():
                parts[component if component in large else rest] += energy.mid
            start = 0.0
            for name, energy_j in parts.items():
                axes.barh(row, energy_j, left=start, color=colours[name], height=0.42)
                start += energy_j
                present[name] |= energy_j > 0.0
            span = report.total_j
            axes.plot([span.low, span.high], [row + 0.34] * 2, "|-", color=INK, lw=1.2, ms=7)
        axes.set_yticks(range(len(energies)), [_bar_label(report) for report in energies])
        axes.set_ylim(len(energies) - 0.4, -0.4)
        axes.set_xlim(left=0.0)
        axes.set_xlabel("energy per inference; thin line: range of the total")
        axes.xaxis.set_major_formatter(EngFormatter("J"))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", visible=False)
        handles = [matplotlib.patches.Patch(color=colours[name], label=name) for name in colours if present[name]]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return svg[0]


def _large_components(energies: Sequence[EnergyReport]) -> set[str]:
    return {
        component
        for report in energies
        for component, energy in report.component_j().items()
        if energy.mid >= REST_SHARE * report.total_j.mid
    }


@dataclass(frozen=True)
class _Bar:
    label: str
    badge: str
    low: float
    mid: float | None
    high: float | None


def draw_comparison(
    canvas: Canvas, energies: Sequence[EnergyReport], references: Sequence[ReferenceMeasurement]
) -> str:
    """Draw every total and every reference on one logarithmic axis, each named with its badge."""
    bars = [
        _Bar(_bar_label(report), report.badge, report.total_j.low, report.total_j.mid, report.total_j.high)
        for report in energies
    ]
    bars += [
        _Bar(
            f"{short_label(entry.device_name, 44)}, batch {entry.batch}",
            entry.badge,
            entry.energy_low_j,
            entry.energy_mid_j,
            entry.energy_high_j,
        )
        for entry in references
    ]
    with canvas.draw(0.65 + 0.42 * len(bars), "Energy per inference, chips and references") as (figure, svg):
        axes = figure.subplots()
        for row, bar in enumerate(bars):
            _draw_bar(axes, row, bar)
        axes.set_xscale("log")
        axes.set_yticks([])
        axes.set_ylim(len(bars) - 0.6, -0.75)
        axes.set_xlabel("energy per inference (logarithmic)")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(EngFormatter("J"))
        axes.spines["left"].set_visible(False)
    return svg[0]


def _draw_bar(axes: Any, row: int, bar: _Bar) -> None:
    """Draw a solid bar with its central figure, or a dashed one for a bound; an arrow where nothing bounds it above."""
    colour = BADGE_COLOURS.get(bar.badge, MUTED)
    text = f"{bar.label}: {bar.badge}" + ("" if bar.high is not None else ", at least →")
    axes.text(0.0, row - 0.36, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5, color=INK)
    if bar.high is not None:
        solid = bar.mid is not None
        axes.plot([bar.low, bar.high], [row] * 2, color=colour, lw=5 if solid else 2, ls="-" if solid else "--")
    if bar.mid is not None:
        axes.plot(bar.mid, row, "o", color=colour, ms=7, mec=INK)
    else:
        axes.plot(bar.low, row, "|" if bar.high is not None else ">", color=colour, ms=8)


def draw_thresholds(canvas: Canvas, layers: Sequence[LayerThresholds]) -> str:
    """Draw minimum, median and maximum threshold over time, one panel per layer, all on one scale."""
    num_columns = min(3, len(layers))
    num_rows = -(-len(layers) // num_columns)
    with canvas.draw(0.4 + 1.3 * num_rows, "Dynamic thresholds over time") as (figure, svg):
        grid = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True)
        for axes, layer in itertools.zip_longest(grid.flat, layers):
            if layer is None:
                axes.set_visible(False)
                continue
            unity = float(1 << layer.fraction_bits)
            low, mid, high = ([theta / unity for theta in row] for row in (layer.min, layer.median, layer.max))
            steps = range(len(mid))
            axes.axhline(1.0, color=MUTED, lw=0.8, ls=":")
            axes.fill_between(steps, low, high, color=SPIKES, alpha=0.22, lw=0)
            axes.plot(steps, mid, color=SPIKES, lw=1.6)
            axes.set_title(short_label(layer.name))
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for axes in grid[:, 0]:
            axes.set_ylabel("θ")
        figure.supxlabel("time step", fontsize=9)
    return svg[0]


def draw_training(canvas: Canvas, training: TrainingHistory) -> str:
    """Draw the loss and the validation accuracy over the epochs."""
    scored = [epoch for epoch in training.history if epoch.val_hm is not None]
    with canvas.draw(1.7, "Training loss and validation accuracy") as (figure, svg):
        left, right = figure.subplots(1, 2)
        left.plot([epoch.epoch for epoch in training.history], [epoch.loss for epoch in training.history], color=SYNOPS)
        left.set_title("training loss")
        right.plot([epoch.epoch for epoch in scored], [epoch.val_hm or 0.0 for epoch in scored], color=SPIKES)
        right.set_title("HM on validation classes, %")
        right.set_ylim(0.0, 100.0)
        for axes in (left, right):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        left.set_ylim(bottom=0.0)
    return svg[0]


def _bar_label(report: EnergyReport) -> str:
    return short_label(report.profile) + ("" if report.total_label == "total" else " (part)")
