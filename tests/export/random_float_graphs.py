"""Random float graphs on dyadic numbers: chains of linear maps, factors, branches, products, loops and all neurons.

All weights are small multiples of 1/4 or powers of two and all decays 0.5 or 1, so that within a few steps every value
is exact in double precision, in float32 weights and in the chip's integers: passes must not change a single spike.
"""

from __future__ import annotations

import math

import numpy as np

from export.graph import Edge, Graph
from export.nodes import (
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


class RandomFloatGraph:
    """Grows a graph; `spikes` are the names that send 0 or 1."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.spikes = [self.add(Input(shape=(6,) if self.rng.random() < 0.5 else (2, 3, 2)))]
        for _ in range(int(self.rng.integers(2, 5))):
            self.spikes.append(self.layer())
        for name in {self.spikes[-1], str(self.rng.choice(self.spikes))}:
            self.add(Output(shape=self.nodes[name].shape), input=[name])

    def graph(self) -> Graph:
        return Graph(nodes=self.nodes, edges=tuple(self.edges), dialect="float", dt_s=1e-3)

    def add(self, node: Node, **ports: list[str]) -> str:
        name = f"n{len(self.nodes)}_{type(node).__name__}"
        self.nodes[name] = node
        for port, sources in ports.items():
            self.edges += [Edge(source, name, port) for source in sources]
        return name

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def dyadic(self, *shape: int) -> np.ndarray:
        values = self.rng.integers(-4, 6, shape) / 4 * (self.rng.random(shape) < 0.8)
        return values.astype(np.float32)

    def power(self) -> np.float32:
        return np.float32(2.0 ** int(self.rng.integers(-1, 2)))

    def flat(self, source: str) -> str:
        shape = self.nodes[source].shape
        if len(shape) == 1:
            return source
        return self.add(Reshape(input_shape=shape, shape=(math.prod(shape),)), input=[source])

    def gather(self, source: str, shape: Shape) -> str:
        index = self.rng.integers(-1, self.nodes[source].size, shape)
        return self.add(Gather(index=index, input_shape=self.nodes[source].shape), input=[source])

    def integers(self) -> str:
        """Spikes, or sums and products of them, perhaps scaled."""
        name = str(self.rng.choice(self.spikes))
        kind = self.rng.choice(["spikes", "spikes", "product", "matmul", "pool", "reduce"])
        if kind == "product":
            name = self.add(Product(shape=(4,)), a=[self.scaled(self.gather(name, (4,)))], b=[self.factor_sum((4,))])
        elif kind == "matmul":
            a, b = self.gather(name, (2, 3)), self.gather(str(self.rng.choice(self.spikes)), (3, 2))
            name = self.add(MatMul(shape_a=(2, 3), shape_b=(3, 2)), a=[a], b=[self.scaled(b)])
        elif kind == "pool":
            average = "average" if self.chance(0.7) else "sum"
            pool = Pool(input_shape=(2, 4, 4), kernel=(2, 2), stride=(2, 1), padding=(1, 0), kind=average)
            name = self.add(pool, input=[self.gather(name, (2, 4, 4))])
        elif kind == "reduce":
            name = self.add(Reduce(input_shape=(2, 3, 4), axes=(0, 2)), input=[self.gather(name, (2, 3, 4))])
        return self.scaled(name) if self.chance(0.4) else name

    def scaled(self, source: str) -> str:
        return self.add(Scale(weight=np.array(self.power()), shape=self.nodes[source].shape), input=[source])

    def factor_sum(self, shape: Shape) -> str:
        """The sum of two signals with different factors, as one node."""
        a = self.scaled(self.gather(str(self.rng.choice(self.spikes)), shape))
        b = self.gather(str(self.rng.choice(self.spikes)), shape)
        return self.add(Reshape(input_shape=shape, shape=shape), input=[a, b])

    def currents(self, shape: Shape) -> str:
        """A chain of linear maps that ends in the given shape."""
        kind = self.rng.choice(["linear", "linear", "two", "conv", "conv pool", "norm", "bare", "slice", "scaled"])
        if kind == "bare":
            return self.scaled(self.gather(str(self.rng.choice(self.spikes)), shape))
        if kind.startswith("conv"):
            return self.fit(self.convolution(pooled=kind.endswith("pool")), shape)
        source = self.flat(self.integers())
        linear = self.linear(source, math.prod(shape) if kind != "slice" else math.prod(shape) + 2)
        if kind == "two":
            linear = self.linear(linear, math.prod(shape))
        elif kind == "norm":
            linear = self.norm(linear)
        elif kind == "scaled":
            weight = self.dyadic(math.prod(shape)) if self.chance(0.5) else np.array(self.power())
            linear = self.add(Scale(weight=weight, shape=self.nodes[linear].shape), input=[linear])
        return self.fit(linear, shape)

    def fit(self, source: str, shape: Shape) -> str:
        if self.nodes[source].shape == shape:
            return source
        if self.nodes[source].size == math.prod(shape):
            return self.add(Reshape(input_shape=self.nodes[source].shape, shape=shape), input=[source])
        return self.gather(source, shape)

    def linear(self, source: str, size: int) -> str:
        bias = self.dyadic(size) if self.chance(0.5) else None
        return self.add(Linear(weight=self.dyadic(size, self.nodes[source].size), bias=bias), input=[source])

    def norm(self, source: str) -> str:
        shape = self.nodes[source].shape
        variance = 4.0 ** self.rng.integers(-1, 2, shape[0])
        node = Norm(
            mean=self.dyadic(shape[0]),
            variance=variance.astype(np.float32),
            weight=None,
            bias=self.dyadic(shape[0]),
            epsilon=0.0,
            shape=shape,
        )
        return self.add(node, input=[source])

    def convolution(self, *, pooled: bool) -> str:
        source = self.gather(self.integers(), (2, 5, 4))
        groups = int(self.rng.integers(1, 3))
        geometry = Convolution(input_shape=(2, 5, 4), stride=(1, 2), padding=(1, 1), dilation=(2, 1), groups=groups)
        bias = self.dyadic(2 * groups) if self.chance(0.5) else None
        conv = self.add(
            Conv(weight=self.dyadic(2 * groups, 2 // groups, 2, 2), bias=bias, geometry=geometry), input=[source]
        )
        if self.chance(0.4):
            conv = self.norm(conv)
        if pooled:
            padding = (1, 0) if self.chance(0.3) else (0, 0)
            kind = "average" if self.chance(0.7) else "sum"
            pool = Pool(input_shape=self.nodes[conv].shape, kernel=(2, 2), stride=(1, 1), padding=padding, kind=kind)
            conv = self.add(pool, input=[conv])
        return conv

    def layer(self) -> str:
        shape = (int(self.rng.integers(2, 6)),) if self.chance(0.6) else (2, 3)
        ports: dict[str, list[str]] = {"input": []}
        if self.chance(0.2):
            ports["input"] = [self.convolution(pooled=self.chance(0.5))]
            shape = self.nodes[ports["input"][0]].shape
        ports["input"] += [self.currents(shape) for _ in range(int(self.rng.integers(not ports["input"], 3)))]
        if self.chance(0.12):
            return self.dynamic(shape, ports)
        moving = self.chance(0.15)
        node = self.neuron(shape, moving=moving)
        if moving and "threshold" in node.ports:
            source = self.scaled(self.gather(str(self.rng.choice(self.spikes)), shape))
            if self.chance(0.5):
                source = self.fit(self.linear(self.flat(source), math.prod(shape)), shape)
            ports["threshold"] = [source]
        name = self.add(node, **ports)
        if "recurrent" in node.ports and self.chance(0.4):
            self.loop(name)
        return name

    def loop(self, name: str) -> None:
        flat = self.flat(name)
        linear = self.linear(flat, self.nodes[flat].size)
        self.edges = [
            Edge(e.source, e.target, e.port, 1) if (e.source, e.target) == (flat, linear) else e for e in self.edges
        ]
        self.edges.append(Edge(self.fit(linear, self.nodes[name].shape), name, "recurrent"))

    def neuron(self, shape: Shape, *, moving: bool) -> Node:
        threshold = (self.rng.integers(1, 9, shape) / 4).astype(np.float32)
        beta, alpha = ((0.5 ** self.rng.integers(0, 2, shape)).astype(np.float32) for _ in range(2))
        flags = {"inhibition": len(shape) == 1 and self.chance(0.2)}
        kind = self.rng.integers(0, 6)
        if kind == 0 and not moving:
            return Threshold(threshold=threshold)
        if kind == 1 and not moving:
            tau = np.full(shape, 2.0, dtype=np.float32)
            reset = str(self.rng.choice(["none", "clear"]))
            half = np.full(shape, 0.5, dtype=np.float32)
            return AlphaLIF(alpha=beta, beta=half, tau=tau, threshold=threshold, reset=reset, **flags)
        flags |= {"reset_delay": self.chance(0.5), "threshold": None if moving else threshold}
        if kind == 2:
            alpha = np.full(shape, 0.5, dtype=np.float32)
            return CubaLIF(alpha=alpha, beta=beta, reset=str(self.rng.choice(["none", "clear", "subtract"])), **flags)
        return LIF(beta=beta, reset=str(self.rng.choice(["zero", "none", "clear", "subtract"])), **flags)

    def dynamic(self, shape: Shape, ports: dict[str, list[str]]) -> str:
        counted = str(self.rng.choice(self.spikes))
        controller = ThresholdController(
            population=self.nodes[counted].size,
            num_groups=1,
            weight_count=int(self.rng.integers(-(2**22), 2**22)),
            weight_deviation=0,
            weight_context=(1 << 14,),
            bias=0,
            theta_0=256,
            amplitude=200,
            fraction_bits=8,
        )
        self.nodes.setdefault("context", Input(shape=(1,), kind="graded"))
        beta = (0.5 ** self.rng.integers(0, 2, shape)).astype(np.float32)
        node = DynamicThresholdLIF(beta=beta, controller=controller)
        return self.add(node, **ports, population=[counted], context=["context"])


def random_float_graph(seed: int) -> Graph:
    return RandomFloatGraph(seed).graph()
