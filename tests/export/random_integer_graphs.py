"""Random integer graphs of all node types, with branches, residuals, products, moving thresholds and recurrence."""

from __future__ import annotations

import math

import numpy as np

from export.graph import Edge, Graph
from export.nodes import (
    Convolution,
    Gather,
    Input,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    MatMul,
    Node,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
)
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format

NUM_CONTEXT = 2


class RandomGraph:
    """Grows a graph; `signals` are the names whose values are small integers, `spikes` those that are 0 or 1."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.spikes: list[str] = []
        self.signals: list[str] = []
        shape = (6,) if self.rng.random() < 0.5 else (2, 4, 3)
        self.spikes.append(self.add(Input(shape=shape)))
        self.spikes.append(self.flat_layer("plain"))
        for _ in range(int(self.rng.integers(1, 5))):
            self.layer()
        for name in {self.spikes[-1], str(self.rng.choice(self.spikes))}:
            self.add(Output(shape=self.nodes[name].shape), input=[name])

    def graph(self) -> Graph:
        return Graph(nodes=self.nodes, edges=tuple(self.edges), dialect="integer", dt_s=1e-3, fmt=integer_format())

    def add(self, node: Node, **ports: list[str]) -> str:
        name = f"n{len(self.nodes)}_{type(node).__name__}"
        self.nodes[name] = node
        for port, sources in ports.items():
            self.edges += [Edge(source, name, port, int(self.rng.random() < 0.15)) for source in sources]
        return name

    def pick(self) -> str:
        return str(self.rng.choice(self.spikes + self.signals))

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-20, 30, shape) * (self.rng.random(shape) < 0.8)

    def linear(self, source: str, size: int) -> str:
        """A linear layer from any signal, rearranged to a vector first."""
        shape = self.nodes[source].shape
        if len(shape) != 1:
            source = self.add(Reshape(input_shape=shape, shape=(math.prod(shape),)), input=[source])
        weight = self.weights(size, self.nodes[source].size)
        return self.add(IntegerLinear(weight_int8=weight, weight_exp=int(self.rng.integers(0, 4))), input=[source])

    def synapse(self, size: int) -> str:
        source = self.pick()
        if self.nodes[source].shape == (size,) and self.rng.random() < 0.3:
            return self.add(IntegerScale(weight_int8=self.weights(size), weight_exp=4), input=[source])
        return self.linear(source, size)

    def layer(self) -> None:
        kind = self.rng.choice(["plain", "plain", "plain", "conv", "signal", "dynamic", "moving"])
        if kind == "signal":
            self.signals.append(self.signal())
        elif kind == "conv":
            self.spikes.append(self.conv_layer())
        else:
            self.spikes.append(self.flat_layer(str(kind)))

    def flat_layer(self, kind: str) -> str:
        size = int(self.rng.integers(2, 7))
        ports = {"input": [self.synapse(size) for _ in range(int(self.rng.integers(1, 3)))]}
        if kind == "dynamic":
            ports["population"] = [str(self.rng.choice(self.spikes))]
            num_context = int(self.rng.choice([0, NUM_CONTEXT]))
            if num_context:
                ports["context"] = ["context"]
                self.nodes.setdefault("context", Input(shape=(NUM_CONTEXT,), kind="graded"))
            node = self.dynamic((size,), self.nodes[ports["population"][0]].size, num_context)
            name = self.add(node, **ports)
            self.edges = [Edge(e.source, e.target, e.port) if e.port == "context" else e for e in self.edges]
            return name
        moving = kind == "moving"
        if moving:
            ports["threshold"] = [self.linear(self.pick(), size)]
        node = self.neuron((size,), moving=moving)
        recurrent = "recurrent" in node.ports and self.rng.random() < 0.4
        name = self.add(node, **ports)
        if recurrent:
            loop = self.add(IntegerLinear(weight_int8=self.weights(size, size), weight_exp=2))
            self.edges += [Edge(name, loop, "input", 1), Edge(loop, name, "recurrent")]
        return name

    def conv_layer(self) -> str:
        """One or two dimensions; with stride, padding, dilation, groups."""
        source = self.pick()
        size = self.nodes[source].size
        spatial = (3, 2) if self.rng.random() < 0.5 else (5,)
        groups = int(self.rng.integers(1, 3))
        input_shape = (2, *spatial)
        index = self.rng.integers(-1, size, input_shape)
        image = self.add(Gather(index=index, input_shape=self.nodes[source].shape), input=[source])
        draw = lambda low, high: tuple(int(v) for v in self.rng.integers(low, high, len(spatial)))  # noqa: E731
        geometry = Convolution(
            input_shape=input_shape, stride=draw(1, 3), padding=draw(1, 3), dilation=draw(1, 3), groups=groups
        )
        weight = self.weights(2 * groups, 2 // groups, *(2 for _ in spatial))
        conv = self.add(IntegerConv(weight_int8=weight, weight_exp=2, geometry=geometry), input=[image])
        return self.add(self.neuron(self.nodes[conv].shape, moving=False), input=[conv])

    def signal(self) -> str:
        """Sums and products of spikes."""
        a, b = str(self.rng.choice(self.spikes)), str(self.rng.choice(self.spikes))
        kind = self.rng.choice(["product", "matmul", "pool", "reduce"])
        if kind == "product":
            shape = (4,)
            return self.add(Product(shape=shape), a=[self.gather(a, shape)], b=[self.gather(b, shape)])
        if kind == "matmul":
            node = MatMul(shape_a=(2, 3), shape_b=(3, 2))
            return self.add(node, a=[self.gather(a, (2, 3))], b=[self.gather(b, (3, 2))])
        image = self.gather(a, (2, 3, 4))
        if kind == "pool":
            pool = Pool(input_shape=(2, 3, 4), kernel=(2, 2), stride=(2, 1), padding=(1, 0))
            return self.add(pool, input=[image])
        return self.add(Reduce(input_shape=(2, 3, 4), axes=(0, 2)), input=[image])

    def gather(self, source: str, shape: tuple[int, ...]) -> str:
        index = self.rng.integers(-1, self.nodes[source].size, shape)
        return self.add(Gather(index=index, input_shape=self.nodes[source].shape), input=[source])

    def neuron(self, shape: tuple[int, ...], *, moving: bool) -> Node:
        common = {
            "vth": None if moving else self.rng.integers(1, 400, shape),
            "bias_mant": self.rng.integers(-1000, 1500, shape) * (self.rng.random(shape) < 0.5),
            "bias_exp": int(self.rng.integers(0, 4)),
        }
        choice = self.rng.integers(0, 6)
        inhibition = bool(self.rng.random() < 0.2)
        if choice == 0 and not moving:
            return IntegerThreshold(**common)
        dv = self.rng.choice([0, 1, 410, 2048, 4095], shape)
        du = self.rng.integers(1000, 4096, shape)
        reset_delay = bool(self.rng.random() < 0.5)
        if choice == 1:
            reset = str(self.rng.choice(["none", "clear"]))
            return IntegerAlphaLIF(du=du, dv=np.maximum(dv, 1000), reset=reset, inhibition=inhibition, **common)
        if choice == 2:
            reset = str(self.rng.choice(["none", "clear", "subtract"]))
            return IntegerCubaLIF(du=du, dv=dv, reset=reset, reset_delay=reset_delay, inhibition=inhibition, **common)
        reset = str(self.rng.choice(["zero", "none", "clear", "subtract"]))
        return IntegerLIF(dv=dv, reset=reset, reset_delay=reset_delay, inhibition=inhibition, **common)

    def dynamic(self, shape: tuple[int, ...], population: int, num_context: int) -> Node:
        controller = ThresholdController(
            population=population,
            num_groups=int(self.rng.choice([1, population])),
            weight_count=int(self.rng.integers(-(2**22), 2**22)),
            weight_deviation=int(self.rng.integers(-(2**20), 2**20)),
            weight_context=tuple(int(w) for w in self.rng.integers(-(2**14), 2**14, num_context)),
            bias=int(self.rng.integers(-(2**22), 2**22)),
            theta_0=300,
            amplitude=int(self.rng.integers(-290, 290)),
            fraction_bits=8,
        )
        return IntegerDynamicThresholdLIF(
            dv=self.rng.integers(0, 4096, shape),
            bias_mant=self.rng.integers(-500, 800, shape),
            bias_exp=2,
            theta_shift=int(self.rng.integers(0, 2)),
            controller=controller,
        )


def random_graph(seed: int) -> Graph:
    return RandomGraph(seed).graph()


def random_inputs(graph: Graph, seed: int, num_steps: int = 8, batch: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rate = rng.choice([0.2, 0.5, 0.9])
    inputs = {}
    for name, node in graph.inputs().items():
        shape = (num_steps, batch, *node.shape)
        inputs[name] = rng.random(shape) < rate if node.kind == "spike" else rng.integers(-900, 900, shape)
        inputs[name] = inputs[name].astype(np.int16)
    return inputs
