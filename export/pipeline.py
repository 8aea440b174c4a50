"""The ordered passes from the trained floats to the chip's integers, verified after each."""

from __future__ import annotations

from collections.abc import Callable

from hardware_profiles.arithmetic import IntegerFormat

from .graph import Graph
from .passes.quantize import quantize
from .passes.round_decays import round_decays
from .verify import verify

Pass = Callable[[Graph, IntegerFormat], Graph]
PASSES: tuple[Pass, ...] = (round_decays, quantize)


def lower(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Run all passes.

    Args:
        graph: float dialect.
        fmt: the device's widths.

    Returns:
        The graph in the integer dialect.
    """
    for run_pass in PASSES:
        graph = run_pass(graph, fmt)
        verify(graph, graph.dialect)
    return graph
