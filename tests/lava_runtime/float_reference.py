"""The float dialect in plain double-precision NumPy, one neuron equation per line."""

import numpy as np

from export.nodes import LIF, DynamicThresholdLIF, Input, Linear, Output
from export.trace import LayerTrace


def run_float64(graph, inputs):
    num_steps, batch = next(iter(inputs.values())).shape[:2]
    spiking = {name: node for name, node in graph.nodes.items() if isinstance(node, (LIF, DynamicThresholdLIF))}
    v = {name: np.zeros((batch, node.size)) for name, node in spiking.items()}
    s = {name: np.zeros((batch, node.size)) for name, node in spiking.items()}
    rows = {name: [] for name in spiking}
    for t in range(num_steps):
        values = {}
        for name in graph.order:
            node, arriving = graph.nodes[name], [values[source] for source in graph.sources(name)]
            theta = None
            if isinstance(node, Input):
                values[name] = inputs[name][t].astype(float)
            elif isinstance(node, Output):
                values[name] = arriving[0]
            elif isinstance(node, Linear):
                bias = 0 if node.bias is None else node.bias.astype(float)
                values[name] = np.array([node.weight.astype(float) @ row for row in arriving[0]]) + bias
            elif isinstance(node, LIF):
                u = node.beta.astype(float) * v[name] + arriving[0]
                if node.reset == "subtract":
                    u = u - s[name] * node.threshold
                values[name] = s[name] = (u > node.threshold).astype(float)
                v[name] = u * (1 - s[name]) if node.reset == "zero" else u
            else:
                context = [values[source] for source in graph.sources(name, "context")]
                (population,) = graph.sources(name, "population")
                theta = node.controller.threshold(
                    node.controller.group_counts(values[population].astype(np.int64)),
                    context[0].astype(np.int64) if context else np.zeros((batch, 0), dtype=np.int64),
                )
                u = node.beta.astype(float) * v[name] + arriving[0]
                values[name] = s[name] = (u > theta[:, None] / 2**node.controller.fraction_bits).astype(float)
                v[name] = u * (1 - s[name])
            if name in rows:
                rows[name].append((s[name], v[name], theta))
    return {
        name: LayerTrace(
            s=np.array([row[0] for row in layer]).astype(np.uint8),
            v=np.array([row[1] for row in layer]),
            theta=None if layer[0][2] is None else np.array([row[2] for row in layer]),
        )
        for name, layer in rows.items()
    }
