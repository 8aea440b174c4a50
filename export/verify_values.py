"""What each node's own arrays must satisfy."""

from __future__ import annotations

from dataclasses import fields
from functools import singledispatch

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.errors import RangeError

from .errors import ExportError
from .nodes import (
    LI,
    LIF,
    AlphaLIF,
    Conv,
    Convolution,
    CubaLIF,
    DynamicThresholdLIF,
    Float,
    Gather,
    Input,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    IntegerWindowSum,
    Linear,
    MatMul,
    Norm,
    Pool,
    Reduce,
    Reshape,
    Scale,
    Shape,
    Threshold,
    WindowSum,
    window_weights,
)
from .periods import MAX_PERIOD
from .trace import Array

MIN_WEIGHT_EXP = -7
"""A chip's exponent has four bits with sign, and Lava's even weights take one more step down (Lava 0.10.0)."""


@singledispatch
def verify_values(node: object, name: str, fmt: IntegerFormat | None) -> None:
    """Check a node's own arrays; nodes without arrays have nothing to check.

    Raises:
        ExportError: a shape or value is not allowed.
        RangeError: an integer does not fit its field.
    """


@verify_values.register
def _(node: Input, name: str, fmt: IntegerFormat | None) -> None:
    if not 1 <= node.period <= MAX_PERIOD:
        raise ExportError(f"node {name}: comes every {node.period} steps, allowed is 1..{MAX_PERIOD}")


@verify_values.register(WindowSum)
@verify_values.register(IntegerWindowSum)
def _(node: WindowSum | IntegerWindowSum, name: str, fmt: IntegerFormat | None) -> None:
    weight = window_weights(node)
    _verify_finite(name, weight=weight)
    if weight.ndim != 1 or not weight.any() or weight.min() < 0:
        raise ExportError(
            f"node {name}: a window with weights of shape {weight.shape}, allowed is [ratio], none negative and not "
            "all zero"
        )


@verify_values.register
def _(node: Linear, name: str, fmt: IntegerFormat | None) -> None:
    _verify_finite(name, weight=node.weight, bias=node.bias)
    if node.weight.ndim != 2 or (node.bias is not None and node.bias.shape != node.weight.shape[:1]):
        raise ExportError(f"node {name}: weight {node.weight.shape} and bias do not fit, allowed are [out, in], [out]")


@verify_values.register
def _(node: Conv, name: str, fmt: IntegerFormat | None) -> None:
    _verify_geometry(node.geometry, node.weight.shape, name)
    _verify_finite(name, weight=node.weight, bias=node.bias)
    if node.bias is not None and node.bias.shape != node.weight.shape[:1]:
        raise ExportError(f"node {name}: bias {node.bias.shape}, allowed is [{node.weight.shape[0]}]")


@verify_values.register
def _(node: Scale, name: str, fmt: IntegerFormat | None) -> None:
    _verify_finite(name, weight=node.weight)
    if np.broadcast_shapes(node.weight.shape, node.shape) != node.shape:
        raise ExportError(f"node {name}: weight {node.weight.shape} does not fit the layer's shape {node.shape}")


@verify_values.register
def _(node: Norm, name: str, fmt: IntegerFormat | None) -> None:
    _verify_finite(name, mean=node.mean, variance=node.variance, weight=node.weight, bias=node.bias)
    arrays = [array for array in (node.mean, node.variance, node.weight, node.bias) if array is not None]
    if any(array.shape != node.shape[:1] for array in arrays) or (node.variance + node.epsilon <= 0).any():
        raise ExportError(
            f"node {name}: statistics do not fit {node.shape[:1]} channels, or a variance is not positive"
        )


@verify_values.register
def _(node: Pool, name: str, fmt: IntegerFormat | None) -> None:
    if (
        min(node.shape, default=0) < 1
        or min(node.stride) < 1
        or any(2 * padding > kernel for padding, kernel in zip(node.padding, node.kernel, strict=True))
    ):
        raise ExportError(f"node {name}: a window {node.kernel} does not fit the input {node.input_shape}")
    if fmt is not None and node.kind != "sum":
        raise ExportError(f"node {name}: averages, allowed in dialect 'integer' are sums; fold the factor into weights")


@verify_values.register
def _(node: Gather, name: str, fmt: IntegerFormat | None) -> None:
    if node.index.size and not (node.index.min() >= -1 and node.index.max() < np.prod(node.input_shape)):
        raise ExportError(f"node {name}: index spans {node.index.min()}..{node.index.max()}, beyond its input")


