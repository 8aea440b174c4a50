"""The float world: the graph's equations with torch's own operations, in snnTorch's order of evaluation.

In float32 on the same shapes it performs the same operations as the snnTorch network that was read, so its
spikes are equal, not close. In float64 with `forced` spikes it is the yardstick that explains rounding: each
decision is taken afresh from the history that another world really had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .graph import Graph
from .nodes import LIF, NEURONS, DynamicThresholdLIF, Input, Linear, Output
from .trace import Array, LayerTrace, Trace, check_inputs
from .verify import verify

UNIT_ROUNDOFF_FLOAT32 = 2.0**-24


@dataclass(frozen=True, eq=False)
class FloatRun:
    """Result of a float run.

    Attributes:
        trace: `s` and `v` (and `theta`) of every neuron node.
        margin: U[t] − θ[t] at each decision, [T, B, n] per node.
        rounding_bound: bound on |margin − exact margin| of any float32-or-better evaluation with the same
            spike history, [T, B, n] per node; empty unless asked for.
    """

    trace: Trace
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
        graph: float dialect.
        inputs: name to [T, B, size], see `trace.check_inputs`.
        dtype: torch.float32 (equal to snnTorch) or torch.float64 (the yardstick).
        forced: spikes of another world; they drive resets and later layers instead of this run's own.
        with_bound: also return the rounding bounds.

    Returns:
        This run's own decisions, margins and bounds.
    """
    verify(graph, "float")
    num_steps, batch = check_inputs(graph, inputs)
    world = _FloatWorld(graph, batch, dtype, with_bound)
    for t in range(num_steps):
        spikes = {name: torch.as_tensor(inputs[name][t].astype(np.float64)).to(dtype) for name in inputs}
        world.step(spikes, None if forced is None else {name: forced[name].s[t] for name in forced})
    return world.result()


class _FloatWorld:
    def __init__(self, graph: Graph, batch: int, dtype: torch.dtype, with_bound: bool) -> None:
        self.graph, self.dtype, self.with_bound = graph, dtype, with_bound
        self.layers = {name: _Layer(graph, name, batch, dtype) for name in graph.of_type(NEURONS)}
        self.linear = {name: _tensors(node, dtype) for name, node in graph.of_type(Linear).items()}

    def step(self, spikes: dict[str, torch.Tensor], forced: Mapping[str, Array] | None) -> None:
        currents: dict[str, torch.Tensor] = {}
        for name in self.graph.order:
            node = self.graph.nodes[name]
            if isinstance(node, Input):
                continue
            (source,) = self.graph.sources(name)
            if isinstance(node, Linear):
                currents[name] = F.linear(spikes[source], *self.linear[name])
            elif isinstance(node, Output):
                spikes[name] = spikes[source]
            else:
                forced_spikes = None if forced is None else torch.as_tensor(forced[name]).to(self.dtype)
                bound = self._current_bound(source, spikes) if self.with_bound else None
                spikes[name] = self.layers[name].step(currents[source], spikes, forced_spikes, bound)

    def _current_bound(self, source: str, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """γ_n Σ|w||s| (+|b|): rounding of a dot product of n terms in any order of summation."""
        weight, bias = self.linear[source]
        (origin,) = self.graph.sources(source)
        num_terms = weight.shape[1] + 1
        gamma = num_terms * UNIT_ROUNDOFF_FLOAT32 / (1 - num_terms * UNIT_ROUNDOFF_FLOAT32)
        magnitude = F.linear(spikes[origin].abs(), weight.abs(), None if bias is None else bias.abs())
        return gamma * magnitude

    def result(self) -> FloatRun:
        return FloatRun(
            trace={name: layer.trace() for name, layer in self.layers.items()},
            margin={name: np.stack(layer.margins) for name, layer in self.layers.items()},
            rounding_bound={n: np.stack(layer.bounds) for n, layer in self.layers.items() if layer.bounds},
        )


def _tensors(node: Linear, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor | None]:
    bias = None if node.bias is None else torch.as_tensor(node.bias).to(dtype)
    return torch.as_tensor(node.weight).to(dtype), bias


class _Layer:
    """State and records of one neuron node."""

    def __init__(self, graph: Graph, name: str, batch: int, dtype: torch.dtype) -> None:
        node = graph.nodes[name]
        assert isinstance(node, LIF | DynamicThresholdLIF)
        self.node, self.dtype = node, dtype
        self.population = next(iter(graph.sources(name, "population")), None)
        self.context = next(iter(graph.sources(name, "context")), None)
        self.beta = torch.as_tensor(node.beta).to(dtype)
        self.v = torch.zeros((batch, node.size), dtype=dtype)
        self.last_s = torch.zeros_like(self.v)
        self.error = torch.zeros_like(self.v)
        self.spikes: list[Array] = []
        self.membranes: list[Array] = []
        self.thetas: list[Array] = []
        self.margins: list[Array] = []
        self.bounds: list[Array] = []

    def step(
        self,
        current: torch.Tensor,
        spikes: Mapping[str, torch.Tensor],
        forced: torch.Tensor | None,
        current_bound: torch.Tensor | None,
    ) -> torch.Tensor:
        """One step; returns the spikes that later layers see."""
        theta = self._theta(spikes)
        leaked = self.beta * self.v
        u = leaked + current
        if isinstance(self.node, LIF) and self.node.reset == "subtract":
            u = u - self.last_s * theta
        own = (u - theta > 0).to(self.dtype)
        seen = own if forced is None else forced
        if current_bound is not None:
            rounding = 4 * UNIT_ROUNDOFF_FLOAT32 * (leaked.abs() + current.abs() + u.abs() + theta)
            self.error = self.beta * self.error + current_bound + rounding
            self.bounds.append(self.error.numpy().copy())
        hard = isinstance(self.node, DynamicThresholdLIF) or self.node.reset == "zero"
        self.v = u * (1 - seen) if hard else u
        if hard and current_bound is not None:
            self.error = self.error * (1 - seen)
        self.last_s = seen
        self.spikes.append(own.numpy().astype(np.uint8))
        self.membranes.append(self.v.numpy().copy())
        self.margins.append((u - theta).numpy())
        return seen

    def _theta(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if isinstance(self.node, LIF):
            return torch.as_tensor(self.node.threshold).to(self.dtype)
        controller = self.node.controller
        assert self.population is not None
        population = spikes[self.population].numpy().astype(np.int64)
        empty = np.zeros((population.shape[0], 0), dtype=np.int64)
        context = empty if self.context is None else spikes[self.context].numpy().astype(np.int64)
        theta = controller.threshold(controller.group_counts(population), context)
        self.thetas.append(theta)
        return torch.as_tensor(theta[:, None] * 2.0**-controller.fraction_bits).to(self.dtype)

    def trace(self) -> LayerTrace:
        theta = np.stack(self.thetas) if self.thetas else None
        return LayerTrace(s=np.stack(self.spikes), v=np.stack(self.membranes), theta=theta)
