"""Quantisation-aware training: the network computes with the values that the chip will hold.

`prepare` parametrises the weights, biases, thresholds and decays of a network, so that each forward sees them rounded
as `pipeline.lower` rounds them, while gradients pass straight through to the full-precision values. `remove` leaves
the rounded values behind: exporting the network then changes none of them.

A neuron layer and all its synapses share one scale, the `choose_scale` of their present values, found anew after each
optimiser step. The grids of a layer that is used twice, or drives two neuron layers, are the coarser of the two.
Thresholds of `Alpha` are left to export, since its τ mixes with them. Where forward loops over time, run it under
`torch.nn.utils.parametrize.cached()`, so that each value is rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from hardware_profiles.arithmetic import IntegerFormat

from ..errors import UnsupportedModuleError
from ..nodes import LIF, NEURONS, AlphaLIF, CubaLIF, DynamicThresholdLIF, Float, Input, Node, Scale
from ..passes.quantize_weights import bias_exponent
from ..passes.scale import choose_scale, mantissa_bits_of
from ..passes.synapses import Drive, drives_of
from ..pipeline import fold
from ..ranges import value_bounds
from ..reader import TimeAxis, read_network


def prepare(
    network: nn.Module,
    fmt: IntegerFormat,
    inputs: Mapping[str, Input] | None = None,
    time_axis: TimeAxis = "auto",
) -> None:
    """Let a network compute with rounded parameters, in place.

    Args:
        network: as `reader.read_network` takes it.
        fmt: the device's widths.
        inputs: as `reader.read_network` takes it.
        time_axis: the same.

    Raises:
        UnsupportedModuleError: a module's weights are folded with others', so that they have no grid of their own.
        ExportError: the network cannot be exported.
    """
    layers = _layers(network, fmt, inputs, time_axis)
    grids: dict[tuple[nn.Module, str], _Grid] = {}
    for layer in layers:
        for tensor in layer.on_grids():
            grids.setdefault((tensor.module, tensor.name), _Grid()).users.append((layer, tensor))
    decays = {(tensor.module, tensor.name): bounds for layer in layers for tensor, bounds in layer.decays(fmt)}
    for (module, name), grid in grids.items():
        parametrize.register_parametrization(module, name, grid)
    for (module, name), (low, high) in decays.items():
        parametrize.register_parametrization(module, name, _Decay(fmt.decay_unity, low, high))


def remove(network: nn.Module) -> None:
    """Undo `prepare`, leaving the rounded values in place."""
    for module in list(network.modules()):
        if not parametrize.is_parametrized(module):
            continue
        for name, steps in list(module.parametrizations.items()):  # type: ignore[union-attr, operator]
            if isinstance(steps[0], (_Grid, _Decay)):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


class _Rounded(torch.autograd.Function):
    """Forward the rounded value, pass the gradient through."""

    @staticmethod
    def forward(ctx: Any, original: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None


class _Grid(nn.Module):
    """Rounds to multiples of the step of the layer that uses the tensor, the coarsest if several do."""

    def __init__(self) -> None:
        super().__init__()
        self.users: list[tuple[_Layer, _Tensor]] = []

    def forward(self, original: torch.Tensor) -> torch.Tensor:
        step = max(layer.step(tensor) for layer, tensor in self.users)
        rounded = torch.round(original.detach().double() / step) * step
        result: torch.Tensor = _Rounded.apply(original, rounded.to(original.dtype))
        return result


class _Decay(nn.Module):
    """Rounds as `round_decays` does."""

    def __init__(self, unity: int, low: int, high: int) -> None:
        super().__init__()
        self.unity, self.low, self.high = unity, low, high

    def forward(self, original: torch.Tensor) -> torch.Tensor:
        decay = torch.round((1 - original.detach().double()) * self.unity).clamp(self.low, self.high)
        result: torch.Tensor = _Rounded.apply(original, (1 - decay / self.unity).to(original.dtype))
        return result


@dataclass(frozen=True)
class _Tensor:
    """A module's parameter or buffer, whatever has been done to it, and the factor with which export folds it."""

    module: nn.Module
    name: str
    factor: float = 1.0

    def full(self) -> torch.Tensor:
        """Return the full-precision tensor."""
        if parametrize.is_parametrized(self.module, self.name):
            original: torch.Tensor = self.module.parametrizations[self.name].original  # type: ignore[union-attr, index]
            return original
        tensor: torch.Tensor = getattr(self.module, self.name)
        return tensor

    def values(self, like: Float) -> Float:
        """Return the present values, folded and broadcast as in the graph."""
        present = self.full().detach().cpu().numpy().astype(np.float64) * self.factor
        values: Float = np.broadcast_to(present, like.shape).astype(np.float32)
        return values


