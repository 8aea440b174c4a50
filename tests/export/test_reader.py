from __future__ import annotations

from collections.abc import Callable

import pytest
import snntorch as snn
import torch
from torch import nn

from export.errors import ExportError, UnsupportedModuleError
from export.graph import Edge
from export.nodes import LIF, DynamicThresholdLIF, Input, Linear, Output
from export.reader import read_network, trace_network

from ..networks import NUM_INPUTS, dynamic_neurons, mixed_network


def test_graph_of_the_mixed_network() -> None:
    traced = trace_network(mixed_network())
    graph = traced.graph
    assert {name: type(node) for name, node in graph.nodes.items()} == {
        "x": Input, "context": Input, "fc1": Linear, "lif1": DynamicThresholdLIF, "fc2": Linear, "lif2": LIF,
        "fc3": Linear, "lif3": LIF, "fc4": Linear, "lif4": LIF, "output_0": Output,
    }  # fmt: skip
    assert Edge("x", "lif1", "population") in graph.edges and Edge("context", "lif1", "context") in graph.edges
    assert traced.states == {"mem2": "lif2", "mem4": "lif4"}
    assert [graph.latency[name] for name in ("lif1", "lif2", "lif3", "lif4")] == [1, 2, 3, 4]
    assert graph.inputs()["context"].kind == "graded"


def step(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(NUM_INPUTS, 8), *layers)


def leaky(**settings: object) -> snn.Leaky:
    return snn.Leaky(0.9, init_hidden=True, **settings)


class Looped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(NUM_INPUTS, 8), snn.Leaky(0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem = self.lif.init_leaky()
        for _ in range(3):
            spk, mem = self.lif(self.fc(x), mem)
        return spk


class Branching(Looped):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.fc(x))[0] if x.sum() > 0 else x


class Scaled(Looped):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.fc(x * 0.5))[0]


class StolenState(Looped):
    def __init__(self) -> None:
        super().__init__()
        self.fc2, self.lif2 = nn.Linear(8, 8), snn.Leaky(0.9)

    def forward(self, x: torch.Tensor, mem: torch.Tensor) -> torch.Tensor:
        spk, mem = self.lif(self.fc(x), mem)
        return self.lif2(self.fc2(spk), mem)[0]


class Subclassed(snn.Leaky):
    """Inherits from Leaky, as snnTorch's DeltaLeaky does, and may mean something else."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: step(nn.ReLU(), leaky()), r"module 1 \(ReLU\): cannot be exported; supported are .*Leaky"),
        (lambda: step(Subclassed(0.9, init_hidden=True)), r"module 1 \(Subclassed\): cannot be exported"),
        (lambda: step(snn.Synaptic(0.9, 0.8, init_hidden=True)), r"Synaptic\): cannot be exported"),
        (lambda: step(leaky(reset_delay=False)), "reset_delay=False is not supported"),
        (lambda: step(leaky(graded_spikes_factor=2.0)), "graded_spikes_factor must be 1"),
        (lambda: step(leaky(state_quant=torch.round)), "state_quant is not supported"),
        (lambda: step(snn.Leaky(torch.full((3,), 0.9), init_hidden=True)), r"beta has shape \(3,\), allowed is one"),
        (lambda: nn.Sequential(leaky()), "number of inputs is not known"),
        (lambda: step(), "no spiking neuron|not spikes|is not the spikes"),
        (lambda: nn.Linear(3, 3), "bare Linear"),
        (Looped, "called more than once; write forward for one time step"),
        (Branching, "cannot be traced"),
        (Scaled, "mul between layers cannot be exported"),
        (StolenState, "membrane argument comes from another layer"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        read_network(make())
    assert "\n" not in str(caught.value)


def test_inhibition_is_refused() -> None:
    with pytest.warns(UserWarning, match="Inhibition"):
        network = step(leaky(inhibition=True))
    with pytest.raises(UnsupportedModuleError, match="inhibition=True is not supported"):
        read_network(network)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    network = step(leaky())
    with torch.no_grad():
        network[0].weight[0, 0] = value
    with pytest.raises(ExportError, match="node 0: weight holds 1 NaN or infinite values"):
        read_network(network)


def test_branches_that_meet_in_different_steps_are_refused() -> None:
    class LatePopulation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(NUM_INPUTS, 8), leaky()
            self.fc2, self.lif2 = nn.Linear(8, 8), dynamic_neurons(NUM_INPUTS, num_context=0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif2(self.fc2(self.lif1(self.fc1(x))), population=x)

    with pytest.raises(ExportError, match=r"node lif2: inputs arrive \[1, 2\] steps late, allowed is one latency"):
        read_network(LatePopulation())


def test_sums_of_currents_are_refused() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.lif = nn.Linear(8, 8), nn.Linear(8, 8), leaky()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(self.fc1(x) + self.fc2(x))

    with pytest.raises(ExportError, match="add between layers cannot be exported"):
        read_network(Sum())
