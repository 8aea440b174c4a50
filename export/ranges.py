"""How large integers can become, on any input: what proves that nothing wraps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from math import prod

import numpy as np

from hardware_profiles.arithmetic import CONTEXT_MAX, IntegerFormat
from hardware_profiles.errors import RangeError

from .errors import ExportError
from .graph import Graph
from .nodes import (
    NEURONS,
    PRODUCTS,
    REARRANGEMENTS,
    WINDOWS,
    Gather,
    Input,
    Int8,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    IntegerWindowSum,
    MatMul,
    Pool,
    Product,
    Reduce,
    Reshape,
    WindowSum,
)

WEIGHTS_AT_ONCE = 1 << 20
"""Weights that are looked at together."""
GRADED_BITS = 24
"""A graded spike payload of Loihi 2 is a signed word of so many bits (Lava 0.10.0, `num_message_bits`)."""


def carries_spikes(graph: Graph, name: str) -> bool:
    """Tell whether a node sends only 0 and 1: spikes, or spikes moved to other places."""
    moved: set[str] = set()
    while isinstance(graph.nodes[name], (Gather, Reshape)) and name not in moved:
        moved.add(name)
        sources = graph.sources(name)
        if len(sources) != 1:
            return False
        name = sources[0]
    node = graph.nodes[name]
    return isinstance(node, NEURONS) or (isinstance(node, Input) and node.kind == "spike")


def value_bounds(graph: Graph) -> dict[str, int]:
    """Return the largest magnitude that each node of an integer graph can send.

    Raises:
        ExportError: a loop holds no spiking neuron, so that nothing bounds it.
    """
    bounds: dict[str, int] = {name: 1 for name in graph.of_type(NEURONS)}
    ready = [name for name in graph.nodes if name not in bounds and not _unbounded(graph, name, bounds)]
    for name in ready:  # grows while it is walked
        arriving = {port: arriving_bound(graph, name, port, bounds) for port in graph.nodes[name].ports}
        bounds[name] = _bound(graph.nodes[name], arriving)
        targets = dict.fromkeys(edge.target for edge in graph.outgoing(name))
        ready += [target for target in targets if target not in bounds and not _unbounded(graph, target, bounds)]
    for name in graph.nodes:
        if name not in bounds:
            raise ExportError(f"node {name}: lies in a loop without a spiking neuron, so nothing bounds its values")
    return bounds


def _unbounded(graph: Graph, name: str, bounds: Mapping[str, int]) -> bool:
    ports = graph.nodes[name].ports
    return any(source not in bounds for port in ports for source in graph.sources(name, port))


def arriving_bound(graph: Graph, name: str, port: str, bounds: Mapping[str, int]) -> int:
    """Return the largest magnitude of the sum that arrives at a port."""
    return sum(bounds[source] for source in graph.sources(name, port))


@singledispatch
def _bound(node: object, arriving: Mapping[str, int]) -> int:
    return arriving["input"]


@_bound.register
def _(node: Input, arriving: Mapping[str, int]) -> int:
    return 1 if node.kind == "spike" else CONTEXT_MAX


@_bound.register
def _(node: Pool, arriving: Mapping[str, int]) -> int:
    return arriving["input"] * prod(node.kernel)


@_bound.register
def _(node: Reduce, arriving: Mapping[str, int]) -> int:
    return arriving["input"] * node.num_terms


@_bound.register
def _(node: Product, arriving: Mapping[str, int]) -> int:
    return arriving["a"] * arriving["b"]


@_bound.register
def _(node: MatMul, arriving: Mapping[str, int]) -> int:
    return arriving["a"] * arriving["b"] * node.shape_a[-1]


@_bound.register
def _(node: WindowSum, arriving: Mapping[str, int]) -> int:
    return arriving["input"] * int(node.weight.sum(dtype=np.float64))


@_bound.register
def _(node: IntegerWindowSum, arriving: Mapping[str, int]) -> int:
    return arriving["input"] * int(node.weight_uint8.sum(dtype=np.int64))


@_bound.register(IntegerLinear)
@_bound.register(IntegerConv)
@_bound.register(IntegerScale)
def _(node: IntegerLinear | IntegerConv | IntegerScale, arriving: Mapping[str, int]) -> int:
    return shifted_bound(_largest_gain(node) * arriving["input"], node.weight_exp)


def _largest_gain(node: IntegerLinear | IntegerConv | IntegerScale) -> int:
    """Return the largest magnitude of a synaptic sum of ones of any sign, before the exponent."""
    if isinstance(node, IntegerScale):
        return int(np.abs(node.weight_int8).max(initial=0))
    return largest_row_sum(node.weight_int8)


def shifted_bound(bound: int, exponent: int) -> int:
    """Return the largest magnitude of a sum within ±bound after its exponent; right shifts floor."""
    return bound << exponent if exponent >= 0 else -(-bound >> -exponent)


def largest_row_sum(weight: Int8) -> int:
    """Return max_o Σ |w[o, …]|, a part of the rows at a time: |W| of a large layer would take as much memory again."""
    rows = weight.reshape(len(weight), -1)
    num_rows = max(1, WEIGHTS_AT_ONCE // max(rows.shape[1], 1))
    parts = (rows[start : start + num_rows] for start in range(0, len(rows), num_rows))
    return max((int(np.abs(part).sum(axis=1).max(initial=0)) for part in parts), default=0)


def current_bound(sum_bound: int, bias_bound: int, effective_du: int, state_shift: int, unity: int) -> int:
    """Return the largest |u| of u = rz(u·(unity − effective_du)/unity) + x with |x| ≤ (sum << shift) + bias.

    Rounding toward zero never grows a state, so the geometric series bounds it; without decay nothing does.
    """
    drive = (sum_bound << state_shift) + bias_bound
    assert effective_du > 0, "verify refuses synaptic currents that never decay"
    return -(-drive * unity // effective_du)


def _verify_sum(
    name: str, node: IntegerLinear | IntegerConv | IntegerScale, bound: int, arriving: int, fmt: IntegerFormat
) -> None:
    """Prove that a synaptic sum fits after its exponent, and where that shifts it down, before, too."""
    if bound > fmt.sum_max:
        raise RangeError(
            f"node {name}: synaptic sum can reach {bound} and would wrap, allowed is {fmt.sum_max}; use a smaller scale"
        )
    if node.weight_exp < 0 and _largest_gain(node) * arriving > fmt.state_max:
        raise RangeError(
            f"node {name}: synaptic sum can reach {_largest_gain(node) * arriving} before its exponent of "
            f"{node.weight_exp}, allowed is {fmt.state_max}; use a larger exponent"
        )


def verify_ranges(graph: Graph, name: str, bounds: Mapping[str, int], fmt: IntegerFormat) -> None:
    """Prove that what arrives at a node of an integer graph, and what it sends, cannot leave its word.

    Raises:
        RangeError: it could.
        ExportError: a synaptic current never decays, so that no bound exists.
    """
    node = graph.nodes[name]
    if isinstance(node, (IntegerLinear, IntegerConv, IntegerScale)):
        _verify_sum(name, node, bounds[name], arriving_bound(graph, name, "input", bounds), fmt)
    if isinstance(node, (*REARRANGEMENTS, *PRODUCTS, *WINDOWS)) and bounds[name] >= 1 << (GRADED_BITS - 1):
        raise RangeError(f"node {name}: values can reach {bounds[name]}, graded spikes have {GRADED_BITS} bits")
    if not isinstance(
        node, (IntegerLIF, IntegerCubaLIF, IntegerAlphaLIF, IntegerThreshold, IntegerDynamicThresholdLIF)
    ):
        return
    total = sum(arriving_bound(graph, name, port, bounds) for port in ("input", "recurrent") if port in node.ports)
    threshold = arriving_bound(graph, name, "threshold", bounds) if "threshold" in node.ports else 0
    if max(total, threshold) > fmt.sum_max:
        raise RangeError(
            f"node {name}: synaptic sums together can reach {max(total, threshold)} and would wrap, allowed is "
            f"{fmt.sum_max}; use a smaller scale"
        )
    if isinstance(node, IntegerCubaLIF):
        effective_du, bias = int(node.du.min()) + 1, int(np.abs(node.bias_mant).max()) << node.bias_exp
        largest = current_bound(total, bias, effective_du, fmt.state_shift, fmt.decay_unity)
        if largest > fmt.state_max:
            raise RangeError(
                f"node {name}: synaptic current can reach {largest} and would wrap, allowed is {fmt.state_max}; "
                "use a smaller scale or a faster synaptic decay"
            )
