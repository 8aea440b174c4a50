"""What the functions between layers become: one small emitter per function, in one table."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..nodes import Float, Linear, MatMul, Product, Reduce, Scale, Shape, Threshold
from .emission import Emission, Emitter, Value
from .unrolled import Expression

AND_THRESHOLD, OR_THRESHOLD = 1.5, 0.5
BATCH = 2
"""Samples in the traced batch: two, so that moving the batch axis shows."""


def _operands(expression: Expression) -> tuple[Any, Any]:
    arguments = expression.arguments or {}
    return arguments.get("0"), arguments.get("1", arguments.get("other"))


def _constant(operand: Any) -> Float | None:
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


def _spread(emission: Emission, value: Value, shape: Shape, name: str) -> Value:
    """Repeat a value to a larger shape by torch's broadcasting."""
    if value.shape == shape:
        return value
    index = np.arange(prod(value.shape)).reshape(value.shape)
    return emission.moved(value, np.broadcast_to(index, shape), name)


def _pair(emission: Emission, expression: Expression) -> tuple[Value, Value]:
    """Return both operands as signals of the result's shape."""
    a, b = (emission.value(operand) for operand in _operands(expression))
    return _spread(emission, a, expression.shape, "expand"), _spread(emission, b, expression.shape, "expand")


def _add(emission: Emission, expression: Expression, sign: int = 1) -> Value:
    a, b = _operands(expression)
    if (expression.arguments or {}).get("alpha", 1) != 1:
        raise emission.refuse(expression, "alpha must be 1; multiply the operand instead")
    for signal, constant, first in ((a, _constant(b), 1), (b, _constant(a), sign)):
        if constant is not None and isinstance(signal, Expression):
            value = _spread(emission, emission.value(signal), expression.shape, "expand")
            added = _per_sample(constant, expression.shape, emission, expression)
            return _shifted(emission, value, added if signal is b else sign * added, first)
    left, right = _pair(emission, expression)
    right = right if sign == 1 else _times(emission, right, np.float32(-1))
    offsets = [value.offset for value in (left, right) if value.offset is not None]
    return Value(left.terms + right.terms, expression.shape, offset=sum(offsets[1:], offsets[0]) if offsets else None)


def _shifted(emission: Emission, value: Value, constant: Float, sign: int) -> Value:
    """Sign · value + constant."""
    signed = value if sign == 1 else _times(emission, value, np.float32(-1))
    if not constant.any():
        return replace(signed, offset=signed.offset, spikes=value.spikes and sign == 1)
    offset = constant if signed.offset is None else signed.offset + constant
    inverted = value if sign == -1 and value.spikes and bool((constant == 1).all()) else None
    return replace(signed, offset=offset, spikes=False, inverse=inverted)


def _subtract(emission: Emission, expression: Expression) -> Value:
    return _add(emission, expression, sign=-1)


def _reverse_subtract(emission: Emission, expression: Expression) -> Value:
    a, b = _operands(expression)
    return _add(emission, replace(expression, arguments={"0": b, "1": a}), sign=-1)


def _times(emission: Emission, value: Value, factor: npt.NDArray[np.float32] | np.float32) -> Value:
    factor = np.asarray(factor, dtype=np.float32)
    if (factor == 1).all():
        return value
    node = Scale(weight=factor, shape=value.shape)
    offset = None if value.offset is None else value.offset * factor
    scaled = emission.add_node(emission.numbered("scale"), node, input=replace(value, offset=None, inverse=None))
    return replace(scaled, offset=offset)


def _negate(emission: Emission, expression: Expression) -> Value:
    return _times(emission, emission.value(_operands(expression)[0]), np.float32(-1))


def _divide(emission: Emission, expression: Expression) -> Value:
    a, b = _operands(expression)
    divisor = _constant(b)
    if divisor is None or not divisor.all():
        raise emission.refuse(expression, "divides by a signal or by zero, allowed is a constant")
    value = _spread(emission, emission.value(a), expression.shape, "expand")
    return _times(emission, value, 1 / _per_sample(divisor, expression.shape, emission, expression))


def _multiply(emission: Emission, expression: Expression) -> Value:
    a, b = _operands(expression)
    for signal, constant in ((a, _constant(b)), (b, _constant(a))):
        if constant is not None and isinstance(signal, Expression):
            value = _spread(emission, emission.value(signal), expression.shape, "expand")
            return _times(emission, value, _per_sample(constant, expression.shape, emission, expression))
    left, right = _pair(emission, expression)
    for value, other in ((left, right), (right, left)):
        if value.inverse is not None and other.spikes:  # b AND NOT a
            against = _times(emission, value.inverse, np.float32(-1))
            return _gate(emission, expression, Value(other.terms + against.terms, expression.shape), OR_THRESHOLD)
    if left.spikes and right.spikes:
        return _gate(emission, expression, Value(left.terms + right.terms, expression.shape), AND_THRESHOLD)
    left, right = emission.biased(left, expression.name), emission.biased(right, expression.name)
    return emission.add_node(emission.numbered("product"), Product(shape=expression.shape), a=left, b=right)


