"""Lava's timing made explicit: every node's latency, and the delays that let branches meet in the same step.

In stock Lava a synapse layer delivers what it received one step later. With L(n) the steps by which node n lags the
model, p(e) = 1 where edge e enters a synapse (or a population count) and d(e) the model's own delay, an edge u → v
must wait w(e) = L(v) − L(u) + d(e) − p(e) ≥ 0 steps more: a system of difference constraints, whose least solution is
the longest path. A loop is possible iff it has at least as many model delays as synapse layers.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import ExportError
from ..graph import Graph, is_sent_late, physical_delay


def balance_latency(graph: Graph) -> Graph:
    """Return the graph in "lava" timing; either dialect.

    Raises:
        ExportError: a loop holds more synapse layers than the model's own delays.
    """
    assert graph.timing == "model", "latencies are balanced once"
    latency = _latencies(graph)
    edges = tuple(
        edge
        if is_sent_late(graph, edge)
        else replace(edge, delay=latency[edge.target] - latency[edge.source] + edge.delay - physical_delay(graph, edge))
        for edge in graph.edges
    )
    return replace(graph, edges=edges, timing="lava", latency=latency)


def _latencies(graph: Graph) -> dict[str, int]:
    """Longest paths by repeated relaxation (Bellman and Ford); a path longer than the graph is a loop."""
    latency = dict.fromkeys(graph.order, 0)
    constraints = [
        (edge.source, edge.target, physical_delay(graph, edge) - edge.delay)
        for name in graph.order
        for edge in graph.outgoing(name)
        if not is_sent_late(graph, edge)
    ]
    for _ in range(len(latency) + 1):
        changed = None
        for source, target, least in constraints:
            if latency[source] + least > latency[target]:
                latency[target] = latency[source] + least
                changed = target
        if changed is None:
            return latency
    raise ExportError(
        f"node {changed}: lies in a loop with more synapse layers than steps of delay, which Lava's one-step synapses "
        "cannot run; delay the loop by more steps, or run it with granularity 'fused'"
    )
