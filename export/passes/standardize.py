"""snnTorch's resets by subtraction as graphs that plain NIR can say; float dialect in and out.

What fires at t is owed θ at t+1, and θ can also arrive as a current: a neuron without reset, whose own spikes come
back through a weight of −θ one step later. The equations are the same, the order of additions is not: equal spikes
where sums are exact (dyadic weights), within the rounding bound elsewhere.

* `LIF` subtract, delayed:      U = β U + X − θ S[t−1];  S = 1(U > θ)
* `CubaLIF` subtract, delayed:  the same behind an integrator I = α I + X
* not delayed:  M[t] = β M[t−1] + X − β θ S[t−1] is the membrane before the reset is taken,
  S = 1(M − θ R[t−1] > θ) and R = 1(M − θ S > θ) are two thresholds, since the residue after a reset may be owed too
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import UnsupportedModuleError
from ..graph import Edge, Graph
from ..nodes import (
    LI,
    LIF,
    AlphaLIF,
    CubaLIF,
    DynamicThresholdLIF,
    Float,
    Input,
    MatMul,
    Node,
    Product,
    Scale,
    Threshold,
    WindowSum,
)
from .freeze_thresholds import freeze_thresholds


def standardize(graph: Graph, *, freeze: bool = False) -> Graph:
    """Return a graph of which every node is one standard NIR node, or two in a row.

    Args:
        graph: float dialect, "model" timing.
        freeze: let dynamic thresholds stand still at their value without drive, which changes spikes.

    Raises:
        UnsupportedModuleError: a node has no standard form.
    """
    if freeze:
        graph = freeze_thresholds(graph)
    for name, node in graph.nodes.items():
        reason = _obstacle(node)
        if reason:
            raise UnsupportedModuleError(f"node {name}: {reason}; leave out --standard-only")
        if isinstance(node, (LIF, CubaLIF)) and node.reset == "subtract":
            graph = _without_subtraction(graph, name, node)
    return graph


def _obstacle(node: Node) -> str | None:
    """Return why a node has no standard form, or None."""
    if isinstance(node, DynamicThresholdLIF):
        return "its threshold moves under a hard reset, which standard NIR cannot say; freeze thresholds"
    if isinstance(node, WindowSum):
        return (
            f"WindowSum begins a stage that ticks {node.ratio} times as seldom, standard NIR has one time step for all"
        )
    if isinstance(node, Input) and node.period > 1:
        return f"its values come every {node.period} steps, standard NIR has one time step for all"
    if isinstance(node, (Product, MatMul, AlphaLIF)):
        return f"{type(node).__name__} has no form in standard NIR nodes"
    if not isinstance(node, (LIF, CubaLIF)):
        return None
    if node.threshold is None:
        return "its threshold arrives as a signal, standard NIR thresholds are constant"
    if node.inhibition:
        return "inhibition within the layer has no form in standard NIR nodes"
    if node.reset == "clear" and node.reset_delay:
        return "its reset erases the input of the step after a spike, standard NIR resets at once"
    return None


def _without_subtraction(graph: Graph, name: str, node: LIF | CubaLIF) -> Graph:
    assert node.threshold is not None
    nodes, edges = dict(graph.nodes), list(graph.edges)
    membrane = entry = name if node.reset_delay else f"{name}.before_reset"
    if isinstance(node, CubaLIF):
        entry = f"{name}.current"
        nodes[entry] = LI(beta=node.alpha)
    edges = [replace(edge, target=entry, port="input") if edge.target == name else edge for edge in edges]
    if entry != membrane:
        edges.append(Edge(entry, membrane))
    if node.reset_delay:
        nodes[name] = LIF(beta=node.beta, threshold=node.threshold, reset="none")
        nodes[f"{name}.reset"] = Scale(weight=-node.threshold, shape=node.shape)
        edges += [Edge(name, f"{name}.reset", delay=1), Edge(f"{name}.reset", name)]
    else:
        made, wires = _immediate(name, membrane, node.beta, node.threshold)
        nodes |= made
        edges += wires
    return replace(graph, nodes=nodes, edges=tuple(edges))


def _immediate(name: str, membrane: str, beta: Float, theta: Float) -> tuple[dict[str, Node], list[Edge]]:
    """Nodes and edges behind the membrane M of a neuron whose reset is subtracted in the step of the spike."""
    decayed: Float = np.float32(-1) * beta * theta
    nodes: dict[str, Node] = {
        membrane: LI(beta=beta),
        name: Threshold(threshold=theta),
        f"{name}.owed": Threshold(threshold=theta),
        f"{name}.decayed": Scale(weight=decayed, shape=theta.shape),
        f"{name}.paid": Scale(weight=-theta, shape=theta.shape),
        f"{name}.owing": Scale(weight=-theta, shape=theta.shape),
    }
    edges = [
        Edge(membrane, name),
        Edge(membrane, f"{name}.owed"),
        Edge(name, f"{name}.decayed", delay=1),
        Edge(f"{name}.decayed", membrane),
        Edge(f"{name}.owed", f"{name}.owing", delay=1),
        Edge(f"{name}.owing", name),
        Edge(name, f"{name}.paid"),
        Edge(f"{name}.paid", f"{name}.owed"),
    ]
    return nodes, edges
