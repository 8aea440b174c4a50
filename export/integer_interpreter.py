"""The specification: NumPy integers, one node at a time, as plain as the equations in `nodes`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch

import numpy as np

from hardware_profiles import arithmetic
from hardware_profiles.arithmetic import IntegerFormat

from .graph import Graph
from .nodes import NEURONS, Input, Int, IntegerDynamicThresholdLIF, IntegerLIF, IntegerLinear, Output
from .trace import Array, LayerTrace, Trace, check_inputs
from .verify import verify


def run_integer(graph: Graph, inputs: Mapping[str, Array]) -> Trace:
    """Run an integer graph on a batch.

    Args:
        graph: integer dialect.
        inputs: name to [T, B, size], see `trace.check_inputs`.

    Returns:
        The trace of every neuron node: `s` uint8, `v` int64 (Lava's `v` after the step), `theta` int64.
    """
    verify(graph, "integer")
    num_steps, batch = check_inputs(graph, inputs)
    assert graph.fmt is not None
    states = {name: _State(batch, graph.nodes[name].size) for name in graph.of_type(NEURONS)}
    records: dict[str, list[tuple[Int, Int, Int | None]]] = {name: [] for name in states}
    for t in range(num_steps):
        values: dict[str, Int] = {}
        for name in graph.order:
            node = graph.nodes[name]
            if isinstance(node, Input):
                values[name] = inputs[name][t].astype(np.int64)
                continue
            ports = {port: _arriving(graph, name, port, values) for port in ("input", "population", "context")}
            values[name] = _step(node, ports, states.get(name), graph.fmt)
            if name in records:
                state = states[name]
                records[name].append((values[name], state.v.copy(), state.theta))
    return {name: _layer_trace(record, states[name]) for name, record in records.items()}


class _State:
    """Membrane, last spikes and last threshold of one neuron node."""

    def __init__(self, batch: int, size: int) -> None:
        self.v: Int = np.zeros((batch, size), dtype=np.int64)
        self.s: Int = np.zeros((batch, size), dtype=np.int64)
        self.theta: Int | None = None
        self.saturations = 0

    def saturate(self, v: Int, fmt: IntegerFormat) -> Int:
        """Clip, counting what was clipped."""
        clipped = arithmetic.saturate(v, fmt)
        self.saturations += int((clipped != v).sum())
        return clipped


def _arriving(graph: Graph, name: str, port: str, values: Mapping[str, Int]) -> Int | None:
    sources = graph.sources(name, port)
    return sum((values[source] for source in sources[1:]), values[sources[0]]) if sources else None


@singledispatch
def _step(node: object, ports: Mapping[str, Int | None], state: _State | None, fmt: IntegerFormat) -> Int:
    raise AssertionError(f"no integer step for {type(node).__name__}")


@_step.register
def _(node: IntegerLinear, ports: Mapping[str, Int | None], state: _State | None, fmt: IntegerFormat) -> Int:
    spikes = ports["input"]
    assert spikes is not None
    return arithmetic.shift(spikes @ node.weight_int8.T, node.weight_exp)


@_step.register
def _(node: Output, ports: Mapping[str, Int | None], state: _State | None, fmt: IntegerFormat) -> Int:
    assert ports["input"] is not None
    return ports["input"]


@_step.register
def _(node: IntegerLIF, ports: Mapping[str, Int | None], state: _State | None, fmt: IntegerFormat) -> Int:
    assert state is not None and ports["input"] is not None
    vth = node.vth << fmt.state_shift
    u = arithmetic.integrate(state.v, ports["input"], node.dv, node.bias_mant << node.bias_exp, fmt)
    if node.reset == "subtract":
        u = u - state.s * vth
    u = state.saturate(u, fmt)
    state.s = (u > vth).astype(np.int64)
    state.v = u * (1 - state.s) if node.reset == "zero" else u
    return state.s


@_step.register
def _(
    node: IntegerDynamicThresholdLIF, ports: Mapping[str, Int | None], state: _State | None, fmt: IntegerFormat
) -> Int:
    population, context = ports["population"], ports["context"]
    assert state is not None and ports["input"] is not None and population is not None
    if context is None:
        context = np.zeros((population.shape[0], 0), dtype=np.int64)
    state.theta = node.controller.threshold(node.controller.group_counts(population), context)
    vth = (state.theta << (node.theta_shift + fmt.state_shift))[:, None]
    u = arithmetic.integrate(state.v, ports["input"], node.dv, node.bias_mant << node.bias_exp, fmt)
    u = state.saturate(u, fmt)
    state.s = (u > vth).astype(np.int64)
    state.v = u * (1 - state.s)
    return state.s


def _layer_trace(record: list[tuple[Int, Int, Int | None]], state: _State) -> LayerTrace:
    theta = None if record[0][2] is None else np.stack([row[2] for row in record if row[2] is not None])
    return LayerTrace(
        s=np.stack([row[0] for row in record]).astype(np.uint8),
        v=np.stack([row[1] for row in record]),
        theta=theta,
        saturations=state.saturations,
    )
