"""Replace every dynamic threshold by its value at zero drive; integer dialect in and out.

What is left is plain hard-reset LIF, which stock Lava, Loihi 1 and standard NIR can express: the witness for all
arithmetic that a moving threshold shares with it, and the measure of what the movement is worth.
"""

from __future__ import annotations

import numpy as np

from ..graph import Graph
from ..nodes import IntegerDynamicThresholdLIF, IntegerLIF, Node


def freeze_thresholds(graph: Graph) -> Graph:
    """Return the graph with constant thresholds θ_0; inputs that only drove thresholds are dropped."""
    frozen: dict[str, Node] = {
        name: IntegerLIF(
            dv=node.dv,
            vth=np.full(node.size, node.controller.theta_0 << node.theta_shift, dtype=np.int64),
            bias_mant=node.bias_mant,
            bias_exp=node.bias_exp,
            reset="zero",
        )
        for name, node in graph.of_type(IntegerDynamicThresholdLIF).items()
    }
    edges = tuple(edge for edge in graph.edges if edge.port == "input")
    used = {end for edge in edges for end in (edge.source, edge.target)}
    nodes = {name: node for name, node in {**graph.nodes, **frozen}.items() if name in used}
    return Graph(nodes=nodes, edges=edges, dialect=graph.dialect, dt_s=graph.dt_s, fmt=graph.fmt)
