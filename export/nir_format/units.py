"""One NIR node to the nodes of the graph that stand for it."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from hardware_profiles.config import from_mapping

from ..errors import NirFileError
from ..nodes import (
    Conv,
    Convolution,
    Float,
    Input,
    Linear,
    MatMul,
    Output,
    Pool,
    Product,
    Reshape,
    Scale,
    Shape,
    Threshold,
    WindowSum,
)
from ..passes.standardize_concatenation import Columns
from .folding import folded
from .neurons import Chain, Context, dynamic, neuron, snntorch, to_float
from .parse import Unit, text


def shape_of_parameters(unit: Unit) -> Shape | None:
    """Return the shape that a unit's parameters give it, or None for scalars and units without any."""
    node = unit.nir
    names = ("tau", "r", "v_threshold", "threshold", "tau_mem", "scale", "beta")
    shapes = [np.shape(getattr(node, name)) for name in names if np.size(getattr(node, name, 0)) > 1]
    return np.broadcast_shapes(*shapes) if shapes else None


def convert(unit: Unit, name: str, shape: Shape, context: Context) -> Chain:
    """Return the graph nodes of one unit that receives values of `shape`.

    Raises:
        NirFileError: parameters that the graph cannot carry.
    """
    node = unit.nir
    match unit.kind:
        case "Input":
            return [(name, _input(unit, name, shape))]
        case "Output":
            return _output(unit, name, shape)
        case "Linear" | "Affine" | "Conv1d" | "Conv2d":
            return _weighted(unit, name, shape, context)
        case "SumPool2d" | "AvgPool2d":
            return [(name, _pool(unit, shape))]
        case "Flatten":
            return [(name, Reshape(input_shape=shape, shape=_flattened(node, shape)))]
        case "Scale":
            return [(name, Scale(weight=to_float(context.broadcast(name, node.scale, shape)), shape=shape))]
        case "Threshold" if unit.membrane is None:
            return [(name, Threshold(threshold=to_float(context.broadcast(name, node.threshold, shape))))]
        case "Product" | "MatMul" | "WindowSum":
            return _graded(unit, name, shape)
        case "SnnTorchLeaky" | "SnnTorchSynaptic" | "SnnTorchAlpha":
            return [(name, snntorch(unit, name, shape, context))]
        case "DynamicThresholdLIF":
            return [(name, dynamic(unit, name, shape, context))]
        case _:
            return neuron(unit, name, shape, context)


def _graded(unit: Unit, name: str, shape: Shape) -> Chain:
    node = unit.nir
    if unit.kind == "Product":
        return [(name, Product(shape=shape))]
    if unit.kind == "WindowSum":
        return [(name, WindowSum(weight=to_float(np.atleast_1d(node.weight)), shape=shape))]
    product = MatMul(shape_a=_lengths(node.shape_a), shape_b=_lengths(node.shape_b))
    return [(name, product), (f"{name}.flat", Reshape(input_shape=product.shape, shape=(product.size,)))]


def _input(unit: Unit, name: str, shape: Shape) -> Input:
    kind = text(unit.nir.metadata.get("kind", "spike"))
    if kind not in ("spike", "graded"):
        raise NirFileError(f"node {name}: input kind '{kind}', allowed are spike, graded")
    return Input(shape=shape, kind="graded" if kind == "graded" else "spike", period=input_period(unit))


def input_period(unit: Unit) -> int:
    """Return how often the values of an Input come, in steps."""
    return int(np.asarray(unit.nir.metadata.get("period", 1)).item())


def _output(unit: Unit, name: str, shape: Shape) -> Chain:
    written = tuple(int(length) for length in unit.notes.get("shape", shape))
    if written == shape:
        return [(name, Output(shape=shape))]
    return [(f"{name}.shaped", Reshape(input_shape=shape, shape=written)), (name, Output(shape=written))]


def output_shape(unit: Unit, shape: Shape) -> Shape:
    """Return the shape that a unit sends when it receives `shape`."""
    node = unit.nir
    match unit.kind:
        case "Linear" | "Affine":
            return (int(np.shape(node.weight)[0]),)
        case "Conv1d" | "Conv2d":
            return _convolution(unit, shape).shape
        case "SumPool2d" | "AvgPool2d":
            return _pool(unit, shape).shape
        case "Flatten":
            return _flattened(node, shape)
        case "MatMul":
            return (MatMul(shape_a=_lengths(node.shape_a), shape_b=_lengths(node.shape_b)).size,)
        case _:
            return shape


