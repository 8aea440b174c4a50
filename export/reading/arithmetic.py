"""What sums, products, gates and comparisons between layers become."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..nodes import Float, Product, Scale, Shape, Threshold
from .emission import Emission, Value
from .expressions import Expression

AND_THRESHOLD, OR_THRESHOLD = 1.5, 0.5


def operands(expression: Expression) -> tuple[Any, Any]:
    """Return the two operands of a binary function."""
    arguments = expression.arguments or {}
    return arguments.get("0"), arguments.get("1", arguments.get("other"))


def constant_of(operand: Any) -> Float | None:
    """Return a constant operand as an array, or None for a signal."""
    if isinstance(operand, Expression):
        return None if operand.constant is None else operand.constant.numpy().astype(np.float32)
    return None if isinstance(operand, bool) else np.asarray(operand, dtype=np.float32)


def _per_sample(constant: Float, shape: Shape, emission: Emission, expression: Expression) -> Float:
    """Drop the batch axis of a constant, if it has one and all samples agree."""
    if constant.ndim > len(shape):
        if not (constant == constant[:1]).all():
            raise emission.refuse(expression, "a constant differs from sample to sample; make it an input")
        constant = constant[0]
    return constant


def _pair(emission: Emission, expression: Expression) -> tuple[Value, Value]:
    """Return both operands as signals of the result's shape."""
    a, b = (emission.value(operand) for operand in operands(expression))
    return emission.spread(a, expression.shape, "expand"), emission.spread(b, expression.shape, "expand")


def add(emission: Emission, expression: Expression, sign: int = 1) -> Value:
    """`a + b`: more terms of one sum, in torch's order, or a constant."""
    a, b = operands(expression)
    if (expression.arguments or {}).get("alpha", 1) != 1:
        raise emission.refuse(expression, "alpha must be 1; multiply the operand instead")
    for signal, constant, first in ((a, constant_of(b), 1), (b, constant_of(a), sign)):
        if constant is not None and isinstance(signal, Expression):
            value = emission.spread(emission.value(signal), expression.shape, "expand")
            added = _per_sample(constant, expression.shape, emission, expression)
            return _shifted(emission, value, added if signal is b else sign * added, first)
    if expression.operation is not None and expression.operation.dtype == torch.bool:
        raise emission.refuse(expression, "adds truth values, of which torch makes OR; convert them with .float()")
    left, right = _pair(emission, expression)
    right = right if sign == 1 else times(emission, right, np.float32(-1))
    left, right = (value if value.inverse else emission.biased(value, expression.name) for value in (left, right))
    if len(right.terms) > 1:  # a sum that was rounded by itself
        right = emission.add_node(
            emission.numbered("sum"), Scale(weight=np.ones((), dtype=np.float32), shape=right.shape), input=right
        )
    offsets = [value.offset for value in (left, right) if value.offset is not None]
    return Value(left.terms + right.terms, expression.shape, offset=sum(offsets[1:], offsets[0]) if offsets else None)


def _shifted(emission: Emission, value: Value, constant: Float, sign: int) -> Value:
    """Sign · value + constant."""
    signed = value if sign == 1 else times(emission, value, np.float32(-1))
    if not constant.any():
        return replace(signed, offset=signed.offset, spikes=value.spikes and sign == 1)
    if signed.inverse is None:
        signed = emission.biased(signed, "add")
    offset = constant if signed.offset is None else signed.offset + constant
    inverted = value if sign == -1 and value.spikes and bool((constant == 1).all()) else None
    return replace(signed, offset=offset, spikes=False, inverse=inverted)


def subtract(emission: Emission, expression: Expression) -> Value:
    """`a - b`."""
    return add(emission, expression, sign=-1)


def reverse_subtract(emission: Emission, expression: Expression) -> Value:
    """`b - a`."""
    a, b = operands(expression)
    return add(emission, replace(expression, arguments={"0": b, "1": a}), sign=-1)


def times(emission: Emission, value: Value, factor: npt.NDArray[np.float32] | np.float32) -> Value:
    """Multiply a value by a constant."""
    factor = np.asarray(factor, dtype=np.float32)
    if (factor == 1).all():
        return value
    node = Scale(weight=factor, shape=value.shape)
    if value.inverse is None:  # a constant that was added before is rounded before, too
        return emission.add_node(emission.numbered("scale"), node, input=value)
    scaled = emission.add_node(emission.numbered("scale"), node, input=replace(value, offset=None, inverse=None))
    return replace(scaled, offset=None if value.offset is None else value.offset * factor)


def negate(emission: Emission, expression: Expression) -> Value:
    """`-a`."""
    return times(emission, emission.value(operands(expression)[0]), np.float32(-1))


