"""From a model file to the graph that Lava runs."""

from __future__ import annotations

from pathlib import Path

from export.config import ExportConfig
from export.graph import Graph
from export.graph_file import load_graph
from export.nir_file import read_nir
from export.passes.recognise_integrators import recognise_integrators
from export.pipeline import lower
from hardware_profiles.profile import integer_format

from .errors import LavaRuntimeError
from .preconditions import NumberFormat


def load_model(
    path: Path, number_format: NumberFormat, *, dt_s: float | None = None, profile: str | None = None
) -> Graph:
    """Load a `.nir` file of any framework, or an `integer_model.h5`.

    For `fixed_pt` a `.nir` file is lowered as `python -m export` does without calibration.

    Args:
        path: the file.
        number_format: chooses the dialect, integer for `fixed_pt` and float for `floating_pt`.
        dt_s: time step in seconds of a `.nir` file that does not say it.
        profile: hardware profile whose integer widths a `.nir` file gets; `loihi2` by default.

    Raises:
        NirFileError: missing, foreign, damaged or hostile file.
        ExportError: a graph that is not allowed, or that integers cannot carry.
        LavaRuntimeError: an option does not apply to the file.
    """
    if path.suffix != ".nir":
        _refuse(path, {"--dt": dt_s, "--profile": profile}, "an integer model holds its own time step and widths")
        if number_format != "fixed_pt":
            raise LavaRuntimeError(f"--number-format {number_format}: {path} holds integers, allowed is fixed_pt")
        return load_graph(path)
    fmt = integer_format(profile or ExportConfig.profile)
    graph = recognise_integrators(read_nir(path, dt_s), fmt)
    return lower(graph, fmt) if number_format == "fixed_pt" else graph


def _refuse(path: Path, options: dict[str, object], reason: str) -> None:
    for option, value in options.items():
        if value is not None:
            raise LavaRuntimeError(f"{option} {value}: does not apply to {path}, {reason}; leave it out")
