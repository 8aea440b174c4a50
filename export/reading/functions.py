"""What the functions between layers become: one small emitter per function, in one table."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch

from ..nodes import Float, Linear, MatMul, Reduce
from .arithmetic import (
    add,
    constant_of,
    divide,
    emit_and,
    emit_not,
    greater,
    is_power_of_two,
    maximum,
    multiply,
    negate,
    operands,
    rectify,
    reverse_subtract,
    same,
    subtract,
    times,
    to_bool,
)
from .emission import Emission, Emitter, Value
from .expressions import Expression

BATCH = 2
"""Samples in the traced batch: two, so that moving the batch axis shows."""


def _matmul(emission: Emission, expression: Expression) -> Value:
    a, b = operands(expression)
    weight = constant_of(b)
    if weight is not None and weight.ndim == 2:
        return _weighted(emission, expression, emission.value(a), weight.T)
    if weight is not None or constant_of(a) is not None:
        raise emission.refuse(expression, "multiplies a signal by a constant from the left; use nn.Linear")
    left, right = (emission.biased(emission.value(operand), expression.name) for operand in (a, b))
    node = MatMul(shape_a=left.shape, shape_b=right.shape)
    if node.shape != expression.shape or len(left.shape) != len(right.shape) or left.shape[:-2] != right.shape[:-2]:
        raise emission.refuse(expression, f"multiplies {left.shape} by {right.shape}; give both the same leading axes")
    return emission.add_node(emission.numbered("matmul"), node, a=left, b=right)


def _linear(emission: Emission, expression: Expression) -> Value:
    arguments = expression.arguments or {}
    weight, bias = (constant_of(arguments.get(k, arguments.get(n))) for k, n in (("1", "weight"), ("2", "bias")))
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
    if mean and not is_power_of_two(np.float32(node.num_terms)):
        raise emission.refuse(
            expression,
            f"divides by {node.num_terms}, which rounds unlike any product; write x.sum(…) * (1 / n), or pool",
        )
    if mean:
        result = times(emission, result, np.float32(1 / node.num_terms))
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
    size, batch = prod(source.shape), emission.unrolled.batch
    numbers = torch.arange(1, batch * size + 1, dtype=torch.float64).reshape(batch, *source.shape)

    def moved_by(factor: int) -> torch.Tensor:
        def numbered(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(numbered(part) for part in value)
            if not isinstance(value, Expression) or value.constant is not None:
                return value.constant if isinstance(value, Expression) else value
            return factor * numbers if value is source else torch.zeros(batch, *value.shape)

        assert expression.operation is not None
        positional = [numbered(value) for key, value in arguments.items() if key.isdigit()]
        named = {key: numbered(value) for key, value in arguments.items() if not key.isdigit()}
        result = expression.operation.function(*positional, **named)
        moved: torch.Tensor = result[expression.item or 0] if isinstance(result, (tuple, list)) else result
        return moved

    try:
        moved = moved_by(1)
        only_moves = torch.equal(moved_by(2), 2 * moved)
    except IndexError:
        raise emission.refuse(expression, "takes its places from a signal, allowed are constant places") from None
    if not only_moves:
        raise emission.refuse(expression, "puts in values other than zero, allowed are zeros; add a constant instead")
    index = moved.numpy().astype(np.int64) - 1
    per_sample = index[0]
    keeps_batch = len(index) == batch and np.array_equal(
        np.where(per_sample < 0, -1, per_sample + size), index[1] if len(index) > 1 else index[0]
    )
    if not keeps_batch or per_sample.max(initial=-1) >= size:
        raise emission.refuse(expression, "moves values between samples; keep the batch axis first and whole")
    return emission.moved(emission.value(source), per_sample, expression.name)


def _convert(emission: Emission, expression: Expression) -> Value:
    arguments = expression.arguments or {}
    if any(isinstance(value, torch.dtype) and value != torch.float32 for value in arguments.values()):
        raise emission.refuse(expression, "converts to another type, allowed is float32")
    return same(emission, expression)


def _dropout(emission: Emission, expression: Expression) -> Value:
    arguments = expression.arguments or {}
    if arguments.get("training", arguments.get("2", True)):
        raise emission.refuse(expression, "drops values also in eval mode; pass training=self.training")
    return same(emission, expression)


MOVES = (
    "reshape", "view", "flatten", "unflatten", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis",
    "squeeze", "unsqueeze", "expand", "expand_as", "view_as", "reshape_as", "repeat", "repeat_interleave", "tile",
    "narrow", "select", "getitem", "chunk", "split", "tensor_split", "unbind", "roll", "flip", "T", "mT", "t", "pad",
    "broadcast_to", "index_select",
)  # fmt: skip
EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(("contiguous", "clone", "detach", "requires_grad_", "cpu", "data"), same),
    **dict.fromkeys(("to", "float", "type", "type_as"), _convert),
    **dict.fromkeys(("mul", "multiply"), multiply),
    **dict.fromkeys(("logical_and", "bitwise_and", "and"), emit_and),
    **dict.fromkeys(("logical_not", "bitwise_not", "invert"), emit_not),
    "bool": to_bool,
    **dict.fromkeys(("div", "divide", "true_divide", "truediv"), divide),
    **dict.fromkeys(("matmul", "bmm", "mm"), _matmul),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), _concatenate),
    **dict.fromkeys(("maximum", "logical_or", "bitwise_or", "or"), maximum),
    **dict.fromkeys(("gt", "greater"), greater),
    **dict.fromkeys(("neg", "negative"), negate),
    "add": add,
    "sub": subtract,
    "subtract": subtract,
    "rsub": reverse_subtract,
    "sum": _reduce,
    "mean": _mean,
    "linear": _linear,
    "dropout": _dropout,
    "relu": rectify,
}
