"""Random snnTorch networks that mix everything the reader knows, as Hypothesis draws them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import snntorch as snn
import torch
from hypothesis import strategies as st
from torch import nn

NEURONS = ("Leaky", "Synaptic", "RLeaky", "RSynaptic", "Lapicque", "Alpha")
BLOCKS = ("plain", "residual", "concatenate", "gate", "not gate", "subtract", "shared", "graded", "feedback")
MAP_BLOCKS = ("conv", "pool", "max", "residual", "norm", "grouped")


@dataclass(frozen=True)
class Outline:
    """What is drawn; all details follow from the seed."""

    blocks: tuple[str, ...]
    map_blocks: tuple[str, ...]
    loop: bool
    seed: int


outlines = st.builds(
    Outline,
    blocks=st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=3).map(tuple),
    map_blocks=st.one_of(st.just(()), st.lists(st.sampled_from(MAP_BLOCKS), min_size=1, max_size=2).map(tuple)),
    loop=st.booleans(),
    seed=st.integers(0, 2**31),
)


class RandomNetwork(nn.Module):
    """A chain of blocks, first on maps (if any), then on vectors; the time loop is inside or outside of forward."""

    def __init__(self, outline: Outline, norms: bool = True) -> None:
        super().__init__()
        torch.manual_seed(outline.seed)
        self.outline, self.rng = outline, random.Random(outline.seed)
        self.map_shape = (2, 6, 6) if outline.map_blocks else None
        self.maps = nn.ModuleList()
        shape = (2, 6, 6)
        for kind in outline.map_blocks:
            block = MapBlock(kind if norms or kind != "norm" else "conv", shape, self.rng)
            self.maps.append(block)
            shape = block.shape
        size = shape[0] * shape[1] * shape[2] if outline.map_blocks else 10
        self.vectors = nn.ModuleList()
        for kind in outline.blocks:
            block = VectorBlock(kind, size, self.rng)
            self.vectors.append(block)
            size = block.size

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.map_shape or (10,)

    def step(self, x: torch.Tensor, before: list[torch.Tensor | None]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        for block in self.maps:
            x = block(x)
        if self.outline.map_blocks:
            x = x.flatten(1)
        after = []
        for block, last in zip(self.vectors, before, strict=True):
            x = block(x, last)
            after.append(x)
        return x, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.outline.loop:
            return self.step(x, [None] * len(self.vectors))[0]
        before = [torch.zeros(x.shape[1], block.size) for block in self.vectors]
        out = []
        for t in range(x.shape[0]):
            spikes, before = self.step(x[t], before)
            out.append(spikes)
        return torch.stack(out)


def neuron(rng: random.Random, shape: tuple[int, ...], gain: float = 1.0, only: tuple[str, ...] = NEURONS) -> nn.Module:
    """A neuron with random settings, per-neuron parameters in half of the cases."""
    kind = rng.choice(only)
    full = shape if len(shape) == 1 or rng.random() < 0.3 else (shape[0], 1, 1)

    def parameter(low: float, high: float) -> torch.Tensor | float:
        return torch.rand(full) * (high - low) + low if rng.random() < 0.5 else rng.uniform(low, high)

    settings = {
        "threshold": parameter(0.5, 1.5),
        "reset_mechanism": rng.choice(("subtract", "zero", "none")),
        "init_hidden": True,
    }
    recurrent = {"linear_features": shape[0]} if len(shape) == 1 else {"conv2d_channels": shape[0], "kernel_size": 3}
    if rng.random() < 0.3:
        recurrent = {"all_to_all": False, "V": rng.uniform(-0.5, 0.5)}
    delay = {"reset_delay": rng.random() < 0.5}
    if kind == "Leaky":
        graded = {"graded_spikes_factor": rng.choice((1.0, 1.0, 1.0, 0.5))}
        return snn.Leaky(parameter(0.3, 0.99), **settings, **delay, **graded)
    if kind == "Synaptic":
        return snn.Synaptic(parameter(0.2, 0.8), parameter(0.3, 0.95), **settings, **delay)
    if kind == "RLeaky":
        return snn.RLeaky(parameter(0.3, 0.95), **recurrent, **settings, **delay)
    if kind == "RSynaptic":
        return snn.RSynaptic(parameter(0.2, 0.7), parameter(0.3, 0.9), **recurrent, **settings)
    if kind == "Lapicque":
        return snn.Lapicque(R=rng.uniform(1, 5), C=rng.uniform(1, 2), **settings)
    return snn.Alpha(parameter(0.85, 0.98), parameter(0.4, 0.8), **settings)


def louder(layer: nn.Module, gain: float) -> nn.Module:
    with torch.no_grad():
        layer.weight *= gain
    return layer


class MapBlock(nn.Module):
    """Convolution (or pooling) and neurons on maps."""

    def __init__(self, kind: str, shape: tuple[int, int, int], rng: random.Random) -> None:
        super().__init__()
        self.kind = kind
        channels = shape[0]
        out = channels if kind == "residual" else channels * rng.choice((1, 2))
        stride = 1 if kind == "residual" or min(shape[1:]) < 4 else rng.choice((1, 1, 2))
        settings = {
            "padding": 1,
            "stride": stride,
            "groups": channels if kind == "grouped" else 1,
            "padding_mode": rng.choice(("zeros", "zeros", "circular")),
        }
        self.conv = louder(nn.Conv2d(channels, out, 3, **settings), 4.0)
        self.pool = {"pool": nn.AvgPool2d, "max": nn.MaxPool2d}.get(kind, nn.Identity)
        self.pool = self.pool(2, 1) if kind in ("pool", "max") else nn.Identity()
        self.norm = nn.BatchNorm2d(out) if kind == "norm" else nn.Identity()
        if kind == "norm":
            with torch.no_grad():
                self.norm.running_mean.uniform_(-0.2, 0.2)
                self.norm.running_var.uniform_(0.5, 1.5)
                self.norm.weight.uniform_(0.8, 1.2)
        with torch.no_grad():
            middle = tuple(self.conv(torch.zeros(1, *shape)).shape[1:])
            self.shape = tuple(self.pool(torch.zeros(1, *middle)).shape[1:])
        self.lif = neuron(rng, middle, only=("Leaky", "Synaptic", "RLeaky"))
        if kind == "max":  # maximum of plain spikes
            self.lif = snn.Leaky(0.8, init_hidden=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        current = self.norm(self.conv(x))
        return self.pool(self.lif(current + x if self.kind == "residual" else current))


class VectorBlock(nn.Module):
    """Linear layers and neurons on vectors, connected in one of the ways."""

    def __init__(self, kind: str, before: int, rng: random.Random) -> None:
        super().__init__()
        self.kind = kind
        self.size = before if kind in ("residual", "subtract") else rng.choice((6, 9))
        self.fc1 = louder(nn.Linear(before, self.size, bias=rng.random() < 0.7), 3.0)
        self.lif1 = neuron(rng, (self.size,))
        self.fc2 = louder(nn.Linear(self.size, self.size), 3.0)
        plain = kind in ("gate", "not gate", "graded")
        self.lif2 = snn.Leaky(0.7, init_hidden=True) if plain else neuron(rng, (self.size,))
        if plain:
            self.lif1 = snn.Leaky(0.9, init_hidden=True, reset_mechanism=rng.choice(("zero", "subtract")))
        joined = 2 * self.size if kind == "concatenate" else self.size
        self.fc3 = louder(nn.Linear(joined, self.size), 3.0)
        self.lif3 = neuron(rng, (self.size,))

    def forward(self, x: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        if self.kind == "feedback" and last is not None:
            return self.lif1(self.fc1(x) + self.fc2(last))
        a = self.lif1(self.fc1(x))
        if self.kind in ("plain", "feedback"):
            return a
        if self.kind == "residual":
            return self.lif2(self.fc2(a) + x)
        if self.kind == "subtract":
            return self.lif2(self.fc2(a) - 0.5 * x)
        b = self.lif2(self.fc2(a))
        if self.kind == "concatenate":
            return self.lif3(self.fc3(torch.cat([a, b], dim=1)))
        if self.kind == "gate":
            return self.lif3(self.fc3(a * b))
        if self.kind == "not gate":
            return self.lif3(self.fc3((1 - a) * b))
        if self.kind == "graded":
            return self.lif3(self.fc3((a + b) * b))
        return self.lif3(self.fc2(b))  # shared: fc2 is used twice
