"""The invariants of each dialect, checked after every pass: what holds here, later code may assume."""

from __future__ import annotations

from math import prod
from typing import get_args

from .errors import ExportError
from .graph import Dialect, Edge, Graph
from .nodes import DYNAMIC, NEURONS, FloatNode, Input, IntegerNode, Output
from .periods import MAX_PERIOD
from .ranges import carries_spikes, value_bounds, verify_ranges
from .verify_values import verify_values


def _members(union: object) -> tuple[type, ...]:
    return tuple(kind for member in get_args(union) for kind in (get_args(member) or (member,)))


ALLOWED: dict[Dialect, tuple[type, ...]] = {"float": _members(FloatNode), "integer": _members(IntegerNode)}


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
        verify_values(node, name, graph.fmt)
    for edge in graph.edges:
        _verify_edge(graph, edge)
    _ = graph.order
    for name in graph.nodes:
        _verify_ports(graph, name)
    for edge in graph.edges:
        _verify_period(graph, edge)
    if not graph.of_type(NEURONS):
        raise ExportError("graph: has no spiking neuron; nothing would run on a neuromorphic chip")
    if graph.fmt is not None:
        bounds = value_bounds(graph)
        for name in graph.nodes:
            verify_ranges(graph, name, bounds, graph.fmt)


def _verify_edge(graph: Graph, edge: Edge) -> None:
    where = f"edge {edge.source} -> {edge.target}"
    for end in (edge.source, edge.target):
        if end not in graph.nodes:
            raise ExportError(f"{where}: no node '{end}'")
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    expected = target.ports.get(edge.port)
    if expected is None or isinstance(source, Output):
        raise ExportError(f"{where}: no port '{edge.port}' on {type(target).__name__}, or an Output sends")
    fits = source.size == prod(expected) if edge.port in ("population", "context") else source.shape == expected
    if not fits:
        raise ExportError(f"{where}.{edge.port}: sends {_told(source.shape)} values, allowed is {_told(expected)}")
    if edge.delay < 0:
        raise ExportError(f"{where}: delay {edge.delay}, allowed is 0 or more steps")


def _verify_period(graph: Graph, edge: Edge) -> None:
    """Everything that arrives at a node has one period; context is read on the node's ticks."""
    if edge.port == "context":
        return
    period, expected = graph.period[edge.source], graph.arrival_period(edge.target)
    if period != expected:
        slow, fast = max(period, expected), min(period, expected)
        raise ExportError(
            f"node {edge.target}: {edge.source} arrives every {period} steps, something else every {expected}, allowed "
            f"is one period; sum what arrives more often with a WindowSum of ratio {slow / fast:g}"
        )
    if graph.timing == "model" and edge.delay % period:
        raise ExportError(
            f"edge {edge.source} -> {edge.target}: delay {edge.delay}, allowed where {edge.source} ticks every "
            f"{period} steps are multiples of {period}"
        )
    if graph.period[edge.target] > MAX_PERIOD:
        raise ExportError(
            f"node {edge.target}: ticks every {graph.period[edge.target]} steps, allowed is up to {MAX_PERIOD}; "
            "use shorter windows"
        )


def _told(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)


def _verify_ports(graph: Graph, name: str) -> None:
    node = graph.nodes[name]
    for port in node.ports:
        if not graph.sources(name, port) and port not in node.optional_ports:
            raise ExportError(f"node {name}: nothing arrives at port '{port}'; connect it")
    if isinstance(node, DYNAMIC):
        _verify_drive(graph, name)
    if isinstance(node, Output) and graph.dialect == "integer":
        for source in graph.sources(name):
            if not carries_spikes(graph, source):
                raise ExportError(f"node {name}: receives values that are not spikes; put a spiking neuron before it")
    if isinstance(node, Output) and len(graph.sources(name)) > 1:
        raise ExportError(f"node {name}: sums {len(graph.sources(name))} signals, allowed is one; name one output each")


def _verify_drive(graph: Graph, name: str) -> None:
    """A threshold counts one population; context is what the host sends when the layer needs it."""
    population = graph.sources(name, "population")
    if len(population) > 1 or not carries_spikes(graph, population[0]):
        raise ExportError(f"node {name}: its threshold counts {', '.join(population)}, allowed is one layer of spikes")
    for source in graph.sources(name, "context"):
        node = graph.nodes[source]
        if not isinstance(node, Input) or node.kind != "graded":
            raise ExportError(
                f"node {name}: context comes from {source} ({type(node).__name__}), allowed is a graded input"
            )