def _gate(emission: Emission, expression: Expression, total: Value, threshold: float) -> Value:
    node = Threshold(threshold=np.full(expression.shape, threshold, dtype=np.float32))
    return emission.add_node(emission.numbered(expression.name), node, input=total)


def _maximum(emission: Emission, expression: Expression) -> Value:
    left, right = _pair(emission, expression)
    if not (left.spikes and right.spikes):
        raise emission.refuse(expression, "takes the larger of values that are not spikes, allowed are spikes (OR)")
    return _gate(emission, expression, Value(left.terms + right.terms, expression.shape), OR_THRESHOLD)


def _greater(emission: Emission, expression: Expression) -> Value:
    a, b = _operands(expression)
    threshold = _constant(b)
    if threshold is None:
        raise emission.refuse(expression, "compares with a signal, allowed is a constant threshold")
    value = emission.value(a)
    theta = np.broadcast_to(_per_sample(threshold, value.shape, emission, expression), value.shape)
    if value.offset is not None:
        theta = theta - value.offset
    node = Threshold(threshold=np.ascontiguousarray(theta, dtype=np.float32))
    return emission.add_node(emission.numbered("threshold"), node, input=replace(value, offset=None))


def _matmul(emission: Emission, expression: Expression) -> Value:
    a, b = _operands(expression)
    weight = _constant(b)
    if weight is not None and weight.ndim == 2:
        return _weighted(emission, expression, emission.value(a), weight.T)
    if weight is not None or _constant(a) is not None:
        raise emission.refuse(expression, "multiplies a signal by a constant from the left; use nn.Linear")
    left, right = (emission.biased(emission.value(operand), expression.name) for operand in (a, b))
    node = MatMul(shape_a=left.shape, shape_b=right.shape)
    if node.shape != expression.shape or len(left.shape) != len(right.shape) or left.shape[:-2] != right.shape[:-2]:
        raise emission.refuse(expression, f"multiplies {left.shape} by {right.shape}; give both the same leading axes")
    return emission.add_node(emission.numbered("matmul"), node, a=left, b=right)


def _linear(emission: Emission, expression: Expression) -> Value:
    arguments = expression.arguments or {}
    weight, bias = (_constant(arguments.get(k, arguments.get(n))) for k, n in (("1", "weight"), ("2", "bias")))
    signal = emission.value(arguments.get("0", arguments.get("input")))
    if weight is None:
        raise emission.refuse(expression, "its weight depends on the input, allowed is a constant")
    return _weighted(emission, expression, signal, weight, None if bias is None or bias.dtype == object else bias)


def _weighted(
    emission: Emission, expression: Expression, value: Value, weight: Float, bias: Float | None = None
) -> Value:
    if bias is not None and bias.ndim != 1:
        bias = None
    node = Linear(weight=np.ascontiguousarray(weight), bias=bias, positions=value.shape[:-1])
    return emission.add_node(emission.numbered(expression.name), node, input=value)


def _reduce(emission: Emission, expression: Expression, mean: bool = False) -> Value:
    arguments = expression.arguments or {}
    value = emission.value(arguments["0"])
    dim = arguments.get("1", arguments.get("dim", arguments.get("axis")))
    dims = tuple(range(len(value.shape) + 1)) if dim is None else (dim if isinstance(dim, tuple) else (dim,))
    axes = tuple(sorted(axis % (len(value.shape) + 1) - 1 for axis in dims))
    if -1 in axes:
        raise emission.refuse(expression, "reduces over the batch axis, allowed are the others")
    node = Reduce(input_shape=value.shape, axes=axes)
    result = emission.add_node(emission.numbered(expression.name), node, input=value)
    if mean:
        result = _times(emission, result, np.float32(1 / node.num_terms))
    return emission.moved(result, np.arange(prod(result.shape)).reshape(expression.shape), "reshape")


def _mean(emission: Emission, expression: Expression) -> Value:
    return _reduce(emission, expression, mean=True)


