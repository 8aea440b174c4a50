"""Networks carried from snnTorch to the graph, compared layer by layer and step by step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import snntorch as snn
import torch
from torch import nn

from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.nodes import Input
from export.parity import count_unexplained
from export.reader import TracedNetwork, trace_network
from export.torch_reference import run_torch
from export.trace import Array, Trace

STEPS, BATCH = 100, 3


def spikes(*shape: int, steps: int = STEPS, batch: int = BATCH, rate: float = 0.3, seed: int = 1) -> Array:
    return (np.random.default_rng(seed).random((steps, batch, *shape)) < rate).astype(np.uint8)


def read(network: nn.Module, inputs: Mapping[str, Array], **settings: object) -> TracedNetwork:
    specs = {name: Input(shape=array.shape[2:]) for name, array in inputs.items()}
    return trace_network(network.eval(), inputs=specs, **settings)  # type: ignore[arg-type]


def assert_equal(left: Trace, right: Trace) -> None:
    assert left, "nothing was compared"
    for name, layer in left.items():
        np.testing.assert_array_equal(layer.s, right[name].s, err_msg=f"spikes of {name}")
        np.testing.assert_array_equal(layer.v, right[name].v, err_msg=f"membranes of {name}")


def assert_lively(trace: Trace) -> None:
    """Spikes occur in every layer, and not everywhere: equality of silence would prove nothing."""
    for name, layer in trace.items():
        rate = layer.s.mean()
        assert 0 < rate < 1, f"{name} spikes at rate {rate}"


def assert_carried(network: nn.Module, inputs: Mapping[str, Array], **settings: object) -> Graph:
    """The graph computes what the network computes: equal spikes and membranes, on the same operations."""
    traced = read(network, inputs, **settings)
    expected = run_torch(network, traced, inputs)
    assert_lively(expected)
    assert_equal(expected, run_float(traced.graph, inputs).trace)
    assert not any(count_unexplained(traced.graph, inputs, expected).values())
    return traced.graph


def make_dyadic(network: nn.Module, bits: int = 3) -> nn.Module:
    """Round weights, leaks and thresholds to multiples of 2^-bits, so that float32 sums are exact for some steps."""
    with torch.no_grad():
        for module in network.modules():
            for parameter in module.parameters(recurse=False):
                parameter.copy_(torch.round(parameter * 2**bits) / 2**bits)
            if isinstance(module, snn.SpikingNeuron):
                module.beta = torch.full_like(torch.as_tensor(module.beta), 0.5)
    return network


def louder_norms(network: nn.Module) -> nn.Module:
    """Give normalisations statistics of a trained network, so that the layers behind them spike."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.02, 0.2)
                if module.affine:
                    module.weight.uniform_(0.7, 1.3)
                    module.bias.uniform_(-0.2, 0.2)
    return network
