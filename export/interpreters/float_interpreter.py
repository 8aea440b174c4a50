"""The float world: the graph's equations with torch's own operations, in snnTorch's order of evaluation.

In float32 on the same shapes it performs the same operations as the snnTorch network that was read, so its
spikes are equal, not close. In float64 with `forced` spikes it is the yardstick that explains rounding: each
decision is taken afresh from the history that another world really had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ..graph import Edge, Graph
from ..nodes import (
    LI,
    NEURONS,
    Conv,
    Gather,
    Input,
    Linear,
    MatMul,
    Norm,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    Scale,
    WindowSum,
)
from ..trace import Array, Trace, arriving_at, check_inputs, on_ticks
from ..verify import verify
from .float_layers import Layer, make_layer
from .float_maps import linear_map
from .tracked import LinearMap, Number, exact, multiply, value_of
from .windows import GatheringWindow

LINEAR = (Linear, Conv, Scale, Norm, Pool, Gather, Reshape, Reduce)


@dataclass(frozen=True, eq=False)
class FloatRun:
    """Result of a float run.

    Attributes:
        trace: what every neuron node did.
        outputs: what left at every output node, [T, B, *shape].
        margin: U[t] − θ[t] at each decision, [T, B, n] per node; −inf between the ticks of a slower stage.
        rounding_bound: bound on |margin − exact margin| of any float32-or-better evaluation with the same
            spike history, [T, B, n] per node; empty unless asked for.
    """

    trace: Trace
    outputs: dict[str, Array]
    margin: dict[str, Array]
    rounding_bound: dict[str, Array]


@torch.no_grad()
def run_float(
    graph: Graph,
    inputs: Mapping[str, Array],
    *,
    dtype: torch.dtype = torch.float32,
    forced: Trace | None = None,
    with_bound: bool = False,
) -> FloatRun:
    """Run a float graph on a batch.

    Args:
        graph: float dialect, model timing.
        inputs: name to [T, B, *shape], see `trace.check_inputs`.
        dtype: torch.float32 (equal to snnTorch) or torch.float64 (the yardstick).
        forced: spikes of another world; they drive resets and later layers instead of this run's own. Neurons that
            it lacks decide for themselves.
        with_bound: also return the rounding bounds; asks for float64.

    Returns:
        This run's own decisions, margins and bounds.
    """
    verify(graph, "float")
    assert graph.timing == "model" and (dtype == torch.float64 or not with_bound)
    num_steps, batch = check_inputs(graph, inputs)
    world = _FloatWorld(graph, batch, dtype, with_bound)
    for t in range(num_steps):
        arriving = {
            name: torch.as_tensor(arriving_at(node, inputs[name][t]).astype(np.float64)).to(dtype)
            for name, node in graph.inputs().items()
        }
        world.step(t, arriving, {} if forced is None else {name: layer.s[t] for name, layer in forced.items()})
    return world.result()


class _FloatWorld:
    """All state of a run, and one step of it."""

    def __init__(self, graph: Graph, batch: int, dtype: torch.dtype, with_bound: bool) -> None:
        self.graph, self.batch, self.dtype, self.with_bound = graph, batch, dtype, with_bound
        self.layers: dict[str, Layer] = {
            name: make_layer(node, self._zeros(node.shape), dtype) for name, node in graph.of_type(NEURONS).items()
        }
        self.maps: dict[str, LinearMap] = {
            name: linear_map(node, dtype) for name, node in graph.of_type(LINEAR).items()
        }
        self.integrators: dict[str, Number] = {
            name: self._zeros(node.shape) for name, node in graph.of_type(LI).items()
        }
        self.windows = {
            name: GatheringWindow(node.weight.tolist(), self._zeros(node.shape))
            for name, node in graph.of_type(WindowSum).items()
        }
        self.late: dict[Edge, deque[Number]] = {
            edge: deque([self._zeros(graph.nodes[edge.source].shape)] * edge.delay)
            for edge in graph.edges
            if edge.delay
        }
        self.outputs: dict[str, list[Array]] = {name: [] for name in graph.of_type(Output)}

    def _zeros(self, shape: tuple[int, ...]) -> Number:
        zeros = torch.zeros((self.batch, *shape), dtype=self.dtype)
        return exact(zeros) if self.with_bound else zeros

    def step(self, t: int, inputs: Mapping[str, torch.Tensor], forced: Mapping[str, Array]) -> None:
        """Compute every node that ticks."""
        values: dict[str, Number] = {}
        for name in self.graph.order:
            if self.graph.receives(name, t):
                values[name] = self._compute(name, values, inputs, forced)
            else:
                values[name] = self._zeros(self.graph.nodes[name].shape)
        for edge, queue in self.late.items():
            queue.append(values[edge.source])
            queue.popleft()

    def _compute(
        self,
        name: str,
        values: Mapping[str, Number],
        inputs: Mapping[str, torch.Tensor],
        forced: Mapping[str, Array],
    ) -> Number:
        node = self.graph.nodes[name]
        if isinstance(node, Input):
            return exact(inputs[name]) if self.with_bound else inputs[name]
        ports = {port: self._arriving(name, port, values) for port in node.ports}
        if name in self.maps:
            return self.maps[name](_present(ports["input"]))
        if name in self.windows:
            sent: Number = self.windows[name].step(_present(ports["input"]))
            return sent
        if name in self.layers:
            return self.layers[name].step(ports, forced.get(name))
        if isinstance(node, LI):
            beta = torch.as_tensor(node.beta).to(self.dtype)
            self.integrators[name] = self.integrators[name] * beta + _present(ports["input"])
            return self.integrators[name]
        if isinstance(node, Product):
            return multiply(_present(ports["a"]), _present(ports["b"]), torch.mul, 1)
        if isinstance(node, MatMul):
            return multiply(_present(ports["a"]), _present(ports["b"]), torch.matmul, node.shape_a[-1])
        assert isinstance(node, Output)
        arrived = _present(ports["input"])
        self.outputs[name].append(value_of(arrived).numpy().copy())
        return arrived

    def _arriving(self, name: str, port: str, values: Mapping[str, Number]) -> Number | None:
        """Sum the edges into a port, in their order."""
        total: Number | None = None
        for edge in self.graph.incoming(name, port):
            value = self.late[edge][0] if edge.delay else values[edge.source]
            total = value if total is None else total + value
        return total

    def result(self) -> FloatRun:
        """Stack what was recorded."""
        period = self.graph.period
        return FloatRun(
            trace={name: layer.record.trace(period[name]) for name, layer in self.layers.items()},
            outputs={name: on_ticks(rows, period[name]) for name, rows in self.outputs.items()},
            margin={
                name: on_ticks(layer.record.margins, period[name], between=-np.inf)
                for name, layer in self.layers.items()
            },
            rounding_bound={
                name: on_ticks(layer.record.bounds, period[name])
                for name, layer in self.layers.items()
                if layer.record.bounds
            },
        )


def _present(number: Number | None) -> Number:
    assert number is not None, "verify admits no port at which nothing arrives"
    return number
