"""The graph: immutable nodes and edges, their order, and the latency that Lava's synapses give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeVar

from hardware_profiles.arithmetic import IntegerFormat

from .errors import ExportError
from .nodes import DYNAMIC, SYNAPSES, Input, Node, Output

Dialect = Literal["float", "integer"]
N = TypeVar("N")


@dataclass(frozen=True)
class Edge:
    """`source`'s output arrives at `port` of `target`; several edges into one port are summed."""

    source: str
    target: str
    port: str = "input"


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """A network: nodes by name, edges, its dialect, and the time step in seconds.

    Attributes:
        nodes: name to node; never mutated.
        edges: all edges.
        dialect: which node types are allowed, see `verify`.
        dt_s: duration of one time step in seconds; exact discrete parameters do not depend on it.
        fmt: the integer widths, in the integer dialect only.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    dialect: Dialect
    dt_s: float
    fmt: IntegerFormat | None = field(default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))

    def sources(self, name: str, port: str = "input") -> tuple[str, ...]:
        """Return the nodes whose outputs arrive at `port` of node `name`."""
        return self._sources.get((name, port), ())

    @cached_property
    def _sources(self) -> dict[tuple[str, str], tuple[str, ...]]:
        table: dict[tuple[str, str], tuple[str, ...]] = {}
        for edge in self.edges:
            key = (edge.target, edge.port)
            table[key] = (*table.get(key, ()), edge.source)
        return table

    def of_type(self, kinds: type[N] | tuple[type[N], ...]) -> dict[str, N]:
        """Return the nodes of the given type or types, in the order of computation."""
        return {name: node for name in self.order if isinstance(node := self.nodes[name], kinds)}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names, sources before targets.

        Raises:
            ExportError: the graph has a loop.
        """
        pending = {name: {e.source for e in self.edges if e.target == name} for name in self.nodes}
        order: list[str] = []
        while pending:
            ready = [name for name, needs in pending.items() if not needs - set(order)]
            if not ready:
                raise ExportError(
                    f"graph: loop through {', '.join(sorted(pending))}; recurrent connections are "
                    "not supported yet, use feed-forward layers"
                )
            order += ready
            for name in ready:
                del pending[name]
        return tuple(order)

    @cached_property
    def latency(self) -> dict[str, int]:
        """Steps by which each node's output lags the input on Lava: one per synapse layer on the way.

        An `Input` that only feeds context ports is sent late by the host and takes no part.

        Raises:
            ExportError: two branches meet with different latencies.
        """
        lags: dict[str, int] = {}
        for name in self.order:
            node = self.nodes[name]
            arriving = {lags[source] for source in self.sources(name)}
            if isinstance(node, DYNAMIC):  # the population count passes one synapse layer of its own
                arriving |= {lags[source] + 1 for source in self.sources(name, "population")}
            if len(arriving) > 1:
                raise ExportError(
                    f"node {name}: inputs arrive {sorted(arriving)} steps late, allowed is one "
                    "latency; give the branches equally many Linear layers"
                )
            lags[name] = next(iter(arriving), 0) + (1 if isinstance(node, SYNAPSES) else 0)
        return lags

    @property
    def total_latency(self) -> int:
        """Steps by which the last output lags the input on Lava."""
        return max((self.latency[name] for name in self.of_type(Output)), default=0)

    def driving_synapse(self, name: str) -> str:
        """Return the single synapse node that drives neuron node `name`."""
        (source,) = self.sources(name)
        return source

    def inputs(self) -> dict[str, Input]:
        """Return the input nodes by name."""
        return self.of_type(Input)

    def with_nodes(self, changed: Mapping[str, Node]) -> Graph:
        """Return a copy in which the named nodes are replaced."""
        return replace(self, nodes={**self.nodes, **changed})