def divide(emission: Emission, expression: Expression) -> Value:
    """`a / c` where it rounds like a product."""
    a, b = operands(expression)
    divisor = constant_of(b)
    if divisor is None or not divisor.all():
        raise emission.refuse(expression, "divides by a signal or by zero, allowed is a constant")
    value = emission.spread(emission.value(a), expression.shape, "expand")
    if not value.spikes and not is_power_of_two(divisor):
        raise emission.refuse(
            expression,
            "divides by other constants than powers of two, which rounds unlike any product; write x * (1 / c)",
        )
    return times(emission, value, 1 / _per_sample(divisor, expression.shape, emission, expression))


def emit_and(emission: Emission, expression: Expression) -> Value:
    """`a & b` of spikes."""
    if not all(isinstance(operand, Expression) and operand.constant is None for operand in operands(expression)) or (
        not all(value.spikes for value in _pair(emission, expression))
    ):
        raise emission.refuse(expression, "combines values that are not spikes, allowed are spikes (AND)")
    return multiply(emission, expression)


def emit_not(emission: Emission, expression: Expression) -> Value:
    """`~a` of spikes."""
    value = _spikes_only(emission, expression, "inverts")
    return _shifted(emission, value, np.ones(expression.shape, dtype=np.float32), -1)


def to_bool(emission: Emission, expression: Expression) -> Value:
    """`a.bool()` of spikes."""
    return _spikes_only(emission, expression, "asks whether they are zero of")


def _spikes_only(emission: Emission, expression: Expression, what: str) -> Value:
    value = same(emission, expression)
    if not value.spikes:
        raise emission.refuse(expression, f"{what} values that are not spikes, allowed are spikes; compare with `>`")
    return value


def is_power_of_two(divisor: Float | np.float32) -> bool:
    """Tell whether dividing by a constant rounds like multiplying by its inverse."""
    return bool((np.abs(np.frexp(divisor)[0]) == 0.5).all())


def multiply(emission: Emission, expression: Expression) -> Value:
    """`a * b`: a scaling, a coincidence of spikes, or a product."""
    a, b = operands(expression)
    for signal, constant in ((a, constant_of(b)), (b, constant_of(a))):
        if constant is not None and isinstance(signal, Expression):
            value = emission.spread(emission.value(signal), expression.shape, "expand")
            return times(emission, value, _per_sample(constant, expression.shape, emission, expression))
    left, right = _pair(emission, expression)
    for value, other in ((left, right), (right, left)):
        if value.inverse is not None and other.spikes:  # b AND NOT a
            against = times(emission, value.inverse, np.float32(-1))
            return _gate(emission, expression, Value(other.terms + against.terms, expression.shape), OR_THRESHOLD)
    if left.spikes and right.spikes:
        return _gate(emission, expression, Value(left.terms + right.terms, expression.shape), AND_THRESHOLD)
    left, right = emission.biased(left, expression.name), emission.biased(right, expression.name)
    return emission.add_node(emission.numbered("product"), Product(shape=expression.shape), a=left, b=right)


def _gate(emission: Emission, expression: Expression, total: Value, threshold: float) -> Value:
    node = Threshold(threshold=np.full(expression.shape, threshold, dtype=np.float32))
    return emission.add_node(emission.numbered(expression.name), node, input=total)


def maximum(emission: Emission, expression: Expression) -> Value:
    """`torch.maximum(a, b)` and `a | b` of spikes."""
    left, right = _pair(emission, expression)
    if not (left.spikes and right.spikes):
        raise emission.refuse(expression, "takes the larger of values that are not spikes, allowed are spikes (OR)")
    return _gate(emission, expression, Value(left.terms + right.terms, expression.shape), OR_THRESHOLD)


def greater(emission: Emission, expression: Expression) -> Value:
    """`a > c`."""
    a, b = operands(expression)
    threshold = constant_of(b)
    if threshold is None:
        raise emission.refuse(expression, "compares with a signal, allowed is a constant threshold")
    value = emission.value(a)
    theta = np.broadcast_to(_per_sample(threshold, value.shape, emission, expression), value.shape)
    if value.spikes and ((theta >= 0) & (theta < 1)).all():
        return value
    node = Threshold(threshold=np.ascontiguousarray(theta, dtype=np.float32))
    return emission.add_node(emission.numbered("threshold"), node, input=value)


def same(emission: Emission, expression: Expression) -> Value:
    """Return the value that a function leaves as it is."""
    arguments = expression.arguments or {}
    return emission.value(next(value for value in arguments.values() if isinstance(value, Expression)))


def rectify(emission: Emission, expression: Expression) -> Value:
    """`relu` of spikes."""
    value = same(emission, expression)
    if not value.spikes:
        raise emission.refuse(expression, "rectifies values that are not spikes; use a spiking neuron instead")
    return value
