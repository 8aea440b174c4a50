"""A random graph grown from its outline: layer by layer, each from what comes before, in either dialect."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from export.graph import Edge, Graph
from export.nodes import (
    Convolution,
    Gather,
    Input,
    IntegerWindowSum,
    MatMul,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    WindowSum,
)
from hardware_profiles.profile import integer_format

from .random_nodes import random_controller

FMT = integer_format()
NUM_CONTEXT = 2
FEEDS = (
    "linear",
    "late",
    "residual",
    "recurrent",
    "conv1d",
    "conv2d",
    "pool",
    "reduce",
    "concat",
    "scale",
    "positions",
    "product",
    "matmul",
    "direct",
    "integrator",
)
"""What lies between a neuron layer and the spikes before it; `integrator` is a second linear layer in integers."""
WINDOWS = {"window 2": 2, "window 3": 3}
"""Feeds that begin a slower stage, and their ratios."""
NEURON_KINDS = (
    "stock",
    "lif zero",
    "lif subtract",
    "lif none",
    "lif clear",
    "cuba subtract",
    "cuba none",
    "cuba clear",
    "alpha subtract",
    "alpha none",
    "alpha clear",
    "memoryless",
    "moving",
    "dynamic",
    "dynamic with context",
)


@dataclass(frozen=True)
class Case:
    """A drawn graph's outline: its layers in a chain, each from what comes before."""

    layers: tuple[tuple[str, str], ...]
    num_steps: int
    batch: int
    seed: int


