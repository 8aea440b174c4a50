"""One step of the nodes without memory, as ONNX operations on `[B, *shape]`; neurons are in `onnx_neurons`."""

from __future__ import annotations

from functools import singledispatch
from math import prod

import numpy as np

from ..nodes import Conv, Gather, Linear, MatMul, Norm, Output, Pool, Product, Reduce, Reshape, Scale
from .body import ScanBody

Ports = dict[str, str]
"""Port to the name of the value that arrives there; ports at which nothing arrives are absent."""


@singledispatch
def write_step(node: object, body: ScanBody, ports: Ports) -> str:
    """Append a node's operations.

    Args:
        node: float dialect.
        body: what is being written.
        ports: what arrives.

    Returns:
        Name of what the node sends.
    """
    raise AssertionError(f"no ONNX step for {type(node).__name__}")


@write_step.register
def _(node: Output, body: ScanBody, ports: Ports) -> str:
    return ports["input"]


@write_step.register
def _(node: Linear, body: ScanBody, ports: Ports) -> str:
    weight = body.constant(np.ascontiguousarray(node.weight.T), "weight")
    current = body.add("MatMul", ports["input"], weight)
    return current if node.bias is None else body.add("Add", current, body.constant(node.bias, "bias"))


@write_step.register
def _(node: Conv, body: ScanBody, ports: Ports) -> str:
    arrays = [body.constant(node.weight, "weight")]
    if node.bias is not None:
        arrays.append(body.constant(node.bias, "bias"))
    geometry = node.geometry
    return body.add(
        "Conv",
        ports["input"],
        *arrays,
        strides=geometry.stride,
        pads=(*geometry.padding, *geometry.padding),
        dilations=geometry.dilation,
        group=geometry.groups,
    )


@write_step.register
def _(node: Scale, body: ScanBody, ports: Ports) -> str:
    return body.add("Mul", ports["input"], body.constant(node.weight, "weight"))


@write_step.register
def _(node: Norm, body: ScanBody, ports: Ports) -> str:
    per_channel = (-1, *(1,) * (len(node.shape) - 1))
    scaled = body.add("Mul", ports["input"], body.constant(node.factor.reshape(per_channel), "factor"))
    return body.add("Add", scaled, body.constant(node.offset.reshape(per_channel), "offset"))


@write_step.register
def _(node: Pool, body: ScanBody, ports: Ports) -> str:
    """Add with weights of one: an average times the area would not be the sum again."""
    channels = node.input_shape[0]
    ones = body.constant(np.ones((channels, 1, *node.kernel), dtype=np.float32), "ones")
    total = body.add(
        "Conv", ports["input"], ones, strides=node.stride, pads=(*node.padding, *node.padding), group=channels
    )
    if node.kind == "sum":
        return total
    return body.add("Div", total, body.constant(np.float32(prod(node.kernel)), "area"))


@write_step.register
def _(node: Gather, body: ScanBody, ports: Ports) -> str:
    flat = body.reshape(ports["input"], -1)
    if (node.index < 0).any():  # index −1 reads the zero behind the last value
        flat = body.add("Pad", flat, body.constant(np.array([0, 0, 0, 1], dtype=np.int64), "pads"))
    size = prod(node.input_shape)
    index = body.constant(np.where(node.index < 0, size, node.index).astype(np.int64), "index")
    return body.add("Gather", flat, index, axis=1)


@write_step.register
def _(node: Reshape, body: ScanBody, ports: Ports) -> str:
    return body.reshape(ports["input"], *node.shape)


@write_step.register
def _(node: Reduce, body: ScanBody, ports: Ports) -> str:
    axes = body.constant(np.array([axis + 1 for axis in node.axes], dtype=np.int64), "axes")
    return body.add("ReduceSum", ports["input"], axes, keepdims=0)


@write_step.register
def _(node: Product, body: ScanBody, ports: Ports) -> str:
    return body.add("Mul", ports["a"], ports["b"])


@write_step.register
def _(node: MatMul, body: ScanBody, ports: Ports) -> str:
    return body.add("MatMul", ports["a"], ports["b"])
