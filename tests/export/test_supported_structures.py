"""Layers and the ways in which people connect them, each equal to snnTorch over 100 steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import nn

from export.graph import Edge
from export.nodes import LIF, Conv, Gather, MatMul, Norm, Pool, Product, Reshape, Threshold

from .carried import assert_carried, spikes

N = 12


def leaky(**settings: object) -> snn.Leaky:
    return snn.Leaky(0.8, init_hidden=True, **settings)


def louder(network: nn.Module, gain: float = 3.0) -> nn.Module:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                module.weight *= gain
    return network


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(2, 4, 3),
    "rectangular": lambda: nn.Conv2d(2, 4, (3, 5), padding=(1, 2)),
    "rectangular stride": lambda: nn.Conv2d(2, 4, 3, stride=(2, 1), padding=(0, 1)),
    "dilated": lambda: nn.Conv2d(2, 4, 3, dilation=2, padding=2),
    "grouped": lambda: nn.Conv2d(2, 6, 3, groups=2, bias=False),
    "depthwise": lambda: nn.Conv2d(2, 4, 3, groups=2, padding=1),
    "same": lambda: nn.Conv2d(2, 4, 3, padding="same"),
    "same, even kernel": lambda: nn.Conv2d(2, 4, 4, padding="same"),
    "valid": lambda: nn.Conv2d(2, 4, 3, padding="valid"),
    "circular": lambda: nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
    "reflect": lambda: nn.Conv2d(2, 4, 3, padding=2, padding_mode="reflect"),
    "replicate": lambda: nn.Conv2d(2, 4, 3, padding=(1, 2), padding_mode="replicate"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_convolutions_in_two_dimensions(name: str) -> None:
    torch.manual_seed(0)
    conv = CONVOLUTIONS[name]()
    with torch.no_grad():
        size = conv(torch.zeros(1, 2, 8, 9)).numel()
    network = nn.Sequential(conv, leaky(), nn.Flatten(), nn.Linear(size, N), leaky())
    graph = assert_carried(louder(network), {"input": spikes(2, 8, 9)})
    assert isinstance(graph.nodes["0"], Conv) and isinstance(graph.nodes["2"], Reshape)


@pytest.mark.parametrize("settings", [{}, {"stride": 2}, {"dilation": 3, "padding": 2}, {"groups": 3}, {"padding": 2,
                                      "padding_mode": "circular"}])  # fmt: skip
def test_convolutions_in_one_dimension(settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(3, 6, 3, **settings), leaky(), nn.AvgPool1d(2), nn.Conv1d(6, 4, 3), leaky())
    assert_carried(louder(network), {"input": spikes(3, 20)})


POOLS = {
    "average": (lambda: nn.AvgPool2d(2), Pool),
    "average, int kernel and stride": (lambda: nn.AvgPool2d(3, 2), Pool),
    "average, padded": (lambda: nn.AvgPool2d((3, 2), (2, 1), (1, 0)), Pool),
    "sum": (lambda: nn.AvgPool2d(2, divisor_override=1), Pool),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((4, None)), Pool),
    "max": (lambda: nn.MaxPool2d(2), Threshold),
    "max, overlapping and padded": (lambda: nn.MaxPool2d(3, 2, 1), Threshold),
    "max, whole windows with ceil_mode": (lambda: nn.MaxPool2d(2, ceil_mode=True), Threshold),
}


@pytest.mark.parametrize("name", POOLS)
def test_pooling_of_spikes(name: str) -> None:
    torch.manual_seed(0)
    make, kind = POOLS[name]
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), leaky(), make(), nn.Conv2d(4, 3, 3), leaky())
    graph = assert_carried(louder(network), {"input": spikes(2, 8, 8)})
    assert isinstance(graph.nodes["2"], kind)


def test_pooling_of_currents() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.AvgPool2d(2), leaky())
    assert_carried(louder(network), {"input": spikes(2, 8, 8)})


def test_batch_normalisation_and_dropout() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), leaky(), nn.Dropout2d(0.5), nn.Flatten(),
        nn.Linear(144, N), nn.BatchNorm1d(N), leaky(), nn.Dropout(0.5),
    )  # fmt: skip
    for _ in range(20):  # statistics that are not the initial ones
        network[1](network[0](torch.rand(16, 2, 8, 8)))
        network[6](torch.randn(16, N) * 2 + 1)
    graph = assert_carried(louder(network), {"input": spikes(2, 8, 8)})
    assert len(graph.of_type(Norm)) == 2


class Parts(nn.Module):
    """Layers that the networks below connect in their own ways."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(10, N), nn.Linear(N, N), nn.Linear(N, N)
        self.lif1, self.lif2, self.lif3 = leaky(), leaky(), leaky()


