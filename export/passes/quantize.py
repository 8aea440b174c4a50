"""Float dialect to integer dialect: one power-of-two scale per layer.

With scale 2^E and a mantissa exponent e = `weight_exp`::

    weight_int8 = round(w · 2^(E−e))     a = (Σ weight_int8 · s) << e  ≈  2^E · Σ w s
    vth         = round(θ · 2^E)          (bias_mant << bias_exp) = round(b · 2^(E+6))

E is as large as the fields allow: mantissas within ±127, thresholds within 17 bits, and the largest possible
synaptic sum proven not to wrap. A dynamic threshold fixes E ≥ fraction_bits, so that θ is carried exactly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.errors import RangeError

from ..errors import ExportError
from ..graph import Graph
from ..nodes import (
    LIF,
    NEURONS,
    DynamicThresholdLIF,
    Float,
    Int,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    Linear,
    Node,
)
from .round_decays import decay_of

PREFERRED_SCALE_BITS = 11
"""Scale at which a threshold of 1.0 has a mantissa of 2048: fine enough that its rounding is below 0.03 %."""
MIN_SCALE_BITS = -16
"""Below this the weights would be astronomically large; such a layer is refused."""


def quantize(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Turn every layer's floats into integers.

    Raises:
        RangeError: a layer fits no scale; the message names the layer and the limit.
        ExportError: one Linear layer drives several neuron layers, whose scales could differ.
    """
    changed: dict[str, Node] = {}
    for name, node in graph.of_type(NEURONS).items():
        synapse = graph.driving_synapse(name)
        linear = graph.nodes[synapse]
        assert isinstance(linear, Linear) and isinstance(node, LIF | DynamicThresholdLIF)
        if synapse in changed:
            raise ExportError(f"node {synapse}: drives several neuron layers, allowed is one; copy the Linear layer")
        scale_bits = choose_scale(name, linear, node, fmt)
        changed[synapse] = quantize_weights(linear.weight, scale_bits, fmt)
        changed[name] = _quantize_neuron(name, node, linear.bias, scale_bits, fmt)
    quantized = graph.with_nodes(changed)
    return replace(quantized, dialect="integer", fmt=fmt)


def choose_scale(name: str, linear: Linear, node: LIF | DynamicThresholdLIF, fmt: IntegerFormat) -> int:
    """Return E, the largest useful scale exponent that the layer's fields allow.

    Raises:
        RangeError: no exponent fits.
    """
    lowest = node.controller.fraction_bits if isinstance(node, DynamicThresholdLIF) else MIN_SCALE_BITS
    for scale_bits in range(max(_mantissa_bits(linear.weight, fmt), PREFERRED_SCALE_BITS, lowest), lowest - 1, -1):
        if _fits(linear, node, scale_bits, fmt):
            return scale_bits
    raise RangeError(
        f"node {name}: no power-of-two scale fits weights up to {np.abs(linear.weight).max():g} and its threshold into "
        f"{fmt.weight_bits}-bit weights and {fmt.state_bits}-bit sums; train with smaller weights or fan-in"
    )


def quantize_weights(weight: Float, scale_bits: int, fmt: IntegerFormat) -> IntegerLinear:
    """Round weights to mantissas and their common exponent."""
    mantissa_bits = min(_mantissa_bits(weight, fmt), scale_bits)
    return IntegerLinear(weight_int8=_scaled(weight, mantissa_bits), weight_exp=scale_bits - mantissa_bits)


def _scaled(value: Float, bits: int) -> Int:
    rounded: Int = np.rint(np.ldexp(value.astype(np.float64), bits)).astype(np.int64)
    return rounded


def _mantissa_bits(weight: Float, fmt: IntegerFormat) -> int:
    """Return the largest k with |round(w·2^k)| ≤ 127 for every weight."""
    largest = float(np.abs(weight).max())
    if largest == 0:
        return fmt.weight_bits - 1
    bits = int(np.floor(np.log2(fmt.weight_max / largest))) + 1
    while np.rint(np.ldexp(largest, bits)) > fmt.weight_max:
        bits -= 1
    return bits


def _fits(linear: Linear, node: LIF | DynamicThresholdLIF, scale_bits: int, fmt: IntegerFormat) -> bool:
    synapse = quantize_weights(linear.weight, scale_bits, fmt)
    if synapse.weight_exp > fmt.state_bits:
        return False
    largest_sum = np.abs(synapse.weight_int8).sum(axis=1).max() << synapse.weight_exp
    return bool(largest_sum <= fmt.sum_max and _threshold_fits(node, scale_bits, fmt))


def _threshold_fits(node: LIF | DynamicThresholdLIF, scale_bits: int, fmt: IntegerFormat) -> bool:
    if isinstance(node, DynamicThresholdLIF):
        return node.controller.theta_range[1] << (scale_bits - node.controller.fraction_bits) <= fmt.threshold_max
    vth = _scaled(node.threshold, scale_bits)
    return bool(vth.min() >= 1 and vth.max() <= fmt.threshold_max)


def _quantize_neuron(
    name: str, node: LIF | DynamicThresholdLIF, bias: Float | None, scale_bits: int, fmt: IntegerFormat
) -> IntegerLIF | IntegerDynamicThresholdLIF:
    dv = decay_of(node.beta, fmt)
    bias_mant, bias_exp = _quantize_bias(name, bias, node.size, scale_bits + fmt.state_shift, fmt)
    if isinstance(node, LIF):
        vth = _scaled(node.threshold, scale_bits)
        return IntegerLIF(dv=dv, vth=vth, bias_mant=bias_mant, bias_exp=bias_exp, reset=node.reset)
    theta_shift = scale_bits - node.controller.fraction_bits
    return IntegerDynamicThresholdLIF(
        dv=dv, bias_mant=bias_mant, bias_exp=bias_exp, theta_shift=theta_shift, controller=node.controller
    )


def _quantize_bias(name: str, bias: Float | None, size: int, bits: int, fmt: IntegerFormat) -> tuple[Int, int]:
    """Return mantissas and the smallest exponent with which they fit their signed 13-bit field."""
    if bias is None:
        return np.zeros(size, dtype=np.int64), 0
    for exponent in range(fmt.bias_exponent_max + 1):
        mantissa = _scaled(bias, bits - exponent)
        if np.abs(mantissa).max() <= fmt.bias_mantissa_max:
            return mantissa, exponent
    raise RangeError(
        f"node {name}: bias up to {np.abs(bias).max():g} exceeds {fmt.bias_mantissa_max} << {fmt.bias_exponent_max} "
        "in membrane units; train with smaller biases"
    )
