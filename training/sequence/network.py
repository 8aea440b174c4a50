"""A whole `nn.Sequential` over whole sequences, layer by layer instead of step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import snntorch as snn
import torch
from torch import nn

from ..errors import TrainingError
from .leaky import leaky_sequence

ALL_STEPS = (nn.Linear, nn.Identity)
"""Modules that are given all steps at once; the others go step by step: convolutions of all steps spill the cache, and
batch normalisation is to see one step at a time, as in a loop over time."""


def run_sequence(net: nn.Sequential, inputs_TB: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Return what `net` gives at each step, stacked: spikes, and membranes if its last layer returns both.

    It replaces a loop over time around `Leaky` layers and modules without state. Sequences are independent: membranes
    start at zero, and hidden ones are neither read nor written. Equal to the loop where equal currents come out of the
    weights; a matrix product of all steps at once may round otherwise than one of each step.

    Args:
        net: layers in order, nested `nn.Sequential` allowed; neurons as `leaky_sequence` takes them.
        inputs_TB: `[T, B, ...]`.

    Returns:
        `[T, B, ...]`, or a pair of them, S and U, where the last layer is a `Leaky` with `output=True` or without
        `init_hidden`.

    Raises:
        TrainingError: a layer keeps state and is not such a neuron, or is a neuron that occurs twice.
    """
    layers = list(_layers(net))
    _check(layers)
    values, membranes = inputs_TB, None
    for layer in layers:
        membranes = None
        if isinstance(layer, snn.SpikingNeuron):
            values, membranes = leaky_sequence(layer, values)
            if not layer.output and layer.init_hidden:
                membranes = None
        elif isinstance(layer, ALL_STEPS):
            values = layer(values)
        else:
            values = torch.stack([layer(value) for value in values])
    return values if membranes is None else (values, membranes)


def _layers(net: nn.Sequential) -> Iterator[nn.Module]:
    for layer in net:
        if isinstance(layer, nn.Sequential):
            yield from _layers(layer)
        else:
            yield layer


def _check(layers: Sequence[nn.Module]) -> None:
    for position, layer in enumerate(layers):
        held = [inner for inner in layer.modules() if isinstance(inner, (snn.SpikingNeuron, nn.RNNBase))]
        if (held and held[0] is not layer) or isinstance(layer, nn.RNNBase):
            raise TrainingError(
                f"layer {position} ({type(layer).__name__}) keeps state in a {type(held[0]).__name__}: whole sequences "
                "know snntorch.Leaky in nn.Sequential; step through time instead"
            )
        if held and any(layer is earlier for earlier in layers[:position]):
            raise TrainingError(
                f"layer {position} ({type(layer).__name__}) occurs twice and would share its membrane; use two of them"
            )