class Residual(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.lif1(self.fc1(x))
        return self.lif2(self.fc2(a) + a)


class SpikeElementWise(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.lif1(self.fc1(x))
        b = self.lif2(self.fc2(a))
        return self.lif3(self.fc3(a + b))


class Concatenating(Parts):
    def __init__(self) -> None:
        super().__init__()
        self.fc3 = nn.Linear(2 * N + 10, N)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.lif1(self.fc1(x))
        b = self.lif2(self.fc2(a))
        return self.lif3(self.fc3(torch.cat([a, x, b], dim=1)))


class Scaling(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.lif1(self.fc1(x * 0.7) / 2 + 0.3)
        return self.lif2(-self.fc2(2.0 * a) - 0.25 * a)


class Subtracting(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.lif1(self.fc1(x))
        return self.lif2(self.fc2(a) - self.fc1(x) - a)


class Gated(Parts):
    """AND, AND NOT and OR of spikes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.lif1(self.fc1(x)), self.lif2(self.fc1(x) * 0.8)
        return self.lif3(self.fc2(a * b) + self.fc3((1 - a) * b) + self.fc2(torch.maximum(a, b)))


class GradedGate(Parts):
    """Product of a count of spikes and a spike."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.lif1(self.fc1(x)), self.lif2(self.fc1(x) * 0.8)
        return self.lif3(self.fc2((a + b) * b))


class SharedLayer(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.lif1(self.fc1(x))
        b = self.lif2(self.fc2(a))
        return self.lif3(self.fc2(b))


class SharedNeuron(Parts):
    """One neuron module, two populations with membranes of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.lif1 = snn.Leaky(0.8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem_a = mem_b = self.lif1.reset_mem()
        out = []
        for step in x:
            a, mem_a = self.lif1(self.fc1(step), mem_a)
            b, mem_b = self.lif1(self.fc2(a), mem_b)
            out.append(b)
        return torch.stack(out)


class RecurrentByHand(Parts):
    def __init__(self) -> None:
        super().__init__()
        self.lif1 = snn.Leaky(0.8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, spk, out = self.lif1.reset_mem(), torch.zeros(x.shape[1], N), []
        for t in range(x.shape[0]):
            spk, mem = self.lif1(self.fc1(x[t]) + self.fc2(spk), mem)
            out.append(spk)
        return torch.stack(out)


class FeedbackOverLayers(Parts):
    """The second layer drives the first, one step later."""

    def __init__(self) -> None:
        super().__init__()
        self.lif1, self.lif2 = snn.Leaky(0.8), snn.Leaky(0.7, reset_mechanism="zero")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, spk2, out = self.lif1.reset_mem(), self.lif2.reset_mem(), torch.zeros(x.shape[1], N), []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step) - 0.5 * spk2, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out).sum(dim=0)


class LayerByLayer(Parts):
    """All steps of one layer, then all of the next."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.stack([self.lif1(self.fc1(step)) for step in x])
        return torch.stack([self.lif2(self.fc2(first[t])) for t in range(len(first))])


class Accumulating(Parts):
    """Returns the number of spikes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(x.shape[1], N)
        for step in x:
            total = total + self.lif2(self.fc2(self.lif1(self.fc1(step))))
        return total


class ListOfSteps(Parts):
    def forward(self, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        spikes_of_1, spikes_of_2 = [], []
        for step in x:
            spikes_of_1.append(self.lif1(self.fc1(step)))
            spikes_of_2.append(self.lif2(self.fc2(spikes_of_1[-1])))
        return spikes_of_1, spikes_of_2


class Sliced(Parts):
    """Channels taken apart and put together again."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.lif1(self.fc1(x))
        left, right = a.chunk(2, dim=1)
        mixed = torch.cat([right.flip(1), left[:, [2, 0, 1, 3, 5, 4]]], dim=-1)
        return {"mixed": self.lif2(self.fc2(mixed)), "wide": self.lif3(a[:, :1] + self.fc3(mixed))}


STRUCTURES: dict[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (
        Residual, SpikeElementWise, Concatenating, Scaling, Subtracting, Gated, GradedGate, SharedLayer, SharedNeuron,
        RecurrentByHand, FeedbackOverLayers, LayerByLayer, Accumulating, ListOfSteps, Sliced,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_connections_between_layers(name: str) -> None:
    torch.manual_seed(1)
    graph = assert_carried(louder(STRUCTURES[name]()), {"x": spikes(10)})
    assert graph.inputs()["x"].kind == "spike"


def test_gates_are_coincidence_detectors() -> None:
    torch.manual_seed(1)
    graph = assert_carried(louder(Gated()), {"x": spikes(10)})
    assert sorted(float(node.threshold[0]) for node in graph.of_type(Threshold).values()) == [0.5, 0.5, 1.5]
    assert not graph.of_type(Product)


def test_a_count_times_a_spike_is_a_graded_product() -> None:
    torch.manual_seed(1)
    assert len(assert_carried(louder(GradedGate()), {"x": spikes(10)}).of_type(Product)) == 1


def test_feedback_is_one_step_late() -> None:
    torch.manual_seed(1)
    graph = assert_carried(louder(RecurrentByHand()), {"x": spikes(10)})
    assert Edge("lif1", "fc2", delay=1) in graph.edges


def test_a_constant_input_over_a_fixed_number_of_steps() -> None:
    class Tutorial(Parts):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            spk_rec, mem2 = [], None
            mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
            for _ in range(40):
                spk1, mem1 = self.lif1(self.fc1(x), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                spk_rec.append(spk2)
            return torch.stack(spk_rec), mem2

        def __init__(self) -> None:
            super().__init__()
            self.lif1, self.lif2 = snn.Leaky(0.8), snn.Leaky(0.9)

    torch.manual_seed(1)
    constant = spikes(10, steps=1, rate=0.5).repeat(40, axis=0)
    assert_carried(louder(Tutorial()), {"x": constant})


class SpikeDrivenAttention(nn.Module):
    """SDSA: SN(Σ_c Q ⊙ K) ⊗ V over tokens."""

    def __init__(self, tokens: int = 6, width: int = 8) -> None:
        super().__init__()
        self.embed, self.lif0 = nn.Linear(width, width), leaky()
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.lif_q, self.lif_k, self.lif_v, self.lif_sum = leaky(), leaky(), leaky(), leaky(threshold=2.0)
        self.out, self.lif_out = nn.Linear(width, width), leaky()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lif0(self.embed(x))
        q, k, v = self.lif_q(self.q(x)), self.lif_k(self.k(x)), self.lif_v(self.v(x))
        mask = self.lif_sum((q * k).sum(dim=-2, keepdim=True))
        return self.lif_out(self.out(mask * v) + x)


class SpikformerAttention(nn.Module):
    """Spikformer: (Q Kᵀ) V · scale with two heads, then a spiking neuron."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.lif_q, self.lif_k, self.lif_v, self.lif_attn = leaky(), leaky(), leaky(), leaky(threshold=0.5)
        self.out, self.lif_out = nn.Linear(width, width), leaky()

    def split(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        return x.reshape(batch, tokens, self.heads, width // self.heads).permute(0, 2, 1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            self.split(lif(layer(x)))
            for layer, lif in ((self.q, self.lif_q), (self.k, self.lif_k), (self.v, self.lif_v))
        )
        attended = (q @ k.transpose(-2, -1)) @ v * 0.125
        joined = attended.transpose(1, 2).reshape(x.shape)
        return self.lif_out(self.out(self.lif_attn(joined)))


def test_spike_driven_attention_is_coincidence_detectors() -> None:
    torch.manual_seed(1)
    graph = assert_carried(louder(SpikeDrivenAttention()), {"x": spikes(6, 8)})
    assert len(graph.of_type(Threshold)) == 2 and not graph.of_type((MatMul, Product))


def test_spikformer_attention_is_two_matrix_products() -> None:
    torch.manual_seed(1)
    graph = assert_carried(louder(SpikformerAttention()), {"x": spikes(6, 8)})
    assert len(graph.of_type(MatMul)) == 2 and graph.of_type(Gather)


def test_functional_layers() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.matrix = nn.Parameter(torch.randn(N, 10)), nn.Parameter(torch.randn(N, 5))
            self.lif1, self.lif2 = leaky(), leaky()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = self.lif1(F.linear(F.dropout(x, 0.5, self.training), self.weight))
            return self.lif2((a @ self.matrix).relu() if False else a.float() @ self.matrix)

    torch.manual_seed(1)
    graph = assert_carried(Functional(), {"x": spikes(10)})
    assert isinstance(graph.nodes["lif2"], LIF)
