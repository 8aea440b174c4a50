from __future__ import annotations

from collections.abc import Callable

import pytest
import snntorch as snn
import torch
from torch import nn

from export.errors import ExportError, UnsupportedModuleError
from export.graph import Edge
from export.nodes import LIF, DynamicThresholdLIF, Input, Linear, Output
from export.passes.balance_latency import balance_latency
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
    assert traced.states == {"mem2": ("lif2", "mem"), "mem4": ("lif4", "mem")}
    latency = balance_latency(graph).latency
    assert [latency[name] for name in ("lif1", "lif2", "lif3", "lif4")] == [1, 2, 3, 4]
    assert graph.inputs()["context"].kind == "graded"


def step(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(NUM_INPUTS, 8), *layers)


def leaky(**settings: object) -> snn.Leaky:
    return snn.Leaky(0.9, init_hidden=True, **settings)


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(NUM_INPUTS, 8), snn.Leaky(0.9)
        self.fc2, self.lif2 = nn.Linear(8, 8), snn.Leaky(0.9)


class Branching(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.fc(x))[0] if x.sum() > 0 else x


class Overwriting(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        current = self.fc(x)
        before = current
        current += 1
        return self.lif(before)[0]


class StolenState(Parts):
    def forward(self, x: torch.Tensor, mem: torch.Tensor) -> torch.Tensor:
        spk, mem = self.lif(self.fc(x), mem)
        return self.lif2(self.fc2(spk), mem)[0]


class UsedState(Parts):
    def forward(self, x: torch.Tensor, mem: torch.Tensor) -> torch.Tensor:
        _, mem = self.lif(self.fc(x), mem)
        return self.lif2(self.fc2(mem))[0]


class Warm(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.fc(x), torch.ones(len(x), 8))[0]


class Uneven(Parts):
    """Calls one layer twice as often as the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, mem2 = self.lif.reset_mem(), self.lif2.reset_mem()
        for step in x:
            spk, mem = self.lif(self.fc(step), mem)
            spk, mem = self.lif(self.fc(step), mem)
            spk2, mem2 = self.lif2(self.fc2(spk), mem2)
        return spk2


class Changing(Parts):
    """Does something else in each step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, out = self.lif.reset_mem(), []
        for t in range(x.shape[0]):
            spk, mem = self.lif(self.fc(x[t]) * (t + 1), mem)
            out.append(spk)
        return torch.stack(out)


class ConstantThreshold(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.lif.threshold = torch.tensor(0.7)
        return self.lif(self.fc(x))[0]


class MixingSamples(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.fc(x).flip(0))[0]


class ReducingSamples(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.fc(x) - self.fc(x).mean(0))[0]


class Softmax(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(torch.softmax(self.fc(x), dim=1))[0]


class LargestCurrent(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(torch.maximum(self.fc(x), self.fc(2 * x)))[0]


class Subclassed(snn.Leaky):
    """Inherits from Leaky, as snnTorch's DeltaLeaky does, and may mean something else."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: step(nn.ReLU(), leaky()), r"module 1 \(ReLU\): cannot be exported; supported are .*Leaky"),
        (lambda: step(nn.LayerNorm(8), leaky()), r"module 1 \(LayerNorm\): cannot be exported"),
        (lambda: step(nn.MaxPool1d(2), leaky()), r"module 1 \(MaxPool1d\): takes the largest of values that are not"),
        (lambda: step(Subclassed(0.9, init_hidden=True)), r"module 1 \(Subclassed\): cannot be exported"),
        (lambda: step(leaky(state_quant=torch.round)), "state_quant is not supported"),
        (lambda: step(leaky(graded_spikes_factor=torch.ones(8) * 2)), r"graded_spikes_factor has shape \(8,\)"),
        (
            lambda: step(snn.Leaky(torch.full((3,), 0.9), init_hidden=True)),
            "size of tensor a .3. must match the size of tensor b .8.",
        ),
        (lambda: step(nn.BatchNorm1d(8, track_running_stats=False), leaky()), "normalises by the batch at hand"),
        (lambda: step(), "no spiking neuron|not spikes|is not the spikes"),
        (lambda: nn.Linear(3, 3), "bare Linear"),
        (Branching, "branches on values"),
        (Overwriting, "changed in place since"),
        (StolenState, "membrane argument comes from another layer"),
        (UsedState, "its membrane is used as a value"),
        (Warm, "starts from a 'mem' that is not zero"),
        (Uneven, "is called 3 times in a forward of 6 steps"),
        (Changing, "step 0 computes something else"),
        (ConstantThreshold, "assigns a constant to 'threshold'"),
        (MixingSamples, "moves values between samples"),
        (ReducingSamples, "reduces over the batch axis"),
        (Softmax, "softmax.* cannot be exported between layers"),
        (LargestCurrent, "takes the larger of values that are not spikes"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        read_network(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    network = step(leaky())
    with torch.no_grad():
        network[0].weight[0, 0] = value
    with pytest.raises(ExportError, match="node 0: weight holds 1 NaN or infinite values"):
        read_network(network)


def test_branches_of_different_depth_meet_on_lava() -> None:
    class LatePopulation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(NUM_INPUTS, 8), leaky()
            self.fc2, self.lif2 = nn.Linear(8, 8), dynamic_neurons(NUM_INPUTS, num_context=0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif2(self.fc2(self.lif1(self.fc1(x))), population=x)

    balanced = balance_latency(read_network(LatePopulation()))
    assert Edge("x", "lif2", "population", delay=1) in balanced.edges and balanced.total_latency == 2


def test_the_order_of_two_terms_is_kept() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.lif = nn.Linear(8, 8), nn.Linear(8, 8), leaky()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(self.fc2(x) + self.fc1(x))

    assert read_network(Sum()).sources("lif") == ("fc2", "fc1")


def test_reading_leaves_the_network_as_it_was() -> None:
    network = mixed_network().train()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    trace_network(network)
    assert network.training and all(torch.equal(buffers[name], value) for name, value in network.named_buffers())
    assert not any(module._forward_hooks for module in network.modules())
    assert nn.Module.__call__.__qualname__ != "recording.<locals>.call"


def test_an_unknown_parameter_and_a_bad_axis_are_refused() -> None:
    with pytest.raises(UnsupportedModuleError, match="input y: forward has no such parameter"):
        read_network(step(leaky()), inputs={"y": Input(shape=(3,))})
    with pytest.raises(UnsupportedModuleError, match="time_axis: is 'third'"):
        read_network(step(leaky()), time_axis="third")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedModuleError, match=r"forward fails on input \(5,\) per sample and step"):
        read_network(step(leaky()), inputs={"input": Input(shape=(5,))})
