"""What quantisation costs, layer by layer: measured, each source by itself, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Graph
from ..interpreters.float_interpreter import run_float
from ..interpreters.integer_interpreter import run_integer
from ..nodes import (
    LIF,
    NEURONS,
    AlphaLIF,
    CubaLIF,
    DynamicThresholdLIF,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    Node,
    Threshold,
)
from ..passes.round_decays import round_decays
from ..passes.synapses import Drive, drives_of
from ..pipeline import fold
from ..ranges import value_bounds
from ..trace import Array, Trace
from .local_layer import cut_out, recorded_inputs

IntegerSynapse = IntegerLinear | IntegerConv | IntegerScale
BULK_SHARE = 0.99
"""Share of the weights whose magnitude counts as ordinary."""
OUTLIER_RATIO = 4.0
"""A largest weight so many times the ordinary ones takes two bits of resolution from all of them."""


@dataclass(frozen=True, kw_only=True)
class LayerQuantization:
    """One row of the report.

    Attributes:
        layer: neuron node.
        scale_bits: E; a threshold of 1.0 has the mantissa 2^E.
        weight_exp: synapse node to its exponent.
        max_weight_error: largest |w − its integer / 2^E| of all synapses, in the float network's units.
        rate_float: spikes per neuron and step.
        rate_integer: the same after quantisation.
        num_differ: spikes that differ in the whole network.
        num_decisions: neurons × ticks × samples.
        num_differ_alone: spikes that differ when the layer gets the float network's own spikes.
        num_by_decays: those that differ when nothing but its decays is rounded.
        num_by_weights: the same with nothing but its weights.
        num_by_thresholds: the same with nothing but its thresholds.
        saturations: membranes clipped.
        suggestion: what to do, "" where nothing differs and nothing is clipped.
    """

    layer: str
    scale_bits: int
    weight_exp: Mapping[str, int]
    max_weight_error: float
    rate_float: float
    rate_integer: float
    num_differ: int
    num_decisions: int
    num_differ_alone: int
    num_by_decays: int
    num_by_weights: int
    num_by_thresholds: int
    saturations: int
    suggestion: str

    @property
    def share_differ(self) -> float:
        """Share of the layer's decisions that differ."""
        return self.num_differ / self.num_decisions


def quantization_report(
    float_graph: Graph,
    integer_graph: Graph,
    inputs: Mapping[str, Array],
    float_trace: Trace,
    integer_trace: Trace,
) -> list[LayerQuantization]:
    """Compare a float network with its integers, layer by layer.

    Args:
        float_graph: float dialect, as read.
        integer_graph: `pipeline.lower` of it, calibrated or not.
        inputs: what both ran on, name to [T, B, *shape].
        float_trace: `run_float(float_graph, inputs).trace`.
        integer_trace: `run_integer(integer_graph, inputs)`.

    Returns:
        One row per neuron layer, in the order of computation.
    """
    assert integer_graph.fmt is not None
    folded = fold(float_graph, integer_graph.fmt)
    bounds = value_bounds(folded)
    rows = []
    for name in (name for name in folded.of_type(NEURONS) if name in float_trace):
        layer = _Layer(folded, integer_graph, name, drives_of(folded, name, bounds))
        drive = recorded_inputs(layer.local, inputs, float_trace)
        rows.append(_row(layer, drive, float_trace, integer_trace))
    return rows


class _Layer:
    """One neuron layer in both dialects, by itself."""

    def __init__(self, folded: Graph, integer_graph: Graph, name: str, drives: list[Drive]) -> None:
        assert integer_graph.fmt is not None
        self.name, self.drives, self.fmt = name, drives, integer_graph.fmt
        self.local, self.integer = cut_out(folded, name), cut_out(integer_graph, name)
        self.synapses = {drive.name: _synapse(self.integer.nodes[drive.name]) for drive in drives}
        self.scale_bits = _scale_bits(self.local.nodes[name], self.integer.nodes[name], drives, self.synapses)

    def restored(self, drive: Drive) -> Array:
        """Return a synapse's integers in the float network's units, float32."""
        synapse = self.synapses[drive.name]
        return np.ldexp(synapse.weight_int8.astype(np.float32), synapse.weight_exp - self.scale_bits)

    def weight_errors(self) -> list[float]:
        """Return the largest rounding error of each synapse."""
        return [float(np.abs(self.restored(drive) - drive.synapse.weight).max(initial=0)) for drive in self.drives]

    def with_decays_rounded(self) -> Graph:
        return round_decays(self.local, self.fmt)

    def with_weights_rounded(self) -> Graph:
        rounded = {drive.name: replace(drive.synapse, weight=self.restored(drive)) for drive in self.drives}
        return self.local.with_nodes(rounded)

    def with_thresholds_rounded(self) -> Graph:
        node = self.local.nodes[self.name]
        if not isinstance(node, (LIF, CubaLIF, AlphaLIF, Threshold)) or node.threshold is None:
            return self.local
        vth = np.ldexp(_vth(self.integer.nodes[self.name]).astype(np.float32), -self.scale_bits)
        threshold = vth * node.tau if isinstance(node, AlphaLIF) else vth
        return self.local.with_nodes({self.name: replace(node, threshold=threshold)})


