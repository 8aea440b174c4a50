"""What a step computes, as expressions over the inputs and the spikes of this and earlier steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .tape import Operation


@dataclass(frozen=True, eq=False)
class Expression:
    """A value within one step; equal expressions are one object.

    Attributes:
        kind: `input`, `spikes`, `zeros`, `constant`, `module` or `function`.
        name: input name, layer name, or the operation's name.
        delay: for inputs and spikes, how many steps old they are.
        operation: what computes it, for modules and functions.
        item: which element of what the operation returns.
        arguments: the operation's arguments with expressions in place of references.
        shape: per sample.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    delay: int = 0
    operation: Operation | None = None
    item: int | None = None
    arguments: Mapping[str, Any] | None = None
    attributes: Mapping[str, Expression] | None = None
    constant: torch.Tensor | None = None


def module_id(expression: Expression) -> int:
    """Return the identity of the module called, 0 for functions."""
    return 0 if expression.operation is None else id(expression.operation.module)


def at_rest(expression: Any, like: torch.Tensor) -> Any:
    """Evaluate an expression with zeros for all inputs and spikes."""
    if isinstance(expression, tuple):
        return tuple(at_rest(part, like) for part in expression)
    if not isinstance(expression, Expression):
        return expression
    if expression.constant is not None:
        return expression.constant
    if expression.kind in ("input", "spikes"):
        return torch.zeros(len(like), *expression.shape)
    assert expression.operation is not None and expression.arguments is not None
    arguments = {key: at_rest(value, like) for key, value in expression.arguments.items()}
    if expression.operation.module is not None:
        return expression.operation.module(**arguments)
    positional = [arguments[key] for key in arguments if key.isdigit()]
    named = {key: value for key, value in arguments.items() if not key.isdigit()}
    return expression.operation.function(*positional, **named)


def key_of(expression: Expression) -> Any:
    """Return what two equal expressions have in common."""
    constant = None if expression.constant is None else _digest(expression.constant)
    return (
        expression.kind,
        expression.name,
        expression.shape,
        expression.delay,
        expression.item,
        module_id(expression),
        _argument_key(expression.arguments or {}),
        _argument_key(expression.attributes or {}),
        constant,
    )


def _argument_key(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _argument_key(part)) for key, part in value.items())
    if isinstance(value, (tuple, list)):
        return tuple(_argument_key(part) for part in value)
    if isinstance(value, Expression):
        return id(value)
    return repr(value)


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(
        tensor.contiguous().numpy().tobytes() + str((tensor.shape, tensor.dtype)).encode()
    ).hexdigest()