@verify_values.register
def _(node: Reshape, name: str, fmt: IntegerFormat | None) -> None:
    if np.prod(node.shape) != np.prod(node.input_shape):
        raise ExportError(f"node {name}: {node.input_shape} cannot be reshaped to {node.shape}")


@verify_values.register
def _(node: Reduce, name: str, fmt: IntegerFormat | None) -> None:
    if not set(node.axes) <= set(range(len(node.input_shape))) or len(set(node.axes)) < len(node.axes):
        raise ExportError(f"node {name}: axes {node.axes}, allowed are distinct ones of {len(node.input_shape)}")


@verify_values.register
def _(node: MatMul, name: str, fmt: IntegerFormat | None) -> None:
    a, b = node.shape_a, node.shape_b
    if len(a) < 2 or len(a) != len(b) or a[:-2] != b[:-2] or a[-1] != b[-2]:
        raise ExportError(f"node {name}: cannot multiply {a} by {b}; allowed are [*batch, n, k] by [*batch, k, m]")


@verify_values.register(LIF)
@verify_values.register(CubaLIF)
@verify_values.register(AlphaLIF)
def _(node: LIF | CubaLIF | AlphaLIF, name: str, fmt: IntegerFormat | None) -> None:
    _verify_decay(node.beta, name, "beta")
    if isinstance(node, (CubaLIF, AlphaLIF)):
        _verify_decay(node.alpha, name, "alpha")
    if node.reset == "zero" and not isinstance(node, LIF):
        raise ExportError(f"node {name}: reset 'zero', allowed here are subtract, none, clear")
    if node.inhibition and len(node.shape) != 1:
        raise ExportError(f"node {name}: inhibition over {node.shape}, allowed is one dimension; flatten before it")
    _verify_threshold(node.threshold, node.shape, name)


@verify_values.register
def _(node: Threshold, name: str, fmt: IntegerFormat | None) -> None:
    _verify_threshold(node.threshold, node.shape, name)


@verify_values.register
def _(node: LI, name: str, fmt: IntegerFormat | None) -> None:
    _verify_decay(node.beta, name, "beta")


@verify_values.register
def _(node: DynamicThresholdLIF, name: str, fmt: IntegerFormat | None) -> None:
    _verify_decay(node.beta, name, "beta")
    _verify_groups(node, name)


@verify_values.register(IntegerLinear)
@verify_values.register(IntegerConv)
@verify_values.register(IntegerScale)
def _(node: IntegerLinear | IntegerConv | IntegerScale, name: str, fmt: IntegerFormat | None) -> None:
    assert fmt is not None
    if isinstance(node, IntegerConv):
        _verify_geometry(node.geometry, node.weight_int8.shape, name)
    if isinstance(node, IntegerLinear) and node.weight_int8.ndim != 2:
        raise ExportError(f"node {name}: weight_int8 has shape {node.weight_int8.shape}, allowed is [out, in]")
    _verify_within(node.weight_int8, -fmt.weight_max, fmt.weight_max, f"node {name}: weight_int8")
    _verify_within(np.array([node.weight_exp]), MIN_WEIGHT_EXP, fmt.state_bits, f"node {name}: weight_exp")


@verify_values.register(IntegerLIF)
@verify_values.register(IntegerCubaLIF)
@verify_values.register(IntegerAlphaLIF)
def _(node: IntegerLIF | IntegerCubaLIF | IntegerAlphaLIF, name: str, fmt: IntegerFormat | None) -> None:
    assert fmt is not None
    decays = [("dv", node.dv)] if isinstance(node, IntegerLIF) else [("dv", node.dv), ("du", node.du)]
    for what, values in decays:
        high = fmt.decay_unity if isinstance(node, IntegerAlphaLIF) else fmt.decay_unity - 1
        _verify_within(values, 0, high, f"node {name}: {what}")
    _verify_bias(node, name, fmt)
    if node.vth is not None:
        _verify_within(node.vth, 1, fmt.threshold_max, f"node {name}: vth")
    if not isinstance(node, IntegerLIF) and node.reset == "zero":
        raise ExportError(f"node {name}: reset 'zero', allowed here are subtract, none, clear")
    if isinstance(node, IntegerAlphaLIF) and node.reset == "subtract":
        raise ExportError(f"node {name}: reset 'subtract', allowed in integers are none, clear")


