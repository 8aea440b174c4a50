"""Weights and biases to mantissas and exponents."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.errors import RangeError

from ..nodes import Conv, Float, Int, Int8, IntegerConv, IntegerLinear, IntegerScale, Linear, Scale

IntegerSynapse = IntegerLinear | IntegerConv | IntegerScale
WEIGHTS_AT_ONCE = 1 << 20
"""Weights that are rounded together: double precision for a large layer at once would be twice its size."""


@singledispatch
def quantize_synapse(node: object, scale_bits: int, mantissa_bits: int, fmt: IntegerFormat) -> IntegerSynapse:
    """Round weights to mantissas w·2^mantissa_bits within ±127 and their common exponent scale_bits − mantissa_bits."""
    raise AssertionError(f"{type(node).__name__} has no weights")


@quantize_synapse.register
def _(node: Linear, scale_bits: int, mantissa_bits: int, fmt: IntegerFormat) -> IntegerSynapse:
    weight = round_weights(node.weight, mantissa_bits, fmt)
    return IntegerLinear(weight_int8=weight, weight_exp=scale_bits - mantissa_bits, positions=node.positions)


@quantize_synapse.register
def _(node: Conv, scale_bits: int, mantissa_bits: int, fmt: IntegerFormat) -> IntegerSynapse:
    weight = round_weights(node.weight, mantissa_bits, fmt)
    return IntegerConv(weight_int8=weight, weight_exp=scale_bits - mantissa_bits, geometry=node.geometry)


@quantize_synapse.register
def _(node: Scale, scale_bits: int, mantissa_bits: int, fmt: IntegerFormat) -> IntegerSynapse:
    weight = round_weights(np.broadcast_to(node.weight, node.shape), mantissa_bits, fmt)
    return IntegerScale(weight_int8=weight, weight_exp=scale_bits - mantissa_bits)


def round_weights(weight: Float, mantissa_bits: int, fmt: IntegerFormat) -> Int8:
    """Return round(w·2^mantissa_bits), clipped to ±127."""
    mantissas = np.empty(weight.shape, dtype=np.int8)
    flat, source = mantissas.reshape(-1), np.ascontiguousarray(weight).reshape(-1)
    for start in range(0, flat.size, WEIGHTS_AT_ONCE):
        part = slice(start, start + WEIGHTS_AT_ONCE)
        flat[part] = np.clip(scaled_to_integers(source[part], mantissa_bits), -fmt.weight_max, fmt.weight_max)
    return mantissas


def largest_magnitude(weight: npt.NDArray[Any]) -> float:
    """Return max |w|, 0 of no weights; without a copy of the weights' size."""
    return max(float(weight.max(initial=0)), -float(weight.min(initial=0)))


class RoundedBias(NamedTuple):
    """A bias as (mantissas << exponent), mantissas in the layer's shape."""

    mantissas: Int
    exponent: int


def round_bias(name: str, bias: npt.NDArray[np.float64], bits: int, fmt: IntegerFormat) -> RoundedBias:
    """Return mantissas of b·2^bits and the smallest exponent with which they fit their signed 13-bit field.

    Raises:
        RangeError: no exponent is large enough.
    """
    exponent = bias_exponent(bias, bits, fmt)
    if exponent is None:
        raise RangeError(
            f"node {name}: bias up to {np.abs(bias).max():g} exceeds {fmt.bias_mantissa_max} << "
            f"{fmt.bias_exponent_max} in membrane units; train with smaller biases"
        )
    return RoundedBias(scaled_to_integers(bias, bits - exponent), exponent)


def bias_exponent(bias: npt.NDArray[np.float64], bits: int, fmt: IntegerFormat) -> int | None:
    """Return the smallest exponent with which b·2^bits fits its mantissa; None if none does."""
    largest = np.abs(bias).max(initial=0.0)
    for exponent in range(fmt.bias_exponent_max + 1):
        if np.rint(np.ldexp(largest, bits - exponent)) <= fmt.bias_mantissa_max:
            return exponent
    return None


def scaled_to_integers(value: npt.NDArray[Any], bits: int) -> Int:
    """Return round(value·2^bits), ties to even."""
    rounded: Int = np.rint(np.ldexp(value.astype(np.float64), bits)).astype(np.int64)
    return rounded
