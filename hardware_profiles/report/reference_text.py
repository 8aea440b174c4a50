"""CPU and GPU references in words: figures, and why a figure is only a bound."""

from __future__ import annotations

from collections.abc import Sequence

from ..number_format import format_si
from ..reference_file import ReferenceMeasurement


def reference_energy(entry: ReferenceMeasurement) -> str:
    """Return the energy of a reference: mean and range if measured, ends if bounded."""
    low = format_si(entry.energy_low_j, "J")
    if entry.energy_high_j is None:
        return f"at least {low}"
    high = format_si(entry.energy_high_j, "J")
    return (
        f"{low} to {high}" if entry.energy_mid_j is None else f"{format_si(entry.energy_mid_j, 'J')} ({low} to {high})"
    )


def bound_reasons(references: Sequence[ReferenceMeasurement]) -> tuple[str, ...]:
    """Say what ran and, where there is no measured energy, why not and what the bound means."""
    workloads = "; ".join(dict.fromkeys(entry.workload for entry in references))
    said = [f"Workload: {workloads}."] if workloads else []
    bounds = [entry for entry in references if entry.badge == "bound"]
    if any(entry.num_runs for entry in bounds):
        said.append(
            "No energy meter was found where the reference ran (RAPL for CPUs, NVML for GPUs), so its time was "
            "measured and its energy was not. The energy lies between two ends: at least the FLOPs at the data "
            "sheet's best efficiency, at most the longest run at the data sheet's largest power. "
            "Both ends are wide on purpose."
        )
    if any(not entry.num_runs for entry in bounds):
        said.append("A device on which nothing ran has a lower bound from its data sheet and no upper one.")
    return tuple(said)


def reference_notes(references: Sequence[ReferenceMeasurement]) -> tuple[str, ...]:
    """Return meters and cautions, one line per device and wording."""
    lines = []
    for entry in references:
        notes = list(entry.notes)
        if entry.meter:
            windows = f"{entry.num_windows} windows of {format_si(entry.window_s or 0.0, 's')}"
            error = f"standard error {format_si(entry.standard_error_j or 0.0, 'J')}"
            notes.insert(0, f"batch {entry.batch}: {entry.meter}, {windows}, {error}")
        lines.append(f"{entry.device_name}: {'; '.join(notes)}")
    return tuple(dict.fromkeys(lines))
