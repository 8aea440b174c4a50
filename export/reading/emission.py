"""From the expressions of one step to graph nodes and edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UnsupportedModuleError
from ..graph import Edge
from ..nodes import DYNAMIC, Conv, Convolution, Float, Gather, Input, Linear, Node, Reshape, Scale, Shape, Threshold
from ..registry import IGNORED, ModuleCall, PassThrough, Reading, read_module
from .expressions import Expression
from .unrolled import Unrolled

GAIN_SUFFIX = ".gain"
"""Ends the name of the node that makes a neuron's spikes graded."""
MAX_IDENTITY = 4096
"""A constant that a network adds becomes the bias of an identity layer; dense ones up to this size."""


@dataclass(frozen=True, eq=False)
class Value:
    """A signal while the graph is built: the sum of what some nodes send, plus a constant.

    Attributes:
        terms: (node, delay in steps), summed from left to right.
        shape: per sample.
        spikes: all values are 0 or 1.
        offset: constant of `shape` that is added, or None.
        inverse: the spikes of which this is the inverse, 1 − s.
    """

    terms: tuple[tuple[str, int], ...]
    shape: Shape
    spikes: bool = False
    offset: Float | None = None
    inverse: Value | None = None


Emitter = Callable[["Emission", Expression], Value]