@verify_values.register
def _(node: IntegerThreshold, name: str, fmt: IntegerFormat | None) -> None:
    assert fmt is not None
    _verify_bias(node, name, fmt)
    _verify_within(node.vth, 1, fmt.threshold_max, f"node {name}: vth")


@verify_values.register
def _(node: IntegerDynamicThresholdLIF, name: str, fmt: IntegerFormat | None) -> None:
    assert fmt is not None
    _verify_within(node.dv, 0, fmt.decay_unity - 1, f"node {name}: dv")
    _verify_bias(node, name, fmt)
    _verify_groups(node, name)
    node.controller.check_range(fmt, name)
    high = np.array([node.controller.theta_range[1] << node.theta_shift])
    _verify_within(high, 1, fmt.threshold_max, f"node {name}: shifted threshold")


def _verify_finite(name: str, **arrays: Array | None) -> None:
    for label, array in arrays.items():
        # NaN and infinity show in the extremes, which need no array of the weights' size
        if array is not None and not np.isfinite((array.min(initial=0), array.max(initial=0))).all():
            raise ExportError(
                f"node {name}: {label} holds {int((~np.isfinite(array)).sum())} NaN or infinite values; "
                "train again from a finite checkpoint"
            )


def _verify_geometry(geometry: Convolution, weight_shape: Shape, name: str) -> None:
    channels, spatial = geometry.input_shape[0], geometry.input_shape[1:]
    tuples = (geometry.stride, geometry.padding, geometry.dilation, weight_shape[2:])
    if len(spatial) not in (1, 2) or any(len(entry) != len(spatial) for entry in tuples):
        raise ExportError(f"node {name}: input {geometry.input_shape}, allowed are one or two spatial dimensions")
    if geometry.groups < 1 or channels != weight_shape[1] * geometry.groups or weight_shape[0] % geometry.groups:
        raise ExportError(
            f"node {name}: {channels} channels in {geometry.groups} groups do not fit a weight of shape {weight_shape}"
        )
    if min(geometry.stride) < 1 or min(geometry.dilation) < 1 or min(geometry.padding) < 0:
        raise ExportError(f"node {name}: stride and dilation must be positive, padding not negative")
    if min(geometry.output_shape(weight_shape)) < 1:
        raise ExportError(f"node {name}: its kernel {weight_shape[2:]} is larger than its input {geometry.input_shape}")


def _verify_threshold(threshold: Float | None, shape: Shape, name: str) -> None:
    if threshold is None:
        return
    if threshold.shape != shape or not np.isfinite(threshold).all():
        raise ExportError(f"node {name}: threshold must be {shape} finite values")
    if (threshold <= 0).any():
        raise ExportError(
            f"node {name}: threshold {threshold.min():g} is not positive; such a neuron fires "
            "at rest, raise the threshold"
        )


def _verify_decay(decay: Float, name: str, what: str) -> None:
    if not ((decay >= 0) & (decay <= 1)).all():
        raise ExportError(f"node {name}: {what} spans {decay.min():g}..{decay.max():g}, allowed is 0..1")


def _verify_groups(node: DynamicThresholdLIF | IntegerDynamicThresholdLIF, name: str) -> None:
    controller = node.controller
    if controller.num_groups < 1 or controller.population % controller.num_groups:
        raise ExportError(
            f"node {name}: population {controller.population} is not a multiple of num_groups "
            f"{controller.num_groups}; choose another number of groups"
        )


def _verify_bias(
    node: IntegerLIF | IntegerCubaLIF | IntegerAlphaLIF | IntegerThreshold | IntegerDynamicThresholdLIF,
    name: str,
    fmt: IntegerFormat,
) -> None:
    for field in fields(node):
        values = getattr(node, field.name)
        if isinstance(values, np.ndarray) and values.shape != node.shape:
            raise ExportError(
                f"node {name}: {field.name} has shape {values.shape}, allowed is the layer's {node.shape}"
            )
    _verify_within(node.bias_mant, -fmt.bias_mantissa_max, fmt.bias_mantissa_max, f"node {name}: bias_mant")
    _verify_within(np.array([node.bias_exp]), 0, fmt.bias_exponent_max, f"node {name}: bias_exp")


def _verify_within(values: Array, low: int, high: int, what: str) -> None:
    if values.size and (values.min() < low or values.max() > high):
        raise RangeError(f"{what} spans {values.min()}..{values.max()}, allowed is {low}..{high}; choose another scale")
