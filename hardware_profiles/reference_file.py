"""`reference.json`: energy per inference of CPUs and GPUs, each figure measured or a bound.

The file is `{"format": "axonport-reference-1", "measurements": [...]}` with one `ReferenceMeasurement` per entry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .artifact import read_json, write_json
from .config import from_mapping
from .errors import ArtifactError, ConfigError

FORMAT = "axonport-reference-1"


@dataclass(frozen=True, kw_only=True)
class ReferenceMeasurement:
    """Energy per inference of a CPU or GPU.

    Attributes:
        device_name: which device, in words.
        profile: profile whose data-sheet figures bound the energy.
        workload: what ran.
        batch: samples per forward call.
        num_samples_per_run: inferences in one run.
        flop_per_run: floating-point operations of one run, 2 per multiply-add.
        num_runs: timed runs; 0 where nothing ran.
        latency_s: median duration of one run; None where nothing ran.
        latency_low_s: shortest.
        latency_high_s: longest.
        badge: `measured` or `bound`.
        energy_low_j: per inference; the least of the windows, or the lower bound.
        energy_mid_j: per inference; mean of the windows, None for a bound.
        energy_high_j: per inference; the largest of the windows, or the upper bound; None if not bounded above.
        dynamic_j: per inference above idle; None where not measured or below the noise.
        idle_power_w: measured before and after; None for a bound.
        meter: what was read; None for a bound.
        window_s: length of one metered window; None for a bound.
        num_windows: metered windows.
        standard_error_j: of energy_mid_j over the windows; None for a bound.
        notes: how to read the figures.
    """

    device_name: str
    profile: str
    workload: str
    batch: int
    num_samples_per_run: int
    flop_per_run: int
    num_runs: int
    latency_s: float | None
    latency_low_s: float | None
    latency_high_s: float | None
    badge: str
    energy_low_j: float
    energy_mid_j: float | None
    energy_high_j: float | None
    dynamic_j: float | None
    idle_power_w: float | None
    meter: str | None
    window_s: float | None
    num_windows: int
    standard_error_j: float | None
    notes: tuple[str, ...]


def write_reference(path: Path, measurements: Sequence[ReferenceMeasurement]) -> None:
    """Write `reference.json`."""
    write_json(path, {"format": FORMAT, "measurements": [dataclasses.asdict(entry) for entry in measurements]})


def read_reference(path: Path) -> tuple[ReferenceMeasurement, ...]:
    """Read `reference.json`.

    Raises:
        ArtifactError: missing, foreign or damaged.
    """
    values = read_json(path)
    if (
        not isinstance(values, dict)
        or values.get("format") != FORMAT
        or not isinstance(values.get("measurements"), list)
    ):
        raise ArtifactError(f"{path}: not a reference file; allowed is format '{FORMAT}', run the reference again")
    try:
        return tuple(
            from_mapping(ReferenceMeasurement, entry, f"{path} measurements[{i}]")
            for i, entry in enumerate(values["measurements"])
        )
    except ConfigError as error:
        raise ArtifactError(str(error)) from error