def _row(layer: _Layer, drive: Mapping[str, Array], float_trace: Trace, integer_trace: Trace) -> LayerQuantization:
    name, reference = layer.name, float_trace[layer.name].s
    causes = {
        cause: _differ(run_float(graph, drive).trace[name].s, reference)
        for cause, graph in (
            ("decays", layer.with_decays_rounded()),
            ("weights", layer.with_weights_rounded()),
            ("thresholds", layer.with_thresholds_rounded()),
        )
    }
    alone = _differ(run_integer(layer.integer, drive)[name].s, reference)
    differ, saturations = _differ(integer_trace[name].s, reference), integer_trace[name].saturations
    return LayerQuantization(
        layer=name,
        scale_bits=layer.scale_bits,
        weight_exp={synapse: node.weight_exp for synapse, node in layer.synapses.items()},
        max_weight_error=max(layer.weight_errors(), default=0.0),
        rate_float=float(reference.mean()),
        rate_integer=float(integer_trace[name].s.mean()),
        num_differ=differ,
        num_decisions=reference.size // layer.local.period[name],
        num_differ_alone=alone,
        num_by_decays=causes["decays"],
        num_by_weights=causes["weights"],
        num_by_thresholds=causes["thresholds"],
        saturations=saturations,
        suggestion=_suggestion(layer, differ, alone, causes, saturations),
    )


def _suggestion(layer: _Layer, differ: int, alone: int, causes: Mapping[str, int], saturations: int) -> str:
    """Return what helps most, from what was measured."""
    if saturations:
        return (
            f"{saturations} membranes are clipped at the chip's largest value: train with smaller weights, or with a "
            "threshold nearer to them"
        )
    if not differ:
        return ""
    if 2 * alone < differ:
        return f"{differ - alone} of {differ} come from the layers before: mend those first"
    cause = max(causes, key=lambda key: causes[key])
    if not causes[cause]:
        return "rounding of bias and membrane alone: nothing to gain but by training on quantised values"
    if cause == "weights":
        return f"rounded weights alone change {causes[cause]} spikes: {_weight_advice(layer.drives)}"
    fields = {
        "decays": "decays are multiples of 1/4096",
        "thresholds": f"thresholds are multiples of 2^{-layer.scale_bits}",
    }
    return (
        f"rounded {cause} alone change {causes[cause]} spikes: on the chip {fields[cause]}; fine-tune with "
        "quantization_aware.prepare"
    )


def _weight_advice(drives: list[Drive]) -> str:
    for drive in drives:
        magnitudes = np.abs(drive.synapse.weight[drive.synapse.weight != 0])
        if not magnitudes.size:
            continue
        largest, bulk = float(magnitudes.max()), float(np.quantile(magnitudes, BULK_SHARE))
        if largest > OUTLIER_RATIO * bulk:
            return (
                f"the largest weight of {drive.name} is {largest:g} while {BULK_SHARE:.0%} lie below {bulk:g}: "
                "calibrate, clip it in training, or fine-tune with quantization_aware.prepare"
            )
    return "calibrate, or fine-tune with quantization_aware.prepare"


def _scale_bits(node: Node, integer: Node, drives: list[Drive], synapses: Mapping[str, IntegerSynapse]) -> int:
    """Return E, from whatever was scaled by it."""
    if isinstance(node, DynamicThresholdLIF):
        assert isinstance(integer, IntegerDynamicThresholdLIF)
        return integer.theta_shift + node.controller.fraction_bits
    pairs = []
    for drive in drives:
        synapse = synapses[drive.name]
        weight = np.broadcast_to(drive.synapse.weight, synapse.weight_int8.shape)
        pairs.append((np.ldexp(synapse.weight_int8.astype(np.float64), synapse.weight_exp), weight.astype(np.float64)))
    if isinstance(node, (LIF, CubaLIF, AlphaLIF, Threshold)) and node.threshold is not None:
        threshold = node.threshold / node.tau if isinstance(node, AlphaLIF) else node.threshold
        pairs.append((_vth(integer).astype(np.float64), threshold.astype(np.float64)))
    scaled, value = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return round(float(np.log2((scaled @ value) / (value @ value)))) if value.any() else 0  # least squares


def _vth(integer: Node) -> Array:
    assert isinstance(integer, (IntegerLIF, IntegerCubaLIF, IntegerAlphaLIF, IntegerThreshold))
    assert integer.vth is not None
    return integer.vth


def _synapse(node: Node) -> IntegerSynapse:
    assert isinstance(node, (IntegerLinear, IntegerConv, IntegerScale))
    return node


def _differ(spikes: Array, reference: Array) -> int:
    return int((spikes != reference).sum())
