"""Runs the network that was read, step by step in snnTorch: recorded for parity, or bare for timing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hardware_profiles.arithmetic import CONTEXT_FRACTION_BITS, CONTEXT_MAX

from .deployment import Deployment
from .graph import Graph
from .nodes import LIF, NEURONS, DynamicThresholdLIF, Output
from .reader import TracedNetwork, named_outputs, trace_network
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


def make_runner(deployment: Deployment, arrays: Mapping[str, Array], device: str) -> tuple[Callable[[], None], int]:
    """Return a function that runs one batch through the whole deployment, and its floating-point operations.

    Args:
        deployment: chip and host segments; moved to `device`.
        arrays: `[B, T, n]` (and host inputs `[B, ...]`), one batch.
        device: `cpu` or `cuda`.

    Returns:
        (run, FLOP of one run, 2 per multiply-accumulate of matrix products; elementwise work is not counted).
    """
    traced = trace_network(deployment.chip)
    deployment.module.to(device)
    tensors = {
        name: torch.as_tensor(np.asarray(array, dtype=np.float32), device=device) for name, array in arrays.items()
    }
    runner = _Runner(deployment, traced, tensors, device)
    with FlopCounterMode(display=False) as counter:
        runner()
    return runner, counter.get_total_flops()


class _Runner:
    """One forward pass of host segments and chip, in torch."""

    def __init__(
        self, deployment: Deployment, traced: TracedNetwork, tensors: Mapping[str, torch.Tensor], device: str
    ) -> None:
        self.deployment, self.traced, self.tensors, self.device = deployment, traced, tensors, device
        self.neurons = {name: deployment.chip.get_submodule(name) for name in traced.graph.of_type(NEURONS)}

    @torch.no_grad()
    def __call__(self) -> None:
        known = self._host("before", dict(self.tensors))
        for name, node in self.traced.graph.inputs().items():
            if node.kind == "graded":
                graded = torch.floor(known[name] * (1 << CONTEXT_FRACTION_BITS) + 0.5)
                known[name] = graded.clamp(-CONTEXT_MAX, CONTEXT_MAX)
        self._host("after", known | self._rates(known))
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _host(self, when: str, known: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        for segment in self.deployment.hosts:
            if segment.when == when:
                outputs = segment.module(*(known[name] for name in segment.inputs))
                known |= dict(zip(segment.outputs, outputs, strict=True))
        return known

    def _rates(self, known: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        for module in self.neurons.values():
            module.mem = torch.zeros(0, device=self.device)
        inputs = {name: known[name] for name in self.traced.graph.inputs()}
        num_steps = next(iter(inputs.values())).shape[1]
        sums: dict[str, torch.Tensor] = {}
        for t in range(num_steps):
            states = {name: self.neurons[neuron].mem for name, neuron in self.traced.states.items()}
            result = named_outputs(self.deployment.chip(**{name: x[:, t] for name, x in inputs.items()}, **states))
            for name in self.traced.graph.of_type(Output):
                spikes = result[name][0] if isinstance(result[name], tuple) else result[name]
                sums[name] = sums[name] + spikes if name in sums else spikes
        return {f"{name}_rate": total / num_steps for name, total in sums.items()}


class _Recorder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.spikes: dict[str, list[Array]] = {}
        self.membranes: dict[str, list[Array]] = {}

    def hook(self, name: str) -> Callable[..., None]:
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
