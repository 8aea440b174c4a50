"""The invariants of each dialect, checked after every pass: what holds here, later code may assume."""

from __future__ import annotations

from functools import singledispatch
from typing import get_args

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.errors import RangeError

from .errors import ExportError
from .graph import Dialect, Graph
from .nodes import (
    DYNAMIC,
    LIF,
    NEURONS,
    PORTS,
    SYNAPSES,
    DynamicThresholdLIF,
    FloatNode,
    Input,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerNode,
    Linear,
    Output,
)
from .trace import Array

ALLOWED: dict[Dialect, tuple[type, ...]] = {"float": get_args(FloatNode), "integer": get_args(IntegerNode)}


def verify(graph: Graph, dialect: Dialect) -> None:
    """Check every invariant of `dialect`.

    Raises:
        ExportError: a node, edge or shape is not allowed.
        RangeError: an integer does not fit its field, or a wrapping sum could leave its word.
    """
    if graph.dialect != dialect or (graph.fmt is None) == (dialect == "integer"):
        raise ExportError(f"graph: is in dialect '{graph.dialect}', allowed here is '{dialect}'")
    for name, node in graph.nodes.items():
        if not isinstance(node, ALLOWED[dialect]):
            allowed = ", ".join(kind.__name__ for kind in ALLOWED[dialect])
            raise ExportError(f"node {name}: is {type(node).__name__}, allowed in dialect '{dialect}' are {allowed}")
        _verify_ports(graph, name)
        _verify_values(node, name, graph.fmt)
    _verify_edges(graph)
    if not graph.of_type(NEURONS):
        raise ExportError("graph: has no spiking neuron; nothing would run on a neuromorphic chip")
    _ = graph.latency


def _verify_edges(graph: Graph) -> None:
    for edge in graph.edges:
        for end in (edge.source, edge.target):
            if end not in graph.nodes:
                raise ExportError(f"edge {edge.source} -> {edge.target}: no node '{end}'")
        target = graph.nodes[edge.target]
        if edge.port not in PORTS[type(target)]:
            raise ExportError(f"edge {edge.source} -> {edge.target}: no port '{edge.port}' on {type(target).__name__}")
        size, expected = graph.nodes[edge.source].size, _port_size(graph, edge.target, edge.port)
        if size != expected:
            raise ExportError(
                f"edge {edge.source} -> {edge.target}.{edge.port}: sends {size} values, allowed is {expected}"
            )


def _port_size(graph: Graph, name: str, port: str) -> int:
    node = graph.nodes[name]
    if isinstance(node, DYNAMIC) and port != "input":
        return node.controller.population if port == "population" else node.controller.num_context
    if isinstance(node, Linear):
        return int(node.weight.shape[1])
    if isinstance(node, IntegerLinear):
        return int(node.weight_int8.shape[1])
    return node.size


def _verify_ports(graph: Graph, name: str) -> None:
    node = graph.nodes[name]
    for port in PORTS[type(node)]:
        optional = port == "context" and isinstance(node, DYNAMIC) and node.controller.num_context == 0
        if not graph.sources(name, port) and not optional:
            raise ExportError(f"node {name}: nothing arrives at port '{port}'; connect it")
    sources = [graph.nodes[source] for source in graph.sources(name) if source in graph.nodes]
    _verify_context(graph, name)
    if isinstance(node, NEURONS) and (len(sources) != 1 or not isinstance(sources[0], SYNAPSES)):
        raise ExportError(
            f"node {name}: is driven by {len(sources)} nodes "
            f"({', '.join(type(s).__name__ for s in sources)}), allowed is one Linear layer"
        )
    population = [graph.nodes[source] for source in graph.sources(name, "population") if source in graph.nodes]
    receives_spikes = [*sources, *population] if isinstance(node, (*SYNAPSES, Output)) else population
    if not all(_is_spiking(source) for source in receives_spikes):
        raise ExportError(f"node {name}: receives values that are not spikes; put a spiking neuron before it")
    if max(len(sources), len(population)) > 1:
        raise ExportError(f"node {name}: sums {len(sources)} spike trains, allowed is one; use one Linear layer each")


def _verify_context(graph: Graph, name: str) -> None:
    """Context is what the host sends late, when the layer needs it; nothing on the chip can be sent late."""
    for source in graph.sources(name, "context"):
        node = graph.nodes.get(source)
        if not isinstance(node, Input) or node.kind != "graded":
            raise ExportError(
                f"node {name}: context comes from {source} ({type(node).__name__}), allowed is a graded input"
            )