class Outline:
    """Nodes and edges of a case, made with one dialect's makers of synapses and neurons."""

    def __init__(self, case, makers):
        self.rng = np.random.default_rng(case.seed)
        self.makers, self.period = makers(self.rng), 1
        self.nodes, self.edges = {}, []
        shape = (self.even(),) if self.rng.random() < 0.7 else (2, self.even())
        self.spiking = [self.add("x", Input(shape=shape))]
        for depth, (feed, kind) in enumerate(case.layers):
            self.prefix = f"l{depth}"
            currents = self.window(WINDOWS[feed]) if feed in WINDOWS else getattr(self, feed)(self.spiking[-1])
            self.spiking.append(self.layer(f"l{depth}", kind, currents, is_recurrent=feed == "recurrent"))
        for index, name in enumerate([self.spiking[-1], "x"]):
            self.add(f"y{index}", Output(shape=self.nodes[name].shape), input=[name])
        self.graph = Graph(
            nodes=self.nodes,
            edges=tuple(self.edges),
            dialect=self.makers.dialect,
            dt_s=1e-3,
            fmt=FMT if self.makers.dialect == "integer" else None,
        )

    def even(self):
        return int(self.rng.integers(1, 4)) * 2

    def add(self, name, node, **ports):
        self.nodes[name] = node
        self.edges += [Edge(source, name, port) for port, sources in ports.items() for source in sources]
        return name

    def synapse(self, label, source, shape, delay=0):
        """A linear layer of its own weights from a flat view of the source."""
        flat = self.flat(label, source)
        name, size = f"{self.prefix}.{label}", prod(shape)
        self.nodes[name] = self.makers.linear((size, self.nodes[flat].size))
        self.edges.append(Edge(flat, name, delay=delay))
        return self.view(name, shape)

    def flat(self, label, source):
        return self.view(source, (self.nodes[source].size,), f"{self.prefix}.{label}.flat")

    def view(self, source, shape, name=None):
        if self.nodes[source].shape == shape:
            return source
        return self.add(
            name or f"{source}.view", Reshape(input_shape=self.nodes[source].shape, shape=shape), input=[source]
        )

    def gather(self, label, source, shape):
        """Values moved at will, some of them lost."""
        index = self.rng.integers(-1, self.nodes[source].size, shape)
        node = Gather(index=index, input_shape=self.nodes[source].shape)
        return self.add(f"{self.prefix}.{label}", node, input=[source])

    def steps(self):
        """A delay of some ticks."""
        return int(self.rng.integers(1, 4)) * self.period

    def any_before(self):
        return self.spiking[int(self.rng.integers(len(self.spiking)))]

    # what lies between; each returns the nodes whose sum is the current

    def linear(self, before):
        return [self.synapse("w", before, (self.even(),))]

    recurrent = linear

    def late(self, before):
        return [self.synapse("w", before, (self.even(),), delay=self.steps())]

    def residual(self, before):
        shape = (self.even(),)
        deep = self.synapse("deep", before, (self.even(),))
        return [self.synapse("deeper", deep, shape), self.synapse("skip", self.any_before(), shape)]

    def conv1d(self, before):
        if self.nodes[before].size % 2:
            return [self.conv(self.gather("image", before, (2, 3)))]
        shape = (2, self.nodes[before].size // 2)
        return [self.conv(self.view(self.flat("image", before), shape, f"{self.prefix}.image"))]

    def conv2d(self, before):
        return [self.conv(self.gather("image", before, (2, 3, 4)))]

    def conv(self, image):
        shape = self.nodes[image].shape
        num_axes, groups = len(shape) - 1, int(self.rng.integers(1, 3))
        kernel = (1, 2)[-num_axes:] if shape[-1] < 4 else (2,) * num_axes
        geometry = Convolution(
            input_shape=shape,
            stride=tuple(int(v) for v in self.rng.integers(1, 3, num_axes)),
            padding=tuple(int(v) for v in self.rng.integers(1, 3, num_axes)),
            dilation=tuple(int(v) for v in self.rng.integers(1, 3, num_axes)),
            groups=groups,
        )
        node = self.makers.conv((2 * groups, shape[0] // groups, *kernel), geometry)
        return self.add(f"{self.prefix}.conv", node, input=[image])

    def pool(self, before):
        pool = Pool(input_shape=(2, 3, 4), kernel=(2, 2), stride=(2, 1), padding=(1, 0), kind=self.makers.pool_kind())
        name = self.add(f"{self.prefix}.pool", pool, input=[self.gather("image", before, (2, 3, 4))])
        return [self.synapse("w", name, (self.even(),))]

    def reduce(self, before):
        image = self.gather("image", before, (2, 3, 2))
        axes = [(0,), (1, 2), (0, 2)][int(self.rng.integers(3))]
        return [self.add(f"{self.prefix}.sum", Reduce(input_shape=(2, 3, 2), axes=axes), input=[image])]

    def concat(self, before):
        """Two populations side by side: each moved to its place, the other places zero; then added."""
        other = self.any_before()
        sizes = [self.nodes[before].size, self.nodes[other].size]
        index = np.full((2, sum(sizes)), -1)
        index[0, : sizes[0]], index[1, sizes[0] :] = np.arange(sizes[0]), np.arange(sizes[1])
        parts = [
            self.add(f"{self.prefix}.part{i}", Gather(index=index[i], input_shape=self.nodes[name].shape), input=[name])
            for i, name in enumerate([before, other])
        ]
        node = self.makers.linear((self.even(), sum(sizes)))
        return [self.add(f"{self.prefix}.w", node, input=parts)]

    def scale(self, before):
        return [self.add(f"{self.prefix}.w", self.makers.scale(self.nodes[before].shape), input=[before])]

    def positions(self, before):
        tokens = self.gather("tokens", before, (3, 2))
        return [self.add(f"{self.prefix}.w", self.makers.linear((2, 2), positions=(3,)), input=[tokens])]

    def product(self, before):
        shape = (self.even(),)
        a, b = self.gather("a", before, shape), self.gather("b", self.any_before(), shape)
        name = self.add(f"{self.prefix}.ab", Product(shape=shape), a=[a], b=[b])
        return [self.synapse("w", name, (self.even(),))]

    def matmul(self, before):
        a, b = self.gather("q", before, (2, 3)), self.gather("k", self.any_spikes(), (3, 2))
        name = self.add(f"{self.prefix}.qk", MatMul(shape_a=(2, 3), shape_b=(3, 2)), a=[a], b=[b])
        third = self.gather("v", self.any_before(), (2, 2))
        return [self.add(f"{self.prefix}.qkv", MatMul(shape_a=(2, 2), shape_b=(2, 2)), a=[name], b=[third])]

    def direct(self, before):
        """Spikes without synapses of their own: with a memoryless neuron, an AND or an OR."""
        return [before, self.gather("other", self.any_before(), self.nodes[before].shape)]

    def integrator(self, before):
        shape = (self.even(),)
        current = self.synapse("w", before, shape)
        between = self.makers.integrator(shape)
        name = self.add(f"{self.prefix}.li", between, input=[current])
        return [self.synapse("v", name, (self.even(),))]

    def window(self, ratio):
        """Sums over some ticks of one or two layers begin a slower stage, which the faster ones do not reach."""
        before = self.spiking[-1]
        shape = self.nodes[before].shape
        sources = [before, self.gather("more", self.any_spikes(), shape)][: int(self.rng.integers(1, 3))]
        name = self.add(f"{self.prefix}.window", self.makers.window(ratio, shape), input=sources)
        if self.rng.random() < 0.3:
            self.edges[-1] = replace(self.edges[-1], delay=self.steps())
        self.period *= ratio
        self.spiking = [name]
        return [self.synapse("w", name, (self.even(),))]

    # neurons

    def layer(self, name, kind, currents, *, is_recurrent):
        shape = self.nodes[currents[0]].shape
        ports = {"input": currents}
        if kind.startswith("dynamic") and not self.countable():
            kind = "stock"
        if kind.startswith("dynamic"):
            node = self.dynamic(shape, kind, ports)
        elif kind == "moving":
            ports["threshold"] = [self.synapse("theta", self.any_before(), shape)]
            node = self.makers.neuron(self.any_kind(), shape, moving=True)
        else:
            node = self.makers.neuron(kind, shape, moving=False)
        self.add(name, node, **ports)
        if is_recurrent and "recurrent" in node.ports:
            self.loop(name, shape)
        return name

    def countable(self):
        """Layers of spikes in the present stage; a stage begins with sums, which no controller counts."""
        return [name for name in self.spiking if not isinstance(self.nodes[name], (WindowSum, IntegerWindowSum))]

    def any_spikes(self):
        return self.countable()[int(self.rng.integers(len(self.countable())))]

    def any_kind(self):
        kinds = [kind for kind in NEURON_KINDS if kind.startswith(("lif", "cuba"))]
        return kinds[int(self.rng.integers(len(kinds)))]

    def loop(self, name, shape):
        """A synapse layer back into the same neurons; the delay lies on one of its two edges."""
        delays = [self.steps(), 0]
        if self.rng.random() < 0.5:
            delays.reverse()
        flat = self.add(f"{name}.back", Reshape(input_shape=shape, shape=(prod(shape),)))
        self.edges.append(Edge(name, flat, delay=delays[0]))
        self.prefix = f"{name}.loop"
        self.edges.append(Edge(self.synapse("w", flat, shape), name, "recurrent", delay=delays[1]))

    def dynamic(self, shape, kind, ports):
        counted = self.any_spikes()
        ports["population"] = [counted]
        num_context = NUM_CONTEXT if kind.endswith("context") else 0
        if num_context:
            self.nodes.setdefault("c", Input(shape=(NUM_CONTEXT,), kind="graded"))
            ports["context"] = ["c"]
        return self.makers.dynamic(shape, random_controller(self.rng, self.nodes[counted].size, num_context))