@dataclass(eq=False)
class _Layer:
    """A neuron layer, its synapses, and the tensors that both come from.

    Attributes:
        name: neuron node.
        node: the node as read; `drives`: its synapses as read.
        weights: place in `drives` to its weight tensor; `biases`: the same for biases.
        neuron: field of the neuron node (threshold, alpha, beta) to its tensor.
    """

    name: str
    node: Node
    drives: list[Drive]
    fmt: IntegerFormat
    weights: dict[int, _Tensor] = field(default_factory=dict)
    biases: dict[int, _Tensor] = field(default_factory=dict)
    neuron: dict[str, _Tensor] = field(default_factory=dict)
    _seen: tuple[tuple[int, int], ...] = ()
    _steps: dict[_Tensor, float] = field(default_factory=dict)

    def on_grids(self) -> list[_Tensor]:
        """Return every tensor that is rounded to multiples of a step."""
        tensors = [*self.weights.values(), *self.biases.values()]
        if "threshold" in self.neuron and not isinstance(self.node, AlphaLIF):
            tensors.append(self.neuron["threshold"])
        return tensors

    def step(self, tensor: _Tensor) -> float:
        """Return a tensor's step, as the present values of the whole layer have it."""
        tensors = [*self.weights.values(), *self.biases.values(), *self.neuron.values()]
        seen = tuple((each.full().data_ptr(), each.full()._version) for each in tensors)
        if seen != self._seen:
            self._steps, self._seen = self._find_steps(), seen
        return self._steps[tensor]

    def decays(self, fmt: IntegerFormat) -> list[tuple[_Tensor, tuple[int, int]]]:
        """Return the tensors of decays and the range of their field."""
        unity = fmt.decay_unity
        ranges = {"alpha": (1, unity), "beta": (0, unity - 1)}  # a current without decay has no bound
        if isinstance(self.node, AlphaLIF):
            ranges = {"alpha": (0, unity), "beta": (0, unity)}
        return [(self.neuron[name], bounds) for name, bounds in ranges.items() if name in self.neuron]

    def _find_steps(self) -> dict[_Tensor, float]:
        """Quantise the present values, and return the unit of each field in units of its tensor."""
        fields: dict[str, Any] = {name: tensor.values(getattr(self.node, name)) for name, tensor in self.neuron.items()}
        drives = [self._present_drive(place, drive) for place, drive in enumerate(self.drives)]
        choice = choose_scale(self.name, replace(self.node, **fields), drives, self.fmt)
        steps = {}
        for place, tensor in self.weights.items():
            bits = mantissa_bits_of(drives[place], choice, self.fmt)
            steps[tensor] = 2.0**-bits / abs(tensor.factor)
        largest = np.array(sum(float(tensor.full().detach().abs().max()) for tensor in self.biases.values()))
        exponent = bias_exponent(largest, choice.scale_bits + self.fmt.state_shift, self.fmt)
        for tensor in self.biases.values():
            steps[tensor] = 2.0 ** ((exponent or 0) - choice.scale_bits - self.fmt.state_shift)
        if "threshold" in self.neuron:
            steps[self.neuron["threshold"]] = 2.0**-choice.scale_bits
        return steps

    def _present_drive(self, place: int, drive: Drive) -> Drive:
        synapse: Any = drive.synapse
        if place in self.weights:
            synapse = replace(synapse, weight=self.weights[place].values(synapse.weight))
        if place in self.biases:
            synapse = replace(synapse, bias=self.biases[place].values(synapse.bias))
        return Drive(drive.name, synapse, drive.port, drive.delay, drive.largest_input, drive.input_fraction_bits)


