"""The graph: immutable nodes and edges, the order in which they are computed, and how often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeVar

from hardware_profiles.arithmetic import IntegerFormat

from .errors import ExportError
from .nodes import DYNAMIC, REARRANGEMENTS, SYNAPSES, WINDOWS, Input, Node, Output
from .periods import derive_periods

Dialect = Literal["float", "integer"]
Timing = Literal["model", "lava"]
N = TypeVar("N")


@dataclass(frozen=True)
class Edge:
    """`source` arrives at `port` of `target`, `delay` steps late (zeros before); edges into one port add up."""

    source: str
    target: str
    port: str = "input"
    delay: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """A network: nodes by name, edges, its dialect, and the time step in seconds.

    Attributes:
        nodes: name to node; never mutated.
        edges: all edges; those into one port are summed in this order.
        dialect: which node types are allowed, see `verify`.
        dt_s: duration of one time step in seconds; exact discrete parameters do not depend on it.
        fmt: the integer widths, in the integer dialect only.
        timing: "model": nodes answer within the step, as in the network that was read. "lava": every synapse layer
            answers one step late, and `delay` of each edge makes up for the rest, see `passes.balance_latency`.
        latency: in "lava" timing, the steps by which each node lags the model; empty in "model" timing.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    dialect: Dialect
    dt_s: float
    fmt: IntegerFormat | None = field(default=None)
    timing: Timing = "model"
    latency: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "latency", MappingProxyType(dict(self.latency)))

    def incoming(self, name: str, port: str = "input") -> tuple[Edge, ...]:
        """Return the edges into `port` of node `name`, in the order in which they are summed."""
        return self._incoming.get((name, port), ())

    def sources(self, name: str, port: str = "input") -> tuple[str, ...]:
        """Return the nodes whose outputs arrive at `port` of node `name`."""
        return tuple(edge.source for edge in self.incoming(name, port))

    def outgoing(self, name: str) -> tuple[Edge, ...]:
        """Return the edges that leave node `name`."""
        return self._outgoing.get(name, ())

    @cached_property
    def _incoming(self) -> dict[tuple[str, str], tuple[Edge, ...]]:
        table: dict[tuple[str, str], list[Edge]] = {}
        for edge in self.edges:
            table.setdefault((edge.target, edge.port), []).append(edge)
        return {key: tuple(edges) for key, edges in table.items()}

    @cached_property
    def _outgoing(self) -> dict[str, tuple[Edge, ...]]:
        table: dict[str, list[Edge]] = {}
        for edge in self.edges:
            table.setdefault(edge.source, []).append(edge)
        return {name: tuple(edges) for name, edges in table.items()}

    def of_type(self, kinds: type[N] | tuple[type[N], ...]) -> dict[str, N]:
        """Return the nodes of the given type or types, in the order of computation."""
        return {name: node for name in self.order if isinstance(node := self.nodes[name], kinds)}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names, sources before targets; edges that wait, see `wait`, need no order.

        Raises:
            ExportError: the graph has a loop without a delay.
        """
        waiting = {name: 0 for name in self.nodes}
        for edge in self.edges:
            waiting[edge.target] += not self.wait(edge)
        ready = [name for name, count in waiting.items() if not count]
        order: list[str] = []
        for name in ready:  # grows while it is walked
            order.append(name)
            for edge in self.outgoing(name):
                if not self.wait(edge):
                    waiting[edge.target] -= 1
                    if not waiting[edge.target]:
                        ready.append(edge.target)
        if len(order) < len(self.nodes):
            loop = ", ".join(sorted(set(self.nodes) - set(order)))
            raise ExportError(f"graph: loop without a delay through {loop}; let one connection wait a step")
        return tuple(order)

    @cached_property
    def period(self) -> Mapping[str, int]:
        """Steps between two ticks of each node, see `periods`."""
        given = {name: node.period for name, node in self.nodes.items() if isinstance(node, Input)}
        links = [(edge.source, edge.target) for edge in self.edges if edge.port != "context"]
        ratios = {name: node.ratio for name, node in self.nodes.items() if isinstance(node, WINDOWS)}
        return MappingProxyType(derive_periods(given, self.nodes, links, ratios))

    @cached_property
    def longest_period(self) -> int:
        """Steps after which all nodes tick together; a sample's steps are a multiple of it."""
        return math.lcm(*self.period.values())

    def arrival_period(self, name: str) -> int:
        """Return the period of what arrives at a node: its own, but for a window."""
        node = self.nodes[name]
        return self.period[name] // node.ratio if isinstance(node, WINDOWS) else self.period[name]

    def receives(self, name: str, step: int) -> bool:
        """Tell whether something may arrive at a node in a step of the model; it sends zeros in all others."""
        return (step + 1) % self.arrival_period(name) == 0

    def wait(self, edge: Edge) -> int:
        """Return the steps after which a value counts at an edge's target, Lava's own step included."""
        return edge.delay + (physical_delay(self, edge) if self.timing == "lava" else 0)

    @property
    def total_latency(self) -> int:
        """Steps by which the last output lags the input; 0 in "model" timing."""
        return max((self.latency.get(name, 0) for name in self.of_type(Output)), default=0)

    def inputs(self) -> dict[str, Input]:
        """Return the input nodes by name."""
        return self.of_type(Input)

    def with_nodes(self, changed: Mapping[str, Node]) -> Graph:
        """Return a copy in which the named nodes are replaced."""
        return replace(self, nodes={**self.nodes, **changed})


def physical_delay(graph: Graph, edge: Edge) -> int:
    """Return the steps that Lava itself adds on an edge."""
    target = graph.nodes[edge.target]
    if isinstance(target, DYNAMIC):  # spikes are counted by a synapse layer of their own
        return int(edge.port == "population")
    return int(isinstance(target, (*SYNAPSES, *REARRANGEMENTS)))


def is_sent_late(graph: Graph, edge: Edge) -> bool:
    """Tell whether the host sends the value when it is needed, so that it takes no part in latencies."""
    return edge.port == "context" and isinstance(graph.nodes[edge.source], Input)
