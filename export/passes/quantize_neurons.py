"""Neurons to the integer dialect: decays, threshold mantissas, and what a chip's fields cannot carry, by name."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

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
from .quantize_weights import RoundedBias, scaled_to_integers
from .round_decays import decay_of


@singledispatch
def quantize_neuron(node: object, bias: RoundedBias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    """Return the integer neuron under the scale 2^scale_bits of what `refuse_what_integers_lack` lets pass."""
    raise AssertionError(f"{type(node).__name__} is no neuron of the float dialect")


@quantize_neuron.register
def _(node: LIF, bias: RoundedBias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    return IntegerLIF(
        dv=decay_of(node.beta, fmt),
        vth=threshold_mantissas(node, scale_bits),
        bias_mant=bias.mantissas,
        bias_exp=bias.exponent,
        reset=node.reset,
        reset_delay=node.reset_delay,
        inhibition=node.inhibition,
    )


@quantize_neuron.register
def _(node: CubaLIF, bias: RoundedBias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    return IntegerCubaLIF(
        du=effective_du(node, fmt) - 1,
        dv=decay_of(node.beta, fmt),
        vth=threshold_mantissas(node, scale_bits),
        bias_mant=bias.mantissas,
        bias_exp=bias.exponent,
        reset=node.reset,
        reset_delay=node.reset_delay,
        inhibition=node.inhibition,
    )


@quantize_neuron.register
def _(node: AlphaLIF, bias: RoundedBias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    return IntegerAlphaLIF(
        du=decay_of(node.alpha, fmt, high=fmt.decay_unity),
        dv=decay_of(node.beta, fmt, high=fmt.decay_unity),
        vth=threshold_mantissas(node, scale_bits),
        bias_mant=bias.mantissas,
        bias_exp=bias.exponent,
        reset=node.reset,
        inhibition=node.inhibition,
    )


@quantize_neuron.register
def _(node: Threshold, bias: RoundedBias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    vth = scaled_to_integers(node.threshold, scale_bits)
    return IntegerThreshold(vth=vth, bias_mant=bias.mantissas, bias_exp=bias.exponent)


@quantize_neuron.register
def _(node: DynamicThresholdLIF, bias: RoundedBias, scale_bits: int, fmt: IntegerFormat) -> IntegerNeuron:
    return IntegerDynamicThresholdLIF(
        dv=decay_of(node.beta, fmt),
        bias_mant=bias.mantissas,
        bias_exp=bias.exponent,
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