def _layers(
    network: nn.Module, fmt: IntegerFormat, inputs: Mapping[str, Input] | None, time_axis: TimeAxis
) -> list[_Layer]:
    """Read the network, and find the tensors behind every neuron layer."""
    graph = fold(read_network(network, inputs=inputs, time_axis=time_axis), fmt)
    bounds, modules = value_bounds(graph), dict(network.named_modules())
    layers = []
    for name in graph.of_type(NEURONS):
        layer = _Layer(name, graph.nodes[name], drives_of(graph, name, bounds), fmt)
        for place, drive in enumerate(layer.drives):
            _bind_synapse(layer, place, drive, modules)
        _bind_neuron(layer, modules)
        layers.append(layer)
    return layers


def _bind_synapse(layer: _Layer, place: int, drive: Drive, modules: Mapping[str, nn.Module]) -> None:
    """Find the tensors of a synapse; one that no module made, such as a constant gain, keeps its values."""
    plain = drive.name.split(" #")[0]
    module = modules.get(plain, modules.get(plain.rpartition(".")[0]))  # copies are called name.2, name.3, …
    if module is None or not _has_weights(module):
        return
    name = "V" if isinstance(drive.synapse, Scale) and hasattr(module, "V") else "weight"
    weight, folded = _values(module, name), drive.synapse.weight
    factor = _factor(weight, folded)
    bias = None if isinstance(drive.synapse, Scale) else drive.synapse.bias
    own = _values(module, "bias")
    if factor is None or (bias is not None and (own is None or not np.array_equal(own, bias))):
        raise UnsupportedModuleError(
            f"module {plain}: its weights reach {layer.name} folded with those of another module, allowed is one layer "
            "before each neuron; fold BatchNorm into the layer before training (torch.nn.utils.fusion)"
        )
    layer.weights[place] = _Tensor(module, name, factor)
    if bias is not None:
        layer.biases[place] = _Tensor(module, "bias")


def _bind_neuron(layer: _Layer, modules: Mapping[str, nn.Module]) -> None:
    """Find the tensors of a neuron's decays and threshold."""
    module = modules.get(layer.name.split(" #")[0])
    if module is None or not isinstance(layer.node, (LIF, CubaLIF, AlphaLIF, DynamicThresholdLIF)):
        return
    for name in ("alpha", "beta", "threshold"):
        present, read = _values(module, name), getattr(layer.node, name, None)
        if present is not None and read is not None and np.array_equal(np.broadcast_to(present, read.shape), read):
            layer.neuron[name] = _Tensor(module, name)


def _has_weights(module: nn.Module) -> bool:
    return any(_values(module, name) is not None for name in ("weight", "V"))


def _values(module: nn.Module, name: str) -> Float | None:
    """Return a parameter or buffer as float32; None if the module has none of that name."""
    tensor = {**module._parameters, **module._buffers}.get(name)
    if tensor is None:
        return None
    values: Float = tensor.detach().cpu().numpy().astype(np.float32)
    return values


def _factor(weight: Float | None, folded: Float) -> float | None:
    """Return f where folded = f · weight, as `fold_scales` computes it; None where it is something else."""
    if weight is None:
        return None
    try:
        present = np.broadcast_to(weight, folded.shape).astype(np.float64)
    except ValueError:
        return None
    if not present.any():
        return None if folded.any() else 1.0
    largest = np.unravel_index(np.abs(present).argmax(), present.shape)
    factor = float(folded[largest] / present[largest])
    rounding = np.ldexp(np.abs(folded), -22)  # one for the product in float32, one for the factor read off it
    return factor if (np.abs(present * factor - folded) <= rounding).all() else None
