"""Snap every leak to the decay that the chip can store: β = 1 − dv / 2^12, dv in 0..4095."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat

from ..graph import Graph
from ..nodes import LIF, DynamicThresholdLIF, Float, Int, Node


def decay_of(beta: Float, fmt: IntegerFormat) -> Int:
    """Return dv = round((1 − β)·2^12), clipped to the field; β = 0 becomes 1/4096, the chip's shortest memory."""
    dv = np.rint((1 - beta.astype(np.float64)) * fmt.decay_unity).astype(np.int64)
    clipped: Int = np.clip(dv, 0, fmt.decay_unity - 1)
    return clipped


def round_decays(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Round all `beta`; float dialect in and out, so that the cost of this step alone can be measured."""
    changed: dict[str, Node] = {}
    for name in graph.of_type((LIF, DynamicThresholdLIF)):
        node = graph.nodes[name]
        assert isinstance(node, LIF | DynamicThresholdLIF)
        beta = 1 - decay_of(node.beta, fmt) / fmt.decay_unity
        changed[name] = replace(node, beta=beta.astype(np.float32))
    return graph.with_nodes(changed)
