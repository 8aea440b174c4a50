"""Neurons to the integer dialect: decays, threshold mantissas, and what a chip's fields cannot carry, by name."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import numpy.typing as npt

from hardware_profiles.arithmetic import IntegerFormat

from ..errors import ExportError
from ..interpreters.integer_neurons import IntegerNeuron
from ..nodes import (
    LIF,
    AlphaLIF,
    CubaLIF,
    DynamicThresholdLIF,
    Int,
    IntegerAlphaLIF,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerThreshold,
    Node,
    Threshold,
)
from .quantize_weights import round_bias, scaled_to_integers
from .round_decays import decay_of

Bias = npt.NDArray[np.float64]


@singledispatch
def quantize_neuron(node: object, name: str, bias: Bias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    """Return the integer neuron under the scale 2^scale_bits; `bias` float64 of the layer's shape.

    Raises:
        RangeError: the bias does not fit.
        ExportError: integers do not carry this neuron.
    """
    raise AssertionError(f"{type(node).__name__} is no neuron of the float dialect")


@quantize_neuron.register
def _(node: LIF, name: str, bias: Bias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    bias_mant, bias_exp = round_bias(name, bias, scale_bits + fmt.state_shift, fmt)
    return IntegerLIF(
        dv=decay_of(node.beta, fmt),
        vth=threshold_mantissas(node, scale_bits),
        bias_mant=bias_mant,
        bias_exp=bias_exp,
        reset=node.reset,
        reset_delay=node.reset_delay,
        inhibition=node.inhibition,
    )


@quantize_neuron.register
def _(node: CubaLIF, name: str, bias: Bias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    bias_mant, bias_exp = round_bias(name, bias, scale_bits + fmt.state_shift, fmt)
    return IntegerCubaLIF(
        du=effective_du(node, fmt) - 1,
        dv=decay_of(node.beta, fmt),
        vth=threshold_mantissas(node, scale_bits),
        bias_mant=bias_mant,
        bias_exp=bias_exp,
        reset=node.reset,
        reset_delay=node.reset_delay,
        inhibition=node.inhibition,
    )


@quantize_neuron.register
def _(node: AlphaLIF, name: str, bias: Bias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    bias_mant, bias_exp = round_bias(name, bias, scale_bits + fmt.state_shift, fmt)
    return IntegerAlphaLIF(
        du=decay_of(node.alpha, fmt, high=fmt.decay_unity),
        dv=decay_of(node.beta, fmt, high=fmt.decay_unity),
        vth=threshold_mantissas(node, scale_bits),
        bias_mant=bias_mant,
        bias_exp=bias_exp,
        reset=node.reset,
        inhibition=node.inhibition,
    )


@quantize_neuron.register
def _(node: Threshold, name: str, bias: Bias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    bias_mant, bias_exp = round_bias(name, bias, scale_bits + fmt.state_shift, fmt)
    vth = scaled_to_integers(node.threshold, scale_bits)
    return IntegerThreshold(vth=vth, bias_mant=bias_mant, bias_exp=bias_exp)


@quantize_neuron.register
def _(node: DynamicThresholdLIF, name: str, bias: Bias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    bias_mant, bias_exp = round_bias(name, bias, scale_bits + fmt.state_shift, fmt)
    return IntegerDynamicThresholdLIF(
        dv=decay_of(node.beta, fmt),
        bias_mant=bias_mant,
        bias_exp=bias_exp,
        theta_shift=scale_bits - node.controller.fraction_bits,
        controller=node.controller,
    )


def threshold_mantissas(node: Node, scale_bits: int) -> Int | None:
    """Return round(θ·2^E), for `AlphaLIF` round(θ/τ·2^E); None where thresholds arrive."""
    assert isinstance(node, (LIF, CubaLIF, AlphaLIF, Threshold))
    if node.threshold is None:
        return None
    threshold = node.threshold.astype(np.float64)
    return scaled_to_integers(threshold / node.tau if isinstance(node, AlphaLIF) else threshold, scale_bits)


def effective_du(node: CubaLIF, fmt: IntegerFormat) -> Int:
    """Return the decay of the synaptic current as Lava applies it, du + 1, in 0..2^12."""
    return decay_of(node.alpha, fmt, high=fmt.decay_unity)


def refuse_what_integers_lack(name: str, node: Node, fmt: IntegerFormat) -> None:
    """Raise an ExportError for a neuron whose equation has no integer form on a chip."""
    if isinstance(node, CubaLIF) and (effective_du(node, fmt) == 0).any():
        raise ExportError(
            f"node {name}: an alpha rounds to a synaptic current without decay, which grows without bound, allowed is "
            f"up to {fmt.decay_unity - 1}/{fmt.decay_unity}; train with a smaller alpha"
        )
    if not isinstance(node, AlphaLIF):
        return
    if node.reset == "subtract":
        raise ExportError(
            f"node {name}: Alpha with reset 'subtract' rescales the reset by its own traces, which no chip does; "
            "allowed in integers are 'zero' and 'none', train with reset_mechanism='zero'"
        )
    if node.reset == "clear" and not node.reset_delay:
        raise ExportError(
            f"node {name}: Alpha with reset_delay=False resets its membrane but not the traces it is made of; allowed "
            "in integers is reset_delay=True"
        )
    if node.threshold is None:
        raise ExportError(
            f"node {name}: Alpha under a moving threshold, allowed in integers is a constant one; use Leaky or Synaptic"
        )
    if node.inhibition and np.ptp(node.tau) > 0:
        raise ExportError(
            f"node {name}: Alpha with inhibition compares membranes scaled by different tau, allowed in integers is "
            "one tau; give the layer one alpha and one beta"
        )
    if not (np.isfinite(node.tau) & (node.tau > 0)).all():
        raise ExportError(f"node {name}: tau spans {node.tau.min():g}..{node.tau.max():g}, allowed is positive")