def _weighted(unit: Unit, name: str, shape: Shape, context: Context) -> Chain:
    plain: Linear | Conv
    if unit.kind in ("Linear", "Affine"):
        weight = to_float(unit.nir.weight)
        if weight.ndim != 2:
            raise NirFileError(f"node {name}: a weight of shape {weight.shape}, allowed is [out, in]")
        plain = Linear(weight=weight, bias=to_float(unit.nir.bias) if unit.kind == "Affine" else None)
    else:
        plain = _convolution(unit, shape)
    if unit.notes.get("type") == "Columns":
        fields = {key: value for key, value in unit.notes.items() if key != "type"}
        context.columns[name] = from_mapping(Columns, fields, f"node {name}")
    if unit.notes.get("type") in (None, "Embedding", "Columns"):
        return [(name, plain)]
    node, embedding = folded(plain, unit.notes, name)
    if embedding is not None:
        context.embeddings[name] = embedding
        shape = embedding.geometry.input_shape
    chain: Chain = [(name, node)]
    (port,) = node.ports.values()
    if port != shape:
        chain.insert(0, (f"{name}.shaped", Reshape(input_shape=shape, shape=port)))
    if isinstance(plain, Linear) and len(node.shape) > 1:
        chain.append((f"{name}.flat", Reshape(input_shape=node.shape, shape=(node.size,))))
    return chain


def _pool(unit: Unit, shape: Shape) -> Pool:
    kernel, stride, padding = (_pair(getattr(unit.nir, key), 2) for key in ("kernel_size", "stride", "padding"))
    kind: Any = "sum" if unit.kind == "SumPool2d" else "average"
    return Pool(input_shape=shape, kernel=kernel, stride=stride, padding=padding, kind=kind)


def _convolution(unit: Unit, shape: Shape) -> Conv:
    node, num_axes = unit.nir, 1 if unit.kind == "Conv1d" else 2
    weight = to_float(node.weight)
    if weight.ndim != num_axes + 2 or len(shape) != num_axes + 1:
        raise ValueError(f"{unit.kind} with a weight of shape {weight.shape} on an input of shape {shape}")
    stride, dilation = _pair(node.stride, num_axes), _pair(node.dilation, num_axes)
    padding_given = node.padding
    if isinstance(padding_given, (str, bytes)):
        weight, dilation, padding = _padded(weight, dilation, text(padding_given))
    else:
        padding = _pair(padding_given, num_axes)
    geometry = Convolution(
        input_shape=shape, stride=stride, padding=padding, dilation=dilation, groups=int(np.asarray(node.groups).item())
    )
    bias = to_float(node.bias) if node.bias is not None and unit.notes.get("bias", True) else None
    return Conv(weight=weight, bias=bias, geometry=geometry)


def _padded(weight: Float, dilation: Shape, padding: str) -> tuple[Float, Shape, Shape]:
    """Resolve padding "same" and "valid"; where "same" needs one zero more at the end, the kernel gets it in front."""
    num_axes = len(dilation)
    if padding == "valid":
        return weight, dilation, (0,) * num_axes
    if padding != "same":
        raise ValueError(f"padding {padding!r}, allowed are numbers, same, valid")
    spans = [step * (length - 1) for step, length in zip(dilation, weight.shape[2:], strict=True)]
    if all(span % 2 == 0 for span in spans):
        return weight, dilation, tuple(span // 2 for span in spans)
    if max(spans) > 4096:
        raise ValueError(f"a kernel that spans {max(spans)} pixels")
    sides = [span + 1 + span % 2 for span in spans]
    full = np.zeros((*weight.shape[:2], *sides), dtype=np.float32)
    at = [
        span % 2 + step * np.arange(length)
        for span, step, length in zip(spans, dilation, weight.shape[2:], strict=True)
    ]
    full[(slice(None), slice(None), *np.ix_(*at))] = weight
    return full, (1,) * num_axes, tuple(side // 2 for side in sides)


def _flattened(node: Any, shape: Shape) -> Shape:
    start, end = int(np.asarray(node.start_dim).item()), int(np.asarray(node.end_dim).item())
    first, last = start % max(len(shape), 1), end % max(len(shape), 1)
    if not (-len(shape) <= start < len(shape) and -len(shape) <= end < len(shape) and first <= last):
        raise ValueError(f"Flatten from axis {start} to {end} of an input of shape {shape}")
    return (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])


def _pair(value: Any, num_axes: int) -> Shape:
    numbers = tuple(int(number) for number in np.ravel(np.asarray(value)))
    numbers = numbers * num_axes if len(numbers) == 1 else numbers
    if len(numbers) != num_axes or not all(0 <= number < 1 << 31 for number in numbers):
        raise ValueError(f"{value} for {num_axes} axes")
    return numbers


def _lengths(values: Any) -> Shape:
    lengths = tuple(int(length) for length in np.ravel(values))
    if not all(0 < length < 1 << 31 for length in lengths) or len(lengths) > 8:
        raise ValueError(f"shape {lengths}")
    return lengths
