"""Snap every leak to the decay that the chip can store: β = 1 − dv / 2^12, α = 1 − (du + 1) / 2^12."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat

from ..graph import Graph
from ..nodes import LIF, NEURONS, AlphaLIF, CubaLIF, DynamicThresholdLIF, Float, Int, Node


def decay_of(factor: Float, fmt: IntegerFormat, low: int = 0, high: int | None = None) -> Int:
    """Return the decay round((1 − factor)·2^12), clipped to low..high.

    A membrane's field ends at 4095 (the default): β = 0 becomes 1/4096, the chip's shortest memory.
    """
    decay = np.rint((1 - factor.astype(np.float64)) * fmt.decay_unity).astype(np.int64)
    clipped: Int = np.clip(decay, low, fmt.decay_unity - 1 if high is None else high)
    return clipped


def round_decays(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Round all `alpha` and `beta`; float dialect in and out, so that the cost of this step alone can be measured."""
    return graph.with_nodes({name: _rounded(graph.nodes[name], fmt) for name in graph.of_type(NEURONS)})


@singledispatch
def _rounded(node: Node, fmt: IntegerFormat) -> Node:
    return node


@_rounded.register(LIF)
@_rounded.register(DynamicThresholdLIF)
def _(node: LIF | DynamicThresholdLIF, fmt: IntegerFormat) -> Node:
    return replace(node, beta=_factor(decay_of(node.beta, fmt), fmt))


@_rounded.register
def _(node: CubaLIF, fmt: IntegerFormat) -> Node:
    alpha = _factor(decay_of(node.alpha, fmt, high=fmt.decay_unity), fmt)
    return replace(node, alpha=alpha, beta=_factor(decay_of(node.beta, fmt), fmt))


@_rounded.register
def _(node: AlphaLIF, fmt: IntegerFormat) -> Node:
    alpha, beta = (_factor(decay_of(factor, fmt, high=fmt.decay_unity), fmt) for factor in (node.alpha, node.beta))
    return replace(node, alpha=alpha, beta=beta)


def _factor(decay: Int, fmt: IntegerFormat) -> Float:
    factor: Float = (1 - decay / fmt.decay_unity).astype(np.float32)
    return factor
