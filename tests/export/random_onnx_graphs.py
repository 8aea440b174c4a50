"""Random float graphs of all node types, with delays, recurrence, products, inhibition and moving thresholds.

Their neurons have arbitrary parameters: elementwise operations round alike in every world that keeps their order. With
`dyadic`, the sums over synapses are exact in float32 in any order, because what they add has few bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from export.graph import Edge, Graph
from export.nodes import (
    LI,
    LIF,
    AlphaLIF,
    Conv,
    Convolution,
    CubaLIF,
    DynamicThresholdLIF,
    Gather,
    Input,
    Linear,
    MatMul,
    Node,
    Norm,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    Scale,
    Shape,
    Threshold,
)
from hardware_profiles.arithmetic import ThresholdController

NUM_CONTEXT = 2
RESETS = ("zero", "subtract", "none", "clear")


class RandomOnnxGraph:
    """Grows a graph; `spikes` are the names whose values are 0 or 1, `signals` others."""

    def __init__(self, seed: int, *, dyadic: bool) -> None:
        self.rng, self.dyadic = np.random.default_rng(seed), dyadic
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.signals: list[str] = []
        self.context: str | None = None
        self.spikes = [self.add(Input(shape=(6,) if self.chance(0.4) else (2, 4, 3)))]
        for _ in range(int(self.rng.integers(2, 7))):
            self.layer()
        for name in {self.spikes[-1], str(self.rng.choice(self.spikes + self.signals))}:
            self.add(Output(shape=self.nodes[name].shape), input=[name])

    def graph(self) -> Graph:
        return Graph(nodes=self.nodes, edges=tuple(self.edges), dialect="float", dt_s=1e-3)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def add(self, node: Node, **ports: list[str]) -> str:
        """Add a node and its edges; a fifth of them wait one to three steps."""
        name = f"n{len(self.nodes)}_{type(node).__name__}"
        self.nodes[name] = node
        for port, sources in ports.items():
            for source in sources:
                self.edges.append(Edge(source, name, port, int(self.rng.integers(1, 4)) if self.chance(0.2) else 0))
        return name

    def weights(self, *shape: int) -> np.ndarray:
        if self.dyadic:
            return (self.rng.integers(-3, 6, shape) / 4).astype(np.float32)
        return self.rng.normal(0.2, 0.6, shape).astype(np.float32)

    def between(self, low: float, high: float, shape: Shape) -> np.ndarray:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def flat(self, source: str) -> str:
        shape = self.nodes[source].shape
        if len(shape) == 1:
            return source
        return self.add(Reshape(input_shape=shape, shape=(math.prod(shape),)), input=[source])

    def linear(self, source: str, size: int) -> str:
        source = self.flat(source)
        bias = self.weights(size) if self.chance(0.5) else None
        return self.add(Linear(weight=self.weights(size, self.nodes[source].size), bias=bias), input=[source])

    def layer(self) -> None:
        """One to many maps, now and then an integrator beside, and a neuron."""
        source = str(self.rng.choice(self.spikes[-3:]))
        shape, kind = self.nodes[source].shape, int(self.rng.integers(0, 7))
        if len(shape) > 1 and kind < 3:
            current = self.conv(source, shape)
        elif len(shape) > 1 and kind < 5:
            current = self.linear(self.pool(source, shape), int(self.rng.integers(3, 8)))
        elif kind == 0:
            current = self.linear(self.lengthwise(source), 5)
        elif kind == 1:
            current = self.products(source)
        elif kind == 2:
            current = self.concatenated(source)
        elif kind == 3 and self.signals:
            current = self.linear(str(self.rng.choice(self.signals)), 5)
        else:
            current = self.linear(source, int(self.rng.integers(3, 9)))
        if self.chance(0.2):
            beta = np.full(self.nodes[current].shape, 1.0 if self.dyadic else 0.8, np.float32)
            self.signals.append(self.add(LI(beta=beta), input=[current]))
        self.spikes.append(self.neuron(current))

    def lengthwise(self, source: str) -> str:
        """A vector as one channel, convolved in one dimension."""
        size = self.nodes[source].size
        line = self.add(Reshape(input_shape=self.nodes[source].shape, shape=(1, size)), input=[source])
        return self.neuron(self.conv(line, (1, size)))

    def conv(self, source: str, shape: Shape) -> str:
        groups = 2 if shape[0] % 2 == 0 and self.chance(0.3) else 1
        spatial = len(shape) - 1
        geometry = Convolution(
            input_shape=shape,
            stride=tuple(int(k) for k in self.rng.integers(1, 3, spatial)),
            padding=tuple(int(k) for k in self.rng.integers(1, 3, spatial)),
            dilation=tuple(int(k) for k in self.rng.integers(1, 3, spatial)),
            groups=groups,
        )
        out = int(self.rng.integers(1, 3)) * groups
        bias = self.weights(out) if self.chance(0.5) else None
        weight = self.weights(out, shape[0] // groups, *(2,) * spatial)
        current = self.add(Conv(weight=weight, bias=bias, geometry=geometry), input=[source])
        made = self.nodes[current].shape
        if self.chance(0.3):
            factor = np.array(0.5, np.float32) if self.dyadic else self.between(0.3, 2.0, (out, *(1,) * spatial))
            current = self.add(Scale(weight=factor, shape=made), input=[current])
        return self.norm(current, made) if not self.dyadic and self.chance(0.5) else current

    def norm(self, source: str, shape: Shape) -> str:
        channels = shape[:1]
        affine = self.chance(0.7)
        norm = Norm(
            mean=self.between(-0.3, 0.3, channels),
            variance=self.between(0.5, 2.0, channels),
            weight=self.between(0.5, 2.0, channels) if affine else None,
            bias=self.weights(*channels) if affine else None,
            epsilon=1e-5,
            shape=shape,
        )
        return self.add(norm, input=[source])

    def pool(self, source: str, shape: Shape) -> str:
        kernel = (2,) * (len(shape) - 1) if self.dyadic else tuple(min(3, length) for length in shape[1:])
        pool = Pool(
            input_shape=shape,
            kernel=kernel,
            stride=(2,) * len(kernel),
            padding=(1,) * len(kernel) if min(kernel) > 1 else (0,) * len(kernel),
            kind="average" if self.chance(0.5) else "sum",
        )
        self.signals.append(self.add(pool, input=[source]))
        return self.signals[-1]

    def concatenated(self, source: str) -> str:
        """Two signals in random places of one vector, zeros elsewhere."""
        other = str(self.rng.choice(self.spikes))
        first, both = self.nodes[source].size, self.nodes[source].size + self.nodes[other].size
        places = self.rng.permutation(both)
        placed = []
        for name, start in ((source, 0), (other, first)):
            inside = (places >= start) & (places < start + self.nodes[name].size)
            index = np.where(inside, places - start, -1).astype(np.int64)
            placed.append(self.add(Gather(index=index, input_shape=self.nodes[name].shape), input=[name]))
        return self.add(Linear(weight=self.weights(4, both)), input=placed)

    def products(self, source: str) -> str:
        """A small attention: two projections to spikes, their products, and sums over tokens."""
        square, size = (3, 2), 6
        q, k = (self.neuron(self.linear(source, size)) for _ in range(2))
        q, k = (self.add(Reshape(input_shape=(size,), shape=square), input=[name]) for name in (q, k))
        turn = Gather(index=np.arange(size).reshape(square).T.copy(), input_shape=square)
        scores = self.add(MatMul(shape_a=square, shape_b=square[::-1]), a=[q], b=[self.add(turn, input=[k])])
        self.signals.append(self.add(Reduce(input_shape=(3, 3), axes=(1,)), input=[scores]))
        both = self.add(Product(shape=square), a=[q], b=[k])
        shared = self.add(Linear(weight=self.weights(2, 2), bias=self.weights(2), positions=(3,)), input=[both])
        return self.linear(shared, 4)

    def neuron(self, current: str) -> str:
        shape, kind = self.nodes[current].shape, int(self.rng.integers(0, 6))
        if kind == 0:
            return self.add(Threshold(threshold=self.between(0.2, 0.8, shape)), input=[current])
        if kind == 1:
            return self.dynamic(current, shape)
        moving = {"threshold": [self.threshold(shape)]} if self.chance(0.2) else {}
        name = self.add(self.snn(kind, shape, bool(moving)), input=[current], **moving)
        if len(shape) == 1 and self.chance(0.4):
            back = f"n{len(self.nodes)}_Linear"
            self.nodes[back] = Linear(weight=self.weights(shape[0], shape[0]))
            self.edges += [Edge(name, back, "input", 1), Edge(back, name, "recurrent")]
        return name

    def snn(self, kind: int, shape: Shape, moving: bool) -> Node:
        common: dict[str, Any] = {
            "beta": self.between(0.5, 0.95, shape),
            "threshold": None if moving else self.between(0.3, 1.2, shape),
            "reset_delay": self.chance(0.5),
            "inhibition": len(shape) == 1 and self.chance(0.2),
            "reset": str(self.rng.choice(RESETS if kind > 3 else RESETS[1:])),
        }
        if kind == 2:
            return CubaLIF(alpha=self.between(0.3, 0.9, shape), **common)
        if kind == 3:
            alpha = np.float32(0.3) * common["beta"] + np.float32(0.7)
            return AlphaLIF(alpha=alpha, tau=self.between(1.0, 2.0, shape), **common)
        return LIF(**common)

    def threshold(self, shape: Shape) -> str:
        """A threshold of 0.5 and more, which moves with the spikes of a layer."""
        size, source = math.prod(shape), self.flat(self.spikes[-1])
        weight = np.abs(self.weights(size, self.nodes[source].size)) * np.float32(0.25)
        flat = self.add(Linear(weight=weight, bias=np.full(size, 0.5, np.float32)), input=[source])
        return flat if len(shape) == 1 else self.add(Reshape(input_shape=(size,), shape=shape), input=[flat])

    def dynamic(self, current: str, shape: Shape) -> str:
        if self.context is None:
            self.context = self.add(Input(shape=(NUM_CONTEXT,), kind="graded"))
        population = self.spikes[-1]
        size = self.nodes[population].size
        controller = ThresholdController(
            population=size,
            num_groups=max(groups for groups in (1, 2, 3) if size % groups == 0),
            weight_count=int(self.rng.integers(-(1 << 21), 1 << 21)),
            weight_deviation=int(self.rng.integers(-(1 << 19), 1 << 19)),
            weight_context=tuple(int(w) for w in self.rng.integers(-(1 << 14), 1 << 14, NUM_CONTEXT)),
            bias=int(self.rng.integers(-(1 << 22), 1 << 22)),
            theta_0=60,
            amplitude=45,
            fraction_bits=6,
        )
        node = DynamicThresholdLIF(beta=self.between(0.5, 0.95, shape), controller=controller)
        return self.add(node, input=[current], population=[population], context=[self.context])


def random_inputs(graph: Graph, num_steps: int, batch: int, seed: int) -> dict[str, np.ndarray]:
    """Spikes in a third of all places; context between -300 and 300."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, np.ndarray] = {}
    for name, node in graph.inputs().items():
        extent = (num_steps, batch, *node.shape)
        if node.kind == "spike":
            inputs[name] = (rng.random(extent) < 0.35).astype(np.uint8)
        else:
            inputs[name] = rng.integers(-300, 301, extent).astype(np.int16)
    return inputs
