"""The scale 2^E of a neuron layer: as large as its fields and the proven sum of its synapses allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.errors import RangeError

from ..nodes import CubaLIF, DynamicThresholdLIF, Float, Node
from ..ranges import current_bound, shifted_bound
from .quantize_neurons import effective_du, threshold_mantissas
from .quantize_weights import bias_exponent, largest_magnitude, round_bias, scaled_to_integers
from .synapses import Drive, constant_drive

PREFERRED_SCALE_BITS = 11
"""Scale at which a threshold of 1.0 has a mantissa of 2048: fine enough that its rounding is below 0.03 %."""
MIN_SCALE_BITS = -16
"""Below this the weights would be astronomically large; such a layer is refused."""


@dataclass(frozen=True)
class ScaleChoice:
    """How a neuron layer is quantised.

    Attributes:
        scale_bits: E; a threshold of 1.0 has the mantissa 2^E.
        extra_bits: mantissa bits beyond those with which every weight fits: finer weights, the largest are clipped.
    """

    scale_bits: int
    extra_bits: int = 0


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scales found on data.

    Attributes:
        choices: neuron node to its scale; layers that are left out keep the one of `choose_scale`.
        num_decisions: neurons × ticks × samples of the data, all layers together.
        differ_without: spikes that differ from the float network's without calibration.
        differ_with: the same with it; never more.
    """

    choices: Mapping[str, ScaleChoice]
    num_decisions: int
    differ_without: int
    differ_with: int


def choose_scale(name: str, node: Node, drives: Sequence[Drive], fmt: IntegerFormat) -> ScaleChoice:
    """Return the largest useful scale that the layer's fields allow.

    Raises:
        RangeError: no exponent fits.
    """
    for choice in candidate_scales(node, drives, fmt):
        if fits(name, node, drives, choice, fmt):
            return choice
    largest = max((largest_magnitude(drive.synapse.weight) for drive in drives), default=0.0)
    bias = constant_drive(name, list(drives), node.size)
    for choice in candidate_scales(node, drives, fmt):
        if fits(name, node, drives, choice, fmt, with_bias=False):
            round_bias(name, bias, choice.scale_bits + fmt.state_shift, fmt)  # says what the bias exceeds
    raise RangeError(
        f"node {name}: no power-of-two scale fits weights up to {largest:g} and its threshold into "
        f"{fmt.weight_bits}-bit weights and {fmt.state_bits}-bit sums; train with smaller weights or fan-in"
    )


def candidate_scales(node: Node, drives: Sequence[Drive], fmt: IntegerFormat) -> list[ScaleChoice]:
    """Return all scales that may be considered, the largest first."""
    lowest = node.controller.fraction_bits if isinstance(node, DynamicThresholdLIF) else MIN_SCALE_BITS
    currents = [drive.synapse.weight for drive in drives if drive.port != "threshold"]
    useful = max((largest_mantissa_bits(weight, fmt) for weight in currents), default=0)
    return [ScaleChoice(bits) for bits in range(max(useful, PREFERRED_SCALE_BITS, lowest), lowest - 1, -1)]


def mantissa_bits_of(drive: Drive, choice: ScaleChoice, fmt: IntegerFormat) -> int:
    """Return k of the mantissas w·2^k of one of a neuron's synapses."""
    finest = choice.scale_bits + drive.input_fraction_bits
    return min(largest_mantissa_bits(drive.synapse.weight, fmt) + choice.extra_bits, finest)


def largest_mantissa_bits(weight: Float, fmt: IntegerFormat) -> int:
    """Return the largest k with |round(w·2^k)| ≤ 127 for every weight."""
    largest = largest_magnitude(weight)
    if largest == 0:
        return fmt.weight_bits - 1
    bits = int(np.floor(np.log2(fmt.weight_max / largest))) + 1
    while np.rint(np.ldexp(largest, bits)) > fmt.weight_max:
        bits -= 1
    return bits


def fits(
    name: str, node: Node, drives: Sequence[Drive], choice: ScaleChoice, fmt: IntegerFormat, *, with_bias: bool = True
) -> bool:
    """Tell whether mantissas, exponents and sums of a layer fit their fields under a scale."""
    if not threshold_fits(node, choice.scale_bits, fmt):
        return False
    largest = {"input": 0, "recurrent": 0, "threshold": 0}
    for drive in drives:
        bits = mantissa_bits_of(drive, choice, fmt)
        exponent, largest_sum = choice.scale_bits - bits, drive.largest_sum(bits, fmt)
        if exponent > fmt.state_bits or (exponent < 0 and largest_sum > fmt.state_max):
            return False
        largest[drive.port] += shifted_bound(largest_sum, exponent)
    total = largest["input"] + largest["recurrent"]
    if max(total, largest["threshold"]) > fmt.sum_max:
        return False
    bias = constant_drive(name, list(drives), node.size) if with_bias else np.zeros(1)
    membrane_bits = choice.scale_bits + fmt.state_shift
    shifted = bias_exponent(bias, membrane_bits, fmt)
    if shifted is None:
        return False
    largest_bias = int(np.abs(scaled_to_integers(bias, membrane_bits - shifted)).max()) << shifted
    return not isinstance(node, CubaLIF) or _current_fits(node, total, largest_bias, fmt)


def threshold_fits(node: Node, scale_bits: int, fmt: IntegerFormat) -> bool:
    """Tell whether all threshold mantissas lie in 1..2^17 − 1."""
    if isinstance(node, DynamicThresholdLIF):
        return node.controller.theta_range[1] << (scale_bits - node.controller.fraction_bits) <= fmt.threshold_max
    vth = threshold_mantissas(node, scale_bits)
    return vth is None or bool(vth.min() >= 1 and vth.max() <= fmt.threshold_max)


def _current_fits(node: CubaLIF, largest_sum: int, largest_bias: int, fmt: IntegerFormat) -> bool:
    slowest = int(effective_du(node, fmt).min())
    largest = current_bound(largest_sum, largest_bias, slowest, fmt.state_shift, fmt.decay_unity)
    return largest <= fmt.state_max
