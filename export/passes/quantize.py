"""Float dialect to integer dialect: one power-of-two scale per neuron layer, shared by all its synapses.

With scale 2^E and a mantissa exponent e = `weight_exp` of each synapse::

    weight_int8 = round(w · 2^(E−e))     a = (Σ weight_int8 · s) << e  ≈  2^E · Σ w s
    vth         = round(θ · 2^E)          (bias_mant << bias_exp) = round(b · 2^(E+6))

E is as large as the fields allow: mantissas within ±127, thresholds within 17 bits, and the largest possible
sum of all synapses proven not to wrap. Mantissas are no finer than 2^-E, but for synapses that read windows over time,
whose integers have fraction bits of their own: there e may be negative, and the sum is rounded down. A dynamic
threshold fixes E ≥ fraction_bits, so that θ is carried exactly.
A bias is a property of the neuron: the response of all its synapses to silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat

from ..graph import Graph
from ..nodes import NEURONS, IntegerWindowSum, Node, WindowSum
from ..ranges import value_bounds
from .quantize_neurons import quantize_neuron, refuse_what_integers_lack
from .quantize_weights import quantize_synapse, round_bias
from .scale import ScaleChoice, choose_scale, mantissa_bits_of
from .synapses import constant_drive, drives_of


def quantize(graph: Graph, fmt: IntegerFormat, choices: Mapping[str, ScaleChoice] | None = None) -> Graph:
    """Turn every layer's floats into integers.

    Args:
        graph: float dialect, after `fold_scales` and `round_decays`.
        fmt: the device's widths.
        choices: neuron node to its scale, where it is not left to `choose_scale`.

    Raises:
        RangeError: a layer fits no scale; the message names the layer and the limit.
        ExportError: a neuron or bias that integers cannot carry.
    """
    changed: dict[str, Node] = {}
    bounds = value_bounds(graph)
    for name in graph.of_type(NEURONS):
        node = graph.nodes[name]
        refuse_what_integers_lack(name, node, fmt)
        drives = drives_of(graph, name, bounds)
        choice = (choices or {}).get(name) or choose_scale(name, node, drives, fmt)
        for drive in drives:
            bits = mantissa_bits_of(drive, choice, fmt)
            changed[drive.name] = quantize_synapse(drive.synapse, choice.scale_bits, bits, fmt)
        bias = constant_drive(name, drives, node.size).reshape(node.shape)
        rounded = round_bias(name, bias, choice.scale_bits + fmt.state_shift, fmt)
        changed[name] = quantize_neuron(node, rounded, choice.scale_bits, fmt)
    for name, window in graph.of_type(WindowSum).items():
        changed[name] = IntegerWindowSum(weight_uint8=window.weight.astype(np.uint8), shape=window.shape)
    return replace(graph.with_nodes(changed), dialect="integer", fmt=fmt)