@dataclass
class Emission:
    """Nodes and edges made so far, and what each expression became.

    Attributes:
        unrolled: the network's steps.
        inputs: what is known of the inputs.
        functions: what each function between layers becomes.
    """

    unrolled: Unrolled
    inputs: Mapping[str, Input]
    functions: Mapping[str, Emitter]
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    layers: dict[str, Value] = field(default_factory=dict)
    values: dict[int, Value] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def emit_layers(self) -> None:
        """Emit every neuron layer with all that drives it."""
        for layer, indices in self.unrolled.layers.items():
            operation = self.unrolled.tape.operations[indices[-1]]
            # spikes may be used before their layer is emitted: in loops, and by earlier layers
            self.layers[layer] = Value(((layer, 0),), operation.shape[1:], spikes=True)
            gain = getattr(operation.module, "graded_spikes_factor", None)
            if gain is not None and bool((gain != 1).any()):
                self.layers[layer] = Value(((f"{layer}{GAIN_SUFFIX}", 0),), operation.shape[1:])
        for layer in self.unrolled.layers:
            self._emit_call(self.unrolled.layer_input(layer), layer)

    def value(self, expression: Expression) -> Value:
        """Return what an expression is in the graph, emitting it if need be."""
        if id(expression) not in self.values:
            self.values[id(expression)] = self._emit(expression)
        return self.values[id(expression)]

    def _emit(self, expression: Expression) -> Value:
        if expression.kind == "input":
            return self._input(expression)
        if expression.kind == "spikes":
            value = self.layers[expression.name]
            return replace(value, terms=tuple((node, delay + expression.delay) for node, delay in value.terms))
        if expression.constant is not None:
            raise UnsupportedModuleError(
                f"constant of shape {expression.shape}: enters a layer by itself, allowed are values that depend on "
                "the input; only zero initial membranes may enter forward as constants"
            )
        if expression.kind == "module":
            return self._emit_call(expression, None)
        emitter = self.functions.get(expression.name)
        if emitter is None:
            supported = ", ".join(sorted(self.functions))
            raise self.refuse(expression, f"cannot be exported between layers; supported are {supported}")
        return emitter(self, expression)

    def _input(self, expression: Expression) -> Value:
        name = expression.name
        if name not in self.nodes:
            known = self.inputs.get(name, Input(shape=expression.shape))
            self.nodes[name] = replace(known, shape=expression.shape)
        node = self.nodes[name]
        assert isinstance(node, Input)
        return Value(((name, expression.delay),), expression.shape, spikes=node.kind == "spike")

    def _emit_call(self, expression: Expression, layer: str | None) -> Value:
        """Emit a module call; `layer` names the calls that keep a state."""
        operation, arguments = expression.operation, expression.arguments or {}
        assert operation is not None and operation.module is not None
        signals = {key: value for key, value in arguments.items() if isinstance(value, Expression)}
        for attribute, value in (expression.attributes or {}).items():
            if value.constant is not None:
                raise UnsupportedModuleError(
                    f"module {operation.name}: forward assigns a constant to '{attribute}', allowed are values that "
                    "depend on the input; set the constant when the module is made"
                )
            signals[attribute] = value
        first = next(iter(arguments.values()), None)
        if not isinstance(first, Expression):
            raise UnsupportedModuleError(f"module {operation.name}: its first argument is no signal of the network")
        driven = self.value(first)
        call = ModuleCall(layer or operation.name, operation.module, first.shape, driven.spikes, frozenset(signals))
        reading = read_module(call)
        if isinstance(reading, PassThrough):
            return driven
        return self._emit_reading(reading, call, signals, layer)

    def _emit_reading(
        self, reading: Reading, call: ModuleCall, signals: Mapping[str, Expression], layer: str | None
    ) -> Value:
        name = layer or self.fresh(call.name)
        is_spiking = layer is not None or isinstance(reading.node, Threshold)
        for parameter, expression in signals.items():
            port = reading.ports.get(parameter)
            if port == IGNORED:
                continue
            if port is None:
                raise call.refuse(f"receives a signal at '{parameter}', which is not supported; set it as a constant")
            value = self.value(expression)
            if isinstance(reading.node, DYNAMIC) and port == "context":
                self._mark_graded(value)
            if port == "threshold":  # one for all neurons, or one each
                value = self.spread(value, reading.node.ports[port], "expand")
            if port == "input":
                for index, node in enumerate(reading.before):
                    value = self.add_node(f"{name}.{type(node).__name__.lower()}{index or ''}", node, input=value)
            self.connect(self.biased(value, name), name, port)
        if "input" not in {reading.ports[parameter] for parameter in signals}:
            raise call.refuse("nothing drives it")
        self.nodes[name] = reading.node
        if reading.recurrent is not None:
            self.nodes[f"{name}.recurrent"] = reading.recurrent
            self.edges += [Edge(name, f"{name}.recurrent", delay=1), Edge(f"{name}.recurrent", name, "recurrent")]
        if reading.gain is not None:
            gain = Scale(weight=np.asarray(reading.gain, dtype=np.float32), shape=reading.node.shape)
            return self.add_node(f"{name}{GAIN_SUFFIX}", gain, input=Value(((name, 0),), reading.node.shape))
        return Value(((name, 0),), reading.node.shape, spikes=is_spiking)

    def _mark_graded(self, value: Value) -> None:
        for name, _ in value.terms:
            node = self.nodes[name]
            if isinstance(node, Input):
                self.nodes[name] = replace(node, kind="graded")

    def fresh(self, name: str) -> str:
        """Return a node name that is not taken yet."""
        if name not in self.nodes and name not in self.unrolled.layers:
            return name
        count = 2
        while f"{name} #{count}" in self.nodes:
            count += 1
        return f"{name} #{count}"

    def numbered(self, name: str) -> str:
        """Return a name for a function's node, such as `add_0`."""
        number = self.counters.get(name, 0)
        self.counters[name] = number + 1
        return f"{name}_{number}"

    def add_node(self, name: str, node: Node, **ports: Value) -> Value:
        """Add a node, connect its ports, and return its value."""
        name = self.fresh(name)
        for port, value in ports.items():
            if value.offset is not None:
                value = self.biased(value, name)
            self.connect(value, name, port)
        self.nodes[name] = node
        return Value(((name, 0),), node.shape, spikes=isinstance(node, Threshold))

    def connect(self, value: Value, name: str, port: str) -> None:
        """Let all terms of a value arrive at a port."""
        self.edges += [Edge(source, name, port, delay) for source, delay in value.terms]

    def biased(self, value: Value, what: str) -> Value:
        """Turn a constant that was added into the bias of an identity layer.

        Raises:
            UnsupportedModuleError: the layer would be too large.
        """
        if value.offset is None:
            return value
        offset = np.broadcast_to(value.offset, value.shape).astype(np.float32)
        if len(value.shape) in (2, 3) and np.ptp(offset.reshape(value.shape[0], -1), axis=1).max(initial=0) == 0:
            channels, spatial = value.shape[0], len(value.shape) - 1
            weight = np.eye(channels, dtype=np.float32).reshape(channels, channels, *(1,) * spatial)
            ones, zeros = (1,) * spatial, (0,) * spatial
            geometry = Convolution(input_shape=value.shape, stride=ones, padding=zeros, dilation=ones)
            node: Node = Conv(weight=weight, bias=offset.reshape(channels, -1)[:, 0].copy(), geometry=geometry)
        elif len(value.shape) == 1 and value.shape[0] <= MAX_IDENTITY:
            node = Linear(weight=np.eye(value.shape[0], dtype=np.float32), bias=offset.copy())
        else:
            raise UnsupportedModuleError(
                f"node {what}: a constant of shape {value.offset.shape} is added to {value.shape} values; put it into "
                "the bias of the layer before"
            )
        return self.add_node(self.numbered("bias"), node, input=replace(value, offset=None))

    def moved(self, value: Value, index: npt.NDArray[Any], name: str) -> Value:
        """Rearrange values by an index map (−1 is zero), with as little as it takes."""
        flat = index.reshape(-1)
        if index.shape == value.shape and np.array_equal(flat, np.arange(prod(value.shape))):
            return value
        if flat.size == prod(value.shape) and np.array_equal(flat, np.arange(flat.size)):
            node: Node = Reshape(input_shape=value.shape, shape=index.shape)
        else:
            node = Gather(index=np.ascontiguousarray(index, dtype=np.int64), input_shape=value.shape)
        moved = self.add_node(self.numbered(name), node, input=replace(value, offset=None, inverse=None))
        offset = None
        if value.offset is not None:
            padded = np.append(np.broadcast_to(value.offset, value.shape).reshape(-1), np.float32(0))
            offset = padded[flat].reshape(index.shape)
        inverse = None if value.inverse is None else self.moved(value.inverse, index, name)
        return replace(moved, spikes=value.spikes, offset=offset, inverse=inverse)

    def spread(self, value: Value, shape: Shape, name: str) -> Value:
        """Repeat a value to a larger shape by torch's broadcasting."""
        if value.shape == shape:
            return value
        return self.moved(value, np.broadcast_to(np.arange(prod(value.shape)).reshape(value.shape), shape), name)

    def refuse(self, expression: Expression, reason: str) -> UnsupportedModuleError:
        """Return the error that names a function between layers."""
        return UnsupportedModuleError(f"operation {expression.name} on {expression.shape}: {reason}")
