"""The ordered passes from the trained floats to the chip's integers, verified after each."""

from __future__ import annotations

from collections.abc import Callable

from hardware_profiles.arithmetic import IntegerFormat

from .graph import Graph
from .passes.compose_linear import compose_linear
from .passes.drive_offsets import drive_offsets
from .passes.fold_scales import fold_scales
from .passes.quantize import quantize
from .passes.recognise_integrators import recognise_integrators
from .passes.round_decays import round_decays
from .passes.scale import Calibration
from .verify import verify

Pass = Callable[[Graph, IntegerFormat], Graph]
FOLDING: tuple[Pass, ...] = (recognise_integrators, compose_linear, fold_scales, drive_offsets)
"""Exact up to the rounding of products of weights."""


def fold(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Bring a float graph into the form that chips have: integers between neurons, one weight on every way.

    Args:
        graph: float dialect.
        fmt: the device's widths.

    Returns:
        The graph in the float dialect.
    """
    for run_pass in FOLDING:
        graph = run_pass(graph, fmt)
        verify(graph, "float")
    return graph


def lower(graph: Graph, fmt: IntegerFormat, calibration: Calibration | None = None) -> Graph:
    """Run all passes.

    Args:
        graph: float dialect.
        fmt: the device's widths.
        calibration: scales found on data by `calibration.calibrate`; without it they follow from ranges alone.

    Returns:
        The graph in the integer dialect.
    """
    rounded = round_decays(fold(graph, fmt), fmt)
    verify(rounded, "float")
    quantized = quantize(rounded, fmt, None if calibration is None else calibration.choices)
    verify(quantized, "integer")
    return quantized
