"""What both granularities ask of a run before they start it. Needs no Lava."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from export.graph import Graph
from export.nodes import Norm
from export.trace import Array, check_inputs
from export.verify import verify

from .errors import LavaRuntimeError

NumberFormat = Literal["fixed_pt", "floating_pt"]
DIALECTS: dict[NumberFormat, Literal["integer", "float"]] = {"fixed_pt": "integer", "floating_pt": "float"}
"""The dialect of the graphs that each number format runs."""
TIMEOUT_S = 120.0
"""Longest time without a finished time step, unless the caller says otherwise."""


def check_run(graph: Graph, inputs: Mapping[str, Array], number_format: NumberFormat) -> tuple[int, int]:
    """Check that Lava can run the graph on these inputs; both granularities do.

    Returns:
        (T, B).

    Raises:
        ExportError, LavaRuntimeError: see `check_graph`.
        InputDataError: the inputs do not fit the graph.
    """
    check_graph(graph, number_format)
    return check_inputs(graph, inputs)


def check_graph(graph: Graph, number_format: NumberFormat) -> None:
    """Check that Lava can run the graph.

    Raises:
        ExportError: the graph breaks an invariant of its dialect, or has the other one.
        LavaRuntimeError: the number format is unknown, latencies are balanced already, or batch normalisation is not
            folded yet.
    """
    if number_format not in DIALECTS:
        raise LavaRuntimeError(f"number format: is '{number_format}', allowed are {', '.join(DIALECTS)}; choose one")
    verify(graph, DIALECTS[number_format])
    if graph.timing != "model":
        raise LavaRuntimeError("graph: is in 'lava' timing, allowed is 'model'; give it as exported, runs balance it")
    for name in graph.of_type(Norm):
        raise LavaRuntimeError(f"node {name}: is Norm, allowed are weights; fold it with export.passes.fold_norm first")