def _concatenate(emission: Emission, expression: Expression) -> Value:
    """Each part is moved to its place among zeros; their sum is the whole."""
    arguments = expression.arguments or {}
    parts = arguments["0"]
    dim = arguments.get("1", arguments.get("dim", 0)) % (len(expression.shape) + 1)
    if dim == 0:
        raise emission.refuse(expression, "joins along the batch axis, allowed are the others")
    if expression.name == "stack":
        parts = [(part, (*part.shape[: dim - 1], 1, *part.shape[dim - 1 :])) for part in parts]
    else:
        parts = [(part, part.shape) for part in parts]
    terms: list[Value] = []
    start = 0
    for part, shape in parts:
        index = np.full(expression.shape, -1, dtype=np.int64)
        place = (slice(None),) * (dim - 1) + (slice(start, start + shape[dim - 1]),)
        index[place] = np.arange(prod(shape)).reshape(shape)
        start += shape[dim - 1]
        if part.kind != "zeros":
            terms.append(emission.moved(emission.value(part), index, expression.name))
    offsets = [term.offset for term in terms if term.offset is not None]
    return Value(
        tuple(term for value in terms for term in value.terms),
        expression.shape,
        spikes=all(value.spikes for value in terms),
        offset=sum(offsets[1:], offsets[0]) if offsets else None,
    )


def _move(emission: Emission, expression: Expression) -> Value:
    """Any function that only moves values: find out where to by moving their numbers."""
    arguments = expression.arguments or {}
    source = next(value for value in arguments.values() if isinstance(value, Expression))
    size = prod(source.shape)
    numbers = torch.arange(1, BATCH * size + 1, dtype=torch.float64).reshape(BATCH, *source.shape)

    def numbered(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(numbered(part) for part in value)
        if not isinstance(value, Expression):
            return value
        return numbers if value is source else torch.zeros(BATCH, *value.shape)

    assert expression.operation is not None
    positional = [numbered(value) for key, value in arguments.items() if key.isdigit()]
    named = {key: numbered(value) for key, value in arguments.items() if not key.isdigit()}
    moved = expression.operation.function(*positional, **named)
    if isinstance(moved, (tuple, list)):
        moved = moved[expression.item or 0]
    index = moved.numpy().astype(np.int64) - 1
    per_sample = index[0]
    keeps_batch = len(index) == BATCH and np.array_equal(
        np.where(per_sample < 0, -1, per_sample + size), index[1] if len(index) > 1 else index[0]
    )
    if not keeps_batch or per_sample.max(initial=-1) >= size:
        raise emission.refuse(expression, "moves values between samples; keep the batch axis first and whole")
    return emission.moved(emission.value(source), per_sample, expression.name)


def _same(emission: Emission, expression: Expression) -> Value:
    arguments = expression.arguments or {}
    return emission.value(next(value for value in arguments.values() if isinstance(value, Expression)))


def _convert(emission: Emission, expression: Expression) -> Value:
    arguments = expression.arguments or {}
    if any(isinstance(value, torch.dtype) and value != torch.float32 for value in arguments.values()):
        raise emission.refuse(expression, "converts to another type, allowed is float32")
    return _same(emission, expression)


def _dropout(emission: Emission, expression: Expression) -> Value:
    arguments = expression.arguments or {}
    if arguments.get("training", arguments.get("2", True)):
        raise emission.refuse(expression, "drops values also in eval mode; pass training=self.training")
    return _same(emission, expression)


def _rectify(emission: Emission, expression: Expression) -> Value:
    value = _same(emission, expression)
    if not value.spikes:
        raise emission.refuse(expression, "rectifies values that are not spikes; use a spiking neuron instead")
    return value


MOVES = (
    "reshape", "view", "flatten", "unflatten", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis",
    "squeeze", "unsqueeze", "expand", "expand_as", "view_as", "reshape_as", "repeat", "repeat_interleave", "tile",
    "narrow", "select", "getitem", "chunk", "split", "tensor_split", "unbind", "roll", "flip", "T", "mT", "t", "pad",
    "broadcast_to",
)  # fmt: skip
EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(("contiguous", "clone", "detach", "requires_grad_", "cpu", "data"), _same),
    **dict.fromkeys(("to", "float", "type", "type_as"), _convert),
    **dict.fromkeys(("mul", "multiply", "logical_and"), _multiply),
    **dict.fromkeys(("div", "divide", "true_divide", "truediv"), _divide),
    **dict.fromkeys(("matmul", "bmm", "mm"), _matmul),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), _concatenate),
    **dict.fromkeys(("maximum", "logical_or"), _maximum),
    **dict.fromkeys(("gt", "greater"), _greater),
    **dict.fromkeys(("neg", "negative"), _negate),
    "add": _add,
    "sub": _subtract,
    "subtract": _subtract,
    "rsub": _reverse_subtract,
    "sum": _reduce,
    "mean": _mean,
    "linear": _linear,
    "dropout": _dropout,
    "relu": _rectify,
}
