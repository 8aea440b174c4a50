"""Random graphs with every node that the two dialects have, and inputs for them."""

from dataclasses import replace
from math import prod

import numpy as np
from hypothesis import strategies as st

from export.nodes import (
    IntegerAlphaLIF,
    IntegerConv,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
)
from export.ranges import value_bounds

from .random_nodes import DyadicMakers, IntegerMakers
from .random_outline import FEEDS, FMT, NEURON_KINDS, WINDOWS, Case, Outline


def cases_of(max_layers, max_steps):
    return st.builds(
        Case,
        layers=st.lists(
            st.tuples(st.sampled_from(FEEDS), st.sampled_from(NEURON_KINDS)), min_size=1, max_size=max_layers
        ).map(tuple),
        num_steps=st.integers(1, max_steps),
        batch=st.integers(1, 3),
        seed=st.integers(0, 2**32 - 1),
    )


def staged_cases_of(max_layers, max_windows):
    """Cases of several stages: layers before, between and after windows over time."""
    layers = st.lists(st.tuples(st.sampled_from(FEEDS), st.sampled_from(NEURON_KINDS)), min_size=1, max_size=max_layers)
    starts = st.lists(
        st.tuples(st.sampled_from(sorted(WINDOWS)), st.sampled_from(NEURON_KINDS)), min_size=1, max_size=max_windows
    )

    def joined(layers, starts, places, num_windows, batch, seed):
        for place, start in zip(places, starts, strict=False):
            layers = [*layers[: place % len(layers) + 1], start, *layers[place % len(layers) + 1 :]]
        period = prod(WINDOWS[feed] for feed, _ in starts)
        return Case(layers=tuple(layers), num_steps=period * num_windows, batch=batch, seed=seed)

    return st.builds(
        joined,
        layers,
        starts,
        st.lists(st.integers(0, 99), min_size=max_windows, max_size=max_windows),
        st.integers(2, 4),
        st.integers(1, 3),
        st.integers(0, 2**32 - 1),
    )


def integer_graph(case):
    return fitted(Outline(case, IntegerMakers).graph)


def fitted(graph):
    """The same graph with weights so small that no sum can wrap; behind windows exponents shift down first."""
    lowest = 0 if graph.longest_period == 1 else -7
    for name in graph.order:
        node = graph.nodes[name]
        if isinstance(node, (IntegerLinear, IntegerConv, IntegerScale)):
            while (bound := value_bounds(graph)[name]) > FMT.sum_max // 16 or bound << -min(node.weight_exp, 0) > 2**22:
                smaller = (
                    {"weight_exp": max(node.weight_exp - 5, lowest)}
                    if node.weight_exp > lowest and bound > FMT.sum_max // 16
                    else {"weight_int8": np.sign(node.weight_int8) * (np.abs(node.weight_int8) // 2)}
                )
                node = replace(node, **smaller)
                graph = graph.with_nodes({name: node})
    return graph


LOUD = (IntegerLIF, IntegerAlphaLIF, IntegerDynamicThresholdLIF)


def loud_graph(case):
    """The same graph with large sums, membranes that keep what they get, and high thresholds: many are clipped."""
    graph = integer_graph(case)
    for name, node in graph.nodes.items():
        changed = node
        if isinstance(node, LOUD):
            changed = replace(node, dv=node.dv // 64)
            if isinstance(node, IntegerAlphaLIF):
                changed = replace(changed, du=node.du // 64)
            if isinstance(changed, (IntegerLIF, IntegerAlphaLIF)) and node.vth is not None:
                changed = replace(changed, vth=FMT.threshold_max - node.vth // 64)
        elif isinstance(node, (IntegerLinear, IntegerConv, IntegerScale)) and all(
            isinstance(graph.nodes[edge.target], LOUD) and edge.port != "threshold" for edge in graph.outgoing(name)
        ):
            room = FMT.sum_max // 4 // max(value_bounds(graph)[name], 1)
            changed = replace(node, weight_exp=node.weight_exp + max(room.bit_length() - 1, 0))
        graph = graph.with_nodes({name: changed})
    return graph


def dyadic_graph(case):
    return Outline(case, DyadicMakers).graph


def random_inputs(graph, case):
    rng = np.random.default_rng(case.seed + 1)
    rate = rng.choice([0.1, 0.5, 1.0])
    inputs = {}
    for name, node in graph.inputs().items():
        shape = (case.num_steps, case.batch, *node.shape)
        inputs[name] = rng.random(shape) < rate if node.kind == "spike" else rng.integers(-900, 900, shape)
        inputs[name] = inputs[name].astype(np.int16)
    return inputs
