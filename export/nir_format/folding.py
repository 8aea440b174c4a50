"""From the arrays of a NIR file back to the node that they were written from, if writing it gives the same arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from math import prod
from typing import Any

import numpy as np

from ..errors import NirFileError
from ..nodes import Conv, Convolution, Float, Gather, Linear, Node, Pool, Reduce, Shape
from ..trace import Array
from .forms import dense_form, gather_of, pool_as_conv, shift_form, square_form

FREE_SIZE = 1 << 16
"""Weights that a note may claim in any case; more only if the file has as many."""
MAX_LENGTH = 1 << 31
"""Longest axis that a note may name."""


def folded(plain: Linear | Conv, fields: Mapping[str, Any], name: str) -> tuple[Node, Conv | None]:
    """Return (node, the embedding that must stand before it or None).

    Args:
        plain: what stands in the file.
        fields: what the node was, see `nir_format.forms.node_fields`.
        name: for messages.

    Raises:
        NirFileError: fields and arrays contradict each other.
    """
    node = _template(plain, fields)
    if not isinstance(node, Gather) and isinstance(plain, Linear):
        _check(prod(node.ports["input"]) * node.size == plain.weight.size, name)
    if isinstance(node, (Linear, Conv)):
        node = _with_arrays(node, plain, name, has_bias=bool(fields["bias"]))
    form, embedding = _form(node, isinstance(plain, Linear), name)
    _check(_same(form.weight, plain.weight), name)
    if isinstance(form, Conv) and isinstance(plain, Conv):
        _check(astuple(form.geometry) == astuple(plain.geometry), name)
    return node, embedding


def _form(node: Node, dense: bool, name: str) -> tuple[Linear | Conv, Conv | None]:
    if dense:
        weight, bias = dense_form(node, name)
        return Linear(weight=weight, bias=bias), None
    if isinstance(node, Gather):
        parts = shift_form(node) or []
        _check(len(parts) == 1, name)
        return parts[0], None
    embedding, square = square_form(pool_as_conv(node) if isinstance(node, Pool) else _as_conv(node, name))
    return square, embedding


def _as_conv(node: Node, name: str) -> Conv:
    _check(isinstance(node, Conv), name)
    assert isinstance(node, Conv)
    return node


def _template(plain: Linear | Conv, fields: Mapping[str, Any]) -> Node:
    """Build the node; instead of its weights it has their numbers, from 1 on."""
    kind = fields["type"]
    if kind == "Gather":
        return _gather(plain, _ints(fields["input_shape"]), _ints(fields["shape"]))
    if kind == "Reduce":
        return Reduce(input_shape=_ints(fields["input_shape"]), axes=_ints(fields["axes"]))
    if kind == "Pool":
        kernel, stride, padding = (_ints(fields[key]) for key in ("kernel", "stride", "padding"))
        input_shape = _ints(fields["input_shape"])
        how: Any = fields["kind"]
        return Pool(input_shape=input_shape, kernel=kernel, stride=stride, padding=padding, kind=how)
    shape = _ints(fields["weight_shape"])
    if prod(shape) > max(plain.weight.size, FREE_SIZE):
        raise ValueError(f"weight of shape {shape}")
    numbers = np.arange(1, prod(shape) + 1, dtype=np.float64).reshape(shape)
    weight: Any = numbers
    if kind == "Linear":
        return Linear(weight=weight, positions=_ints(fields["positions"]))
    if kind != "Conv":
        raise ValueError(f"type {kind}")
    stride, padding, dilation = (_ints(fields[key]) for key in ("stride", "padding", "dilation"))
    (groups,) = _ints([fields["groups"]])
    geometry = Convolution(
        input_shape=_ints(fields["input_shape"]), stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    return Conv(weight=weight, geometry=geometry)


def _gather(plain: Linear | Conv, input_shape: Shape, shape: Shape) -> Gather:
    if isinstance(plain, Conv):
        return gather_of(plain)
    if (prod(shape), prod(input_shape)) != plain.weight.shape:
        raise ValueError(f"shapes {input_shape} and {shape}")
    index = np.full(prod(shape), -1, dtype=np.int64)
    row, column = np.nonzero(plain.weight)
    index[row] = column
    return Gather(index=index.reshape(shape), input_shape=input_shape)


def _with_arrays(node: Linear | Conv, plain: Linear | Conv, name: str, *, has_bias: bool) -> Linear | Conv:
    """Find each weight where its number stands in the form."""
    numbers = _form(node, isinstance(plain, Linear), name)[0].weight
    _check(numbers.shape == plain.weight.shape, name)
    place = np.full(node.weight.size + 1, -1, dtype=np.int64)
    place[numbers.ravel().astype(np.int64)[::-1]] = np.arange(numbers.size)[::-1]
    found = place[1:]  # −1: a weight that only ever meets padding, and may be 0
    weight: Float = np.where(found >= 0, plain.weight.ravel()[found], np.float32(0)).reshape(node.weight.shape)
    if not has_bias:
        _check(plain.bias is None or not plain.bias.any(), name)
        return replace(node, weight=weight, bias=None)
    _check(plain.bias is not None, name)
    assert plain.bias is not None
    copies = plain.bias.size // len(weight)
    bias = plain.bias[::copies] if isinstance(node, Conv) else plain.bias[: len(weight)]
    tiled = np.repeat(bias, copies) if isinstance(node, Conv) else np.tile(bias, copies)
    _check(_same(tiled, plain.bias), name)
    return replace(node, weight=weight, bias=bias)


def _ints(values: Any) -> Shape:
    numbers = tuple(values)
    if not all(type(number) is int and 0 <= number < MAX_LENGTH for number in numbers) or len(numbers) > 8:
        raise ValueError(f"lengths {values}")
    return numbers


def _same(left: Array, right: Array) -> bool:
    return left.shape == right.shape and bool((left == right).all())


def _check(condition: bool, name: str) -> None:
    if not condition:
        raise NirFileError(f"node {name}: its notes contradict its arrays; write the file again")
