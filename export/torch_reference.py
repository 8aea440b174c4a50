"""Runs the network that was read in snnTorch: recorded for parity, or bare for timing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hardware_profiles.arithmetic import CONTEXT_FRACTION_BITS, CONTEXT_MAX

from .deployment import Deployment, chip_input_specs
from .errors import InputDataError
from .host_segment import made_by_hosts
from .nodes import LIF, Node, Output
from .reader import TracedNetwork, trace_network
from .reading.outputs import named_outputs
from .registry import read_states
from .trace import Array, LayerTrace, Trace, arriving_at, check_inputs


@torch.no_grad()
def run_torch(network: nn.Module, traced: TracedNetwork, inputs: Mapping[str, Array]) -> Trace:
    """Run a network over time, as its own forward does.

    Args:
        network: the network, in eval mode, on the CPU.
        traced: how it was read.
        inputs: name to [T, B, *shape].

    Returns:
        Spikes and membranes (as the nodes' equations store them) of every neuron module, float32.

    Raises:
        InputDataError: the inputs do not fit, or forward fixes the number of steps itself and they have another.
    """
    check_inputs(traced.graph, inputs)
    recorder = _Recorder(network, traced)
    try:
        _drive(network, traced, {
            name: torch.as_tensor(np.stack([arriving_at(node, step) for step in inputs[name]]).astype(np.float32))
            for name, node in traced.graph.inputs().items()
        })  # fmt: skip
    finally:
        recorder.remove()
    return recorder.trace()


def _drive(network: nn.Module, traced: TracedNetwork, inputs: Mapping[str, torch.Tensor]) -> list[Mapping[str, Any]]:
    """Run a network from rest on inputs [T, B, *shape], and return what it returned, call by call."""
    modules = {name: network.get_submodule(name) for name in traced.calls}
    device = next(iter(inputs.values())).device
    for module in modules.values():
        for state in read_states(module):
            setattr(module, state, torch.zeros(0, device=device))
    if traced.time_axis is not None:
        series = {name: values.transpose(0, traced.time_axis) for name, values in inputs.items()}
        return [named_outputs(network(**series))]
    if traced.fixed_steps > 1:
        return [named_outputs(network(**_constant_input(inputs, traced.fixed_steps)))]
    results = []
    for t in range(len(next(iter(inputs.values())))):
        states = {name: getattr(modules[module], state) for name, (module, state) in traced.states.items()}
        results.append(named_outputs(network(**{name: values[t] for name, values in inputs.items()}, **states)))
    return results


def _constant_input(inputs: Mapping[str, torch.Tensor], num_steps: int) -> dict[str, torch.Tensor]:
    for name, values in inputs.items():
        if len(values) != num_steps or not bool((values == values[:1]).all()):
            raise InputDataError(
                f"input {name}: forward sees one constant input for {num_steps} steps, allowed are {num_steps} equal "
                "steps; repeat the sample over time"
            )
    return {name: values[0] for name, values in inputs.items()}


class _Recorder:
    """Forward hooks on every neuron module."""

    def __init__(self, network: nn.Module, traced: TracedNetwork) -> None:
        self.graph = traced.graph
        self.spikes: dict[str, list[Array]] = {}
        self.membranes: dict[str, list[Array]] = {}
        self.handles = [
            network.get_submodule(name).register_forward_hook(self._hook(layers))
            for name, layers in traced.calls.items()
        ]

    def _hook(self, layers: tuple[str, ...]) -> Callable[..., None]:
        num_calls = 0

        def record(module: nn.Module, arguments: object, result: object) -> None:
            nonlocal num_calls
            layer = layers[num_calls % len(layers)]
            num_calls += 1
            spikes = result[0] if isinstance(result, tuple) else result
            assert isinstance(spikes, torch.Tensor) and isinstance(module.mem, torch.Tensor)
            fired = (spikes != 0).flatten(1)
            v = module.mem.flatten(1)
            if _is_read_as_immediate(module, self.graph.nodes[layer]):
                # snnTorch resets one step late; V = U (1 − S) is what it will start from
                v = v * ~fired
            self.spikes.setdefault(layer, []).append(fired.numpy().astype(np.uint8))
            self.membranes.setdefault(layer, []).append(v.numpy().copy())

        return record

    def remove(self) -> None:
        """Take the hooks off again."""
        for handle in self.handles:
            handle.remove()

    def trace(self) -> Trace:
        return {
            name: LayerTrace(s=np.stack(rows), v=np.stack(self.membranes[name])) for name, rows in self.spikes.items()
        }


def _is_read_as_immediate(module: nn.Module, node: Node) -> bool:
    """Tell whether snnTorch's late reset to zero was read as one at once, see `nodes.LIF`."""
    return isinstance(node, LIF) and node.reset == "zero" and not node.reset_delay and bool(module.reset_delay)


def make_runner(deployment: Deployment, arrays: Mapping[str, Array], device: str) -> tuple[Callable[[], None], int]:
    """Return a function that runs one batch through the whole deployment, and its floating-point operations.

    Args:
        deployment: chip and host segments; moved to `device`.
        arrays: `[B, T, *shape]` (and host inputs `[B, ...]`), one batch.
        device: `cpu` or `cuda`.

    Returns:
        (run, FLOP of one run, 2 per multiply-accumulate of matrix products; elementwise work is not counted).
    """
    tensors = {name: torch.as_tensor(np.asarray(array, dtype=np.float32)) for name, array in arrays.items()}
    with torch.no_grad():
        known = _run_hosts(deployment, "before", dict(tensors))
    specs = chip_input_specs(deployment, {name: tensor.numpy() for name, tensor in known.items()})
    traced = trace_network(deployment.chip, deployment.dt_s, specs, deployment.time_axis)
    deployment.module.to(device)
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    runner = _Runner(deployment, traced, tensors, device)
    with FlopCounterMode(display=False) as counter:
        runner()
    return runner, counter.get_total_flops()


def _run_hosts(deployment: Deployment, when: str, known: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Run the host segments of one side in torch, and add what they return."""
    for segment in deployment.hosts:
        if segment.when == when:
            outputs = segment.module(*(known[name] for name in segment.inputs))
            known |= dict(zip(segment.outputs, outputs, strict=True))
    return known


class _Runner:
    """One forward pass of host segments and chip, in torch."""

    def __init__(
        self, deployment: Deployment, traced: TracedNetwork, tensors: Mapping[str, torch.Tensor], device: str
    ) -> None:
        self.deployment, self.traced, self.tensors, self.device = deployment, traced, tensors, device

    @torch.no_grad()
    def __call__(self) -> None:
        known = _run_hosts(self.deployment, "before", dict(self.tensors))
        made = made_by_hosts(self.deployment.hosts)
        for name, node in self.traced.graph.inputs().items():
            if node.kind == "graded" and name in made:
                graded = torch.floor(known[name] * (1 << CONTEXT_FRACTION_BITS) + 0.5)
                known[name] = graded.clamp(-CONTEXT_MAX, CONTEXT_MAX)
        _run_hosts(self.deployment, "after", known | self._rates(known))
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _rates(self, known: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        inputs = {name: known[name].transpose(0, 1) for name in self.traced.graph.inputs()}
        num_steps = len(next(iter(inputs.values())))
        results = _drive(self.deployment.chip, self.traced, inputs)
        rates = {}
        for name in self.traced.graph.of_type(Output):
            spikes = [_spikes(result[name]) for result in results]
            total = torch.stack(spikes).sum(dim=0)
            # a forward with the loop inside returns all steps at once
            rates[f"{name}_rate"] = (total.sum(dim=0) if len(results) < num_steps else total) / num_steps
        return rates


def _spikes(value: Any) -> torch.Tensor:
    if isinstance(value, tuple):
        value = value[0]
    return torch.stack(value) if isinstance(value, list) else torch.as_tensor(value)
