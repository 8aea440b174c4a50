"""The specification: NumPy integers, one node at a time, as plain as the equations in `nodes`.

A graph in "lava" timing is run as a chip runs it: every synapse layer answers a step late, a node of latency L starts
its sample at step L, and the trace is put back in step with the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Edge, Graph, is_sent_late
from ..nodes import NEURONS, Input, Int, IntegerDynamicThresholdLIF, IntegerThreshold, IntegerWindowSum
from ..trace import Array, LayerTrace, Trace, arriving_at, check_inputs, held, on_ticks
from ..verify import verify
from .integer_neurons import IntegerNeuron, fire, initial_state, moving_threshold
from .integer_steps import send
from .windows import GatheringWindow


def run_integer(graph: Graph, inputs: Mapping[str, Array]) -> Trace:
    """Run an integer graph on a batch.

    Args:
        graph: integer dialect, in either timing.
        inputs: name to [T, B, *shape], see `trace.check_inputs`.

    Returns:
        The trace of every neuron node, row t being step t of the model: `s` uint8 [T, B, n], `v` int64 [T, B, n]
        (Lava's `v` after the step; None for `IntegerThreshold`), `theta` int64 [T, B].
    """
    verify(graph, "integer")
    num_steps, batch = check_inputs(graph, inputs)
    run = _Run(graph, inputs, num_steps, batch)
    for step in range(num_steps + max(graph.latency.values(), default=0)):
        run.advance(step)
    return {name: layer.trace(graph.period[name]) for name, layer in run.layers.items()}


class _Run:
    """What every node sent, as far back as an edge may ask, and the neurons' states."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Array], num_steps: int, batch: int) -> None:
        self.graph, self.inputs, self.num_steps, self.batch = graph, inputs, num_steps, batch
        self.layers = {name: _Layer(graph, name, batch) for name in graph.of_type(NEURONS)}
        self.windows = {
            name: GatheringWindow(node.weight_uint8.tolist(), np.zeros((batch, *node.shape), dtype=np.int64))
            for name, node in graph.of_type(IntegerWindowSum).items()
        }
        self.sent: dict[str, dict[int, Int]] = {name: {} for name in graph.nodes}
        self.longest_wait = max((graph.wait(edge) for edge in graph.edges), default=0)

    def advance(self, step: int) -> None:
        """Compute what every node sends in one step."""
        for name in self.graph.order:
            sent = self.sent[name]
            sent[step] = self.computed(name, step)
            sent.pop(step - self.longest_wait - 1, None)

    def computed(self, name: str, step: int) -> Int:
        """Return what a node sends: nothing before its sample is under way, and between its ticks."""
        node, model_step = self.graph.nodes[name], step - self.graph.latency.get(name, 0)
        if isinstance(node, Input):
            return self.outside(name, step)
        if model_step < 0 or not self.graph.receives(name, model_step):
            return np.zeros((self.batch, *node.shape), dtype=np.int64)
        ports = {port: self.arriving(name, port, step) for port in node.ports if self.graph.sources(name, port)}
        if name in self.windows:
            window: Int = self.windows[name].step(ports["input"])
            return window
        if name in self.layers:
            return self.layers[name].step(ports, is_recorded=model_step < self.num_steps)
        return send(node, ports)

    def outside(self, name: str, step: int) -> Int:
        """Return an input's values; zeros before and after the sample."""
        node = self.graph.inputs()[name]
        if not 0 <= step < self.num_steps:
            return np.zeros((self.batch, *node.shape), dtype=np.int64)
        return arriving_at(node, self.inputs[name][step]).astype(np.int64)

    def arriving(self, name: str, port: str, step: int) -> Int:
        """Sum what the edges into a port deliver."""
        expected = (self.batch, *self.graph.nodes[name].ports[port])
        total = np.zeros(expected, dtype=np.int64)
        for edge in self.graph.incoming(name, port):
            total = total + self.delivered(edge, step).reshape(expected)
        return total

    def delivered(self, edge: Edge, step: int) -> Int:
        """Return what an edge delivers: its source's value some steps ago, zeros before."""
        then = step - self.graph.wait(edge)
        if is_sent_late(self.graph, edge):
            return self.outside(edge.source, then - self.graph.latency.get(edge.target, 0))
        source = self.graph.nodes[edge.source]
        return self.sent[edge.source][then] if then >= 0 else np.zeros((self.batch, *source.shape), dtype=np.int64)


class _Layer:
    """State and records of one neuron layer."""

    def __init__(self, graph: Graph, name: str, batch: int) -> None:
        node = graph.nodes[name]
        assert isinstance(node, IntegerNeuron) and graph.fmt is not None
        self.node, self.fmt, self.batch = node, graph.fmt, batch
        self.state = initial_state(node, batch)
        self.saturations = 0
        self.spikes: list[Int] = []
        self.membranes: list[Int] = []
        self.thetas: list[Int] = []

    def step(self, ports: Mapping[str, Int], *, is_recorded: bool) -> Int:
        """Advance by one tick and return the spikes."""
        theta, vth = self.threshold(ports)
        synaptic_sum = ports["input"] + ports.get("recurrent", 0)
        spikes, self.state, num_clipped = fire(self.node, self.state, synaptic_sum, vth, self.fmt)
        if is_recorded:
            self.saturations += num_clipped
            self.spikes.append(spikes.reshape(self.batch, -1))
            self.membranes += [v.reshape(self.batch, -1) for v in self.state[:1]]
            self.thetas += [] if theta is None else [theta]
        return spikes

    def threshold(self, ports: Mapping[str, Int]) -> tuple[Int | None, Int]:
        """Return the controller's θ [B], if there is one, and the step's threshold mantissa for every neuron."""
        node = self.node
        if isinstance(node, IntegerDynamicThresholdLIF):
            theta = moving_threshold(node, ports["population"], ports.get("context"))
            return theta, (theta << node.theta_shift).reshape(-1, *(1 for _ in node.shape))
        return None, ports["threshold"] if node.vth is None else node.vth

    def trace(self, period: int) -> LayerTrace:
        """Return what was recorded of a layer that ticks every `period` steps."""
        return LayerTrace(
            s=on_ticks(self.spikes, period).astype(np.uint8),
            v=None if isinstance(self.node, IntegerThreshold) else held(self.membranes, period),
            theta=held(self.thetas, period) if self.thetas else None,
            saturations=self.saturations,
        )
