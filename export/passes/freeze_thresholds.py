"""Replace every dynamic threshold by its value at zero drive; either dialect, in and out.

What is left is plain hard-reset LIF, which stock Lava, Loihi 1 and standard NIR can express: the witness for all
arithmetic that a moving threshold shares with it, and the measure of what the movement is worth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from ..graph import Graph
from ..nodes import DYNAMIC, LIF, NEURONS, DynamicThresholdLIF, IntegerDynamicThresholdLIF, IntegerLIF, Node, Output


def freeze_thresholds(graph: Graph) -> Graph:
    """Return the graph with constant thresholds θ_0; inputs and nodes that only drove thresholds are dropped."""
    frozen = {name: _frozen(node) for name, node in graph.nodes.items() if isinstance(node, DYNAMIC)}
    edges = tuple(
        edge for edge in graph.edges if edge.target not in frozen or edge.port not in ("population", "context")
    )
    users = Counter(edge.source for edge in edges)
    dead = [name for name, node in graph.nodes.items() if not users[name] and not isinstance(node, (Output, *NEURONS))]
    for name in dead:  # grows while it is walked
        for edge in edges:
            if edge.target == name:
                users[edge.source] -= 1
                if not users[edge.source] and not isinstance(graph.nodes[edge.source], NEURONS):
                    dead.append(edge.source)
    nodes = {name: frozen.get(name, node) for name, node in graph.nodes.items() if name not in dead}
    return replace(graph, nodes=nodes, edges=tuple(edge for edge in edges if edge.target in nodes))


def _frozen(node: DynamicThresholdLIF | IntegerDynamicThresholdLIF) -> Node:
    if isinstance(node, IntegerDynamicThresholdLIF):
        vth = np.full(node.shape, node.controller.theta_0 << node.theta_shift, dtype=np.int64)
        return IntegerLIF(
            dv=node.dv, vth=vth, bias_mant=node.bias_mant, bias_exp=node.bias_exp, reset="zero", reset_delay=False
        )
    theta_0 = np.ldexp(np.float32(node.controller.theta_0), -node.controller.fraction_bits)
    threshold = np.full(node.shape, theta_0, dtype=np.float32)
    return LIF(beta=node.beta, threshold=threshold, reset="zero", reset_delay=False)