def _is_spiking(node: object) -> bool:
    return isinstance(node, NEURONS) or (isinstance(node, Input) and node.kind == "spike")


@singledispatch
def _verify_values(node: object, name: str, fmt: IntegerFormat | None) -> None:
    """Check a node's own arrays; nodes without arrays have nothing to check."""


@_verify_values.register
def _(node: Linear, name: str, fmt: IntegerFormat | None) -> None:
    for label, array in (("weight", node.weight), ("bias", node.bias)):
        if array is not None and not np.isfinite(array).all():
            raise ExportError(
                f"node {name}: {label} holds {int((~np.isfinite(array)).sum())} NaN or infinite values; "
                "train again from a finite checkpoint"
            )
    if node.weight.ndim != 2 or (node.bias is not None and node.bias.shape != (node.size,)):
        raise ExportError(f"node {name}: weight {node.weight.shape} and bias do not fit, allowed are [out, in], [out]")


@_verify_values.register
def _(node: LIF, name: str, fmt: IntegerFormat | None) -> None:
    _verify_beta(node.beta, name)
    if node.threshold.shape != node.beta.shape or not np.isfinite(node.threshold).all():
        raise ExportError(f"node {name}: threshold must be {node.beta.shape[0]} finite values")
    if (node.threshold <= 0).any():
        raise ExportError(
            f"node {name}: threshold {node.threshold.min():g} is not positive; such a neuron fires "
            "at rest, raise the threshold"
        )


@_verify_values.register
def _(node: DynamicThresholdLIF, name: str, fmt: IntegerFormat | None) -> None:
    _verify_beta(node.beta, name)
    _verify_groups(node, name)


@_verify_values.register
def _(node: IntegerLinear, name: str, fmt: IntegerFormat | None) -> None:
    assert fmt is not None
    _verify_within(node.weight_int8, -fmt.weight_max, fmt.weight_max, f"node {name}: weight_int8")
    _verify_within(np.array([node.weight_exp]), 0, fmt.state_bits, f"node {name}: weight_exp")
    magnitudes = np.abs(node.weight_int8).sum(axis=1) << node.weight_exp
    if magnitudes.max() > fmt.sum_max:
        raise RangeError(
            f"node {name}: synaptic sum can reach {magnitudes.max()} and would wrap, allowed is "
            f"{fmt.sum_max}; use a smaller scale"
        )


@_verify_values.register
def _(node: IntegerLIF, name: str, fmt: IntegerFormat | None) -> None:
    assert fmt is not None
    _verify_integer_neuron(node, name, fmt)
    _verify_within(node.vth, 1, fmt.threshold_max, f"node {name}: vth")


@_verify_values.register
def _(node: IntegerDynamicThresholdLIF, name: str, fmt: IntegerFormat | None) -> None:
    assert fmt is not None
    _verify_integer_neuron(node, name, fmt)
    _verify_groups(node, name)
    node.controller.check_range(fmt, name)
    high = np.array([node.controller.theta_range[1] << node.theta_shift])
    _verify_within(high, 1, fmt.threshold_max, f"node {name}: shifted threshold")


def _verify_groups(node: DynamicThresholdLIF | IntegerDynamicThresholdLIF, name: str) -> None:
    controller = node.controller
    if controller.num_groups < 1 or controller.population % controller.num_groups:
        raise ExportError(
            f"node {name}: population {controller.population} is not a multiple of num_groups "
            f"{controller.num_groups}; choose another number of groups"
        )


def _verify_beta(beta: Array, name: str) -> None:
    if beta.ndim != 1 or not ((beta >= 0) & (beta <= 1)).all():
        raise ExportError(f"node {name}: beta spans {beta.min():g}..{beta.max():g}, allowed is 0..1")


def _verify_integer_neuron(node: IntegerLIF | IntegerDynamicThresholdLIF, name: str, fmt: IntegerFormat) -> None:
    _verify_within(node.dv, 0, fmt.decay_unity - 1, f"node {name}: dv")
    _verify_within(node.bias_mant, -fmt.bias_mantissa_max, fmt.bias_mantissa_max, f"node {name}: bias_mant")
    _verify_within(np.array([node.bias_exp]), 0, fmt.bias_exponent_max, f"node {name}: bias_exp")


def _verify_within(values: Array, low: int, high: int, what: str) -> None:
    if values.size and (values.min() < low or values.max() > high):
        raise RangeError(f"{what} spans {values.min()}..{values.max()}, allowed is {low}..{high}; choose another scale")
