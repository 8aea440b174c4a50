"""Post-training calibration: the scales under which a network's spikes change least on given data."""

from __future__ import annotations

from collections.abc import Mapping

from hardware_profiles.arithmetic import IntegerFormat

from ..graph import Graph
from ..interpreters.float_interpreter import run_float
from ..interpreters.integer_interpreter import run_integer
from ..nodes import NEURONS
from ..passes.quantize import quantize
from ..passes.round_decays import round_decays
from ..passes.scale import Calibration, ScaleChoice, choose_scale, fits
from ..passes.synapses import drives_of
from ..pipeline import fold, lower
from ..ranges import value_bounds
from ..trace import Array, Trace
from .local_layer import cut_out, recorded_inputs

SCALE_STEPS = (0, 1, -1, -2)
"""Scales tried, relative to the one that ranges alone suggest."""
EXTRA_BITS = (0, 1, 2)
"""Finer mantissas tried, by which the largest weights are clipped."""


def calibrate(graph: Graph, inputs: Mapping[str, Array], fmt: IntegerFormat) -> Calibration:
    """Choose each layer's scale by the fewest spikes that differ from the float network.

    Layer by layer, in the order of computation, each driven by the spikes of the quantised layers before it.
    Deterministic; where the greedy choice as a whole is no better than none, none is returned.

    Args:
        graph: float dialect.
        inputs: name to [T, B, *shape], typical data.
        fmt: the device's widths.

    Returns:
        The choices, for `pipeline.lower`.
    """
    reference = run_float(graph, inputs).trace
    rounded = round_decays(fold(graph, fmt), fmt)
    seen, choices = dict(reference), {}
    for name in (name for name in rounded.of_type(NEURONS) if name in reference):
        choices[name], spikes = _best(rounded, name, inputs, seen, reference, fmt)
        seen[name] = spikes[name]
    num_decisions = sum(layer.s.size // graph.period[name] for name, layer in reference.items())
    without = count_differences(run_integer(lower(graph, fmt), inputs), reference)
    calibrated = Calibration(choices, num_decisions, without, 0)
    with_choices = count_differences(run_integer(lower(graph, fmt, calibrated), inputs), reference)
    if with_choices >= without:
        return Calibration({}, num_decisions, without, without)
    return Calibration(choices, num_decisions, without, with_choices)


def count_differences(trace: Trace, reference: Trace) -> int:
    """Return how many spikes differ, over the layers that both traces have."""
    return sum(int((layer.s != reference[name].s).sum()) for name, layer in trace.items() if name in reference)


def _best(
    graph: Graph, name: str, inputs: Mapping[str, Array], seen: Trace, reference: Trace, fmt: IntegerFormat
) -> tuple[ScaleChoice, Trace]:
    """Return the choice with the fewest differences, the first of equals, and the layer's trace under it."""
    local = cut_out(graph, name)
    drive = recorded_inputs(local, inputs, seen)
    tried = []
    for choice in _candidates(local, name, fmt):
        trace = run_integer(quantize(local, fmt, {name: choice}), drive)
        tried.append((count_differences(trace, reference), choice, trace))
    _, choice, trace = min(tried, key=lambda row: row[0])
    return choice, trace


def _candidates(local: Graph, name: str, fmt: IntegerFormat) -> list[ScaleChoice]:
    """Return the scales to try, the one without calibration first."""
    node, drives = local.nodes[name], drives_of(local, name, value_bounds(local))
    base = choose_scale(name, node, drives, fmt)
    choices = [ScaleChoice(base.scale_bits + step, extra) for step in SCALE_STEPS for extra in EXTRA_BITS]
    return [choice for choice in choices if choice == base or fits(name, node, drives, choice, fmt)]
