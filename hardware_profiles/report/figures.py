"""The report's plots as inline SVG: no file beside the page, equal bytes from equal data."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from ..activity import Activity
from ..energy import EnergyReport
from ..interval import Interval
from ..reference_file import ReferenceMeasurement
from .stage_files import LayerThresholds

WIDTH_IN = 5.8
FIRST_UNDRAWN = "\u0530"
"""DejaVu Sans, which comes with matplotlib, draws Latin, Greek and Cyrillic; those end here."""
INK, MUTED, GRID = "#1f2933", "#616e7c", "#e4e7eb"
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
STYLE = {
    "svg.hashsalt": "axonport",
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "text.parse_math": False,
}


class FigureSet:
    """Draws figures whose identifiers do not clash on one page."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    @contextmanager
    def _draw(self, height_in: float, alt: str) -> Iterator[tuple[Figure, list[str]]]:
        """Yield a figure and the list that receives its SVG."""
        svg: list[str] = []
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
            yield figure, svg
            buffer = io.StringIO()
            no_metadata: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
            figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
        svg.append(self._inline(buffer.getvalue(), alt))

    def _inline(self, svg: str, alt: str) -> str:
        """Cut prolog and metadata, name the picture, and prefix every identifier."""
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        prefix = f"f{next(self._numbers)}-"
        svg = re.sub(r'\bid="', f'id="{prefix}', svg)
        svg = re.sub(r'href="#', f'href="#{prefix}', svg)
        svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
        label = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)

    def activity(self, activity: Activity) -> str:
        """Draw spikes and synops per inference, one bar pair per layer."""
        names = [short_label(layer.name) for layer in activity.layers]
        with self._draw(0.9 + 0.34 * len(names), "Spikes and synaptic operations per layer") as (figure, svg):
            left, right = figure.subplots(1, 2, sharey=True)
            for axes, key, label, colour in (
                (left, "spikes", "spikes per inference", SPIKES),
                (right, "synops", "synops per inference", SYNOPS),
            ):
                counts = [getattr(layer, key) / activity.num_samples for layer in activity.layers]
                axes.barh(range(len(names)), counts, color=colour, height=0.62)
                axes.set_xlabel(label)
                axes.xaxis.set_major_formatter(EngFormatter(sep=""))
                axes.xaxis.set_major_locator(MaxNLocator(4))
                axes.grid(axis="y", visible=False)
            left.set_yticks(range(len(names)), names)
            left.invert_yaxis()
        return svg[0]

    def energy_stack(self, energies: Sequence[EnergyReport]) -> str:
        """Draw one stacked bar per profile: central figures by component, whiskers for the total's range."""
        with self._draw(1.9 + 0.55 * len(energies), "Energy per inference by component") as (figure, svg):
            axes = figure.subplots()
            for row, report in enumerate(energies):
                start = 0.0
                for component, energy in report.component_j().items():
                    axes.barh(row, energy.mid, left=start, color=COMPONENT_COLOURS[component], height=0.5)
                    start += energy.mid
                span = report.total_j
                axes.errorbar(
                    span.mid, row, xerr=[[span.mid - span.low], [span.high - span.mid]], color=INK, capsize=4, lw=1.2
                )
            axes.set_yticks(range(len(energies)), [_bar_label(report) for report in energies])
            axes.set_ylim(len(energies) - 0.5, -0.5)
            axes.set_xlabel("energy per inference; whiskers: range of the total")
            axes.xaxis.set_major_formatter(EngFormatter("J"))
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.grid(axis="y", visible=False)
            present = [name for name in COMPONENT_COLOURS if any(name in report.component_j() for report in energies)]
            handles = [matplotlib.patches.Patch(color=COMPONENT_COLOURS[name], label=name) for name in present]
            figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
        return svg[0]

    def comparison(self, energies: Sequence[EnergyReport], references: Sequence[ReferenceMeasurement]) -> str:
        """Draw every total and every reference on one logarithmic axis, each with its badge."""
        rows: list[tuple[str, str, Interval, bool]] = [
            (_bar_label(report), report.badge, report.total_j, False) for report in energies
        ]
        rows += [_reference_row(entry) for entry in references]
        with self._draw(0.9 + 0.5 * len(rows), "Energy per inference, chips and references") as (figure, svg):
            axes = figure.subplots()
            for row, (_, badge, span, open_end) in enumerate(rows):
                colour = {"measured": "#2f855a", "modelled": SPIKES, "assumed": "#b7791f"}.get(badge, MUTED)
                dashes = "--" if badge == "bound" else "-"
                axes.plot([span.low, span.high], [row, row], color=colour, lw=5 if dashes == "-" else 2.5, ls=dashes)
                marker, at = ("|", span.low) if badge == "bound" else ("o", span.mid)
                axes.plot(at, row, marker, color=colour, ms=9, mec=INK)
                if open_end:
                    note: dict[str, Any] = {
                        "xytext": (8, 0),
                        "textcoords": "offset points",
                        "va": "center",
                        "fontsize": 8.5,
                    }
                    axes.annotate("at least; nothing bounds it above →", (span.low, row), color=MUTED, **note)
            axes.set_xscale("log")
            axes.set_yticks(range(len(rows)), [f"{short_label(name, 30)}\n{badge}" for name, badge, _, _ in rows])
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.set_xlabel("energy per inference (logarithmic)")
            axes.xaxis.set_major_formatter(EngFormatter("J"))
            axes.grid(axis="y", visible=False)
        return svg[0]

    def thresholds(self, layers: Sequence[LayerThresholds]) -> str:
        """Draw minimum, median and maximum threshold over time, one panel per layer."""
        num_rows = -(-len(layers) // 2)
        with self._draw(0.5 + 1.75 * num_rows, "Dynamic thresholds over time") as (figure, svg):
            panels = figure.subplots(num_rows, 2, squeeze=False).flat
            for axes, layer in itertools.zip_longest(panels, layers):
                if layer is None:
                    axes.set_visible(False)
                    continue
                unity = float(1 << layer.fraction_bits)
                steps = range(len(layer.median))
                low, mid, high = ([theta / unity for theta in row] for row in (layer.min, layer.median, layer.max))
                axes.fill_between(steps, low, high, color=SPIKES, alpha=0.22, lw=0)
                axes.plot(steps, mid, color=SPIKES, lw=1.6)
                axes.set_title(short_label(layer.name), fontsize=10, loc="left")
                axes.set_xlabel("time step")
                axes.set_ylabel("θ")
                axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return svg[0]


def short_label(name: str, length: int = 24) -> str:
    """Shorten a name from the middle, so that both ends stay readable; `?` for what the plots' font cannot draw."""
    name = "".join(letter if letter.isprintable() and letter < FIRST_UNDRAWN else "?" for letter in name)
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def _bar_label(report: EnergyReport) -> str:
    return short_label(report.profile) + ("" if report.total_label == "total" else " (part)")


def _reference_row(entry: ReferenceMeasurement) -> tuple[str, str, Interval, bool]:
    """Return label, badge, span and whether nothing bounds the span above."""
    high = entry.energy_high_j if entry.energy_high_j is not None else entry.energy_low_j
    mid = entry.energy_mid_j if entry.energy_mid_j is not None else entry.energy_low_j
    span = Interval(low=entry.energy_low_j, mid=mid, high=high)
    return f"{entry.device_name}, batch {entry.batch}", entry.badge, span, entry.energy_high_j is None
