"""Runs the network that was read, step by step in snnTorch, and records what its neurons did."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from .graph import Graph
from .nodes import LIF, NEURONS, DynamicThresholdLIF
from .reader import TracedNetwork
from .trace import Array, LayerTrace, Trace, check_inputs


@torch.no_grad()
def run_torch(network: nn.Module, traced: TracedNetwork, inputs: Mapping[str, Array]) -> Trace:
    """Run a one-step network over time.

    Args:
        network: the network, in eval mode, on the CPU.
        traced: how it was read.
        inputs: name to [T, B, n].

    Returns:
        Spikes and membranes (after a hard reset) of every neuron module, float32.
    """
    num_steps, _ = check_inputs(traced.graph, inputs)
    neurons = {name: network.get_submodule(name) for name in traced.graph.of_type(NEURONS)}
    recorder = _Recorder(traced.graph)
    handles = [module.register_forward_hook(recorder.hook(name)) for name, module in neurons.items()]
    for module in neurons.values():
        module.mem = torch.zeros(0)
    try:
        for t in range(num_steps):
            step = {name: torch.as_tensor(array[t].astype(np.float32)) for name, array in inputs.items()}
            states = {name: neurons[neuron].mem for name, neuron in traced.states.items()}
            network(**step, **states)
    finally:
        for handle in handles:
            handle.remove()
    return recorder.trace()


class _Recorder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.spikes: dict[str, list[Array]] = {}
        self.membranes: dict[str, list[Array]] = {}

    def hook(self, name: str):  # type: ignore[no-untyped-def]  # torch types hooks as Callable[..., Any]
        node = self.graph.nodes[name]
        hard = isinstance(node, DynamicThresholdLIF) or (isinstance(node, LIF) and node.reset == "zero")

        def record(module: nn.Module, arguments: object, result: object) -> None:
            spikes = result[0] if isinstance(result, tuple) else result
            assert isinstance(spikes, torch.Tensor) and isinstance(module.mem, torch.Tensor)
            # snnTorch resets one step late; V = U (1 − S) is what it will start from
            v = module.mem * (1 - spikes) if hard else module.mem
            self.spikes.setdefault(name, []).append(spikes.numpy().astype(np.uint8))
            self.membranes.setdefault(name, []).append(v.numpy().copy())

        return record

    def trace(self) -> Trace:
        return {
            name: LayerTrace(s=np.stack(rows), v=np.stack(self.membranes[name])) for name, rows in self.spikes.items()
        }
