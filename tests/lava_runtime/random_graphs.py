"""Random graphs with every node that the two dialects have, and inputs for them."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from hypothesis import strategies as st

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
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    Linear,
    MatMul,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    Scale,
    Threshold,
)
from export.ranges import value_bounds
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format

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


def cases_of(max_layers, max_steps):
    return st.builds(
        Case,
        layers=st.lists(
            st.tuples(st.sampled_from(FEEDS), st.sampled_from(NEURON_KINDS)), min_size=1, max_size=max_layers
        ).map(tuple),
        num_steps=st.integers(1, max_steps),
        batch=st.integers(1, 3),
        seed=st.integers(0, 2**32 - 1),
    )


class Outline:
    """Nodes and edges of a case, made with one dialect's makers of synapses and neurons."""

    def __init__(self, case, makers):
        self.rng = np.random.default_rng(case.seed)
        self.makers = makers(self.rng)
        self.nodes, self.edges = {}, []
        shape = (self.even(),) if self.rng.random() < 0.7 else (2, self.even())
        self.spiking = [self.add("x", Input(shape=shape))]
        for depth, (feed, kind) in enumerate(case.layers):
            self.prefix = f"l{depth}"
            currents = getattr(self, feed)(self.spiking[-1])
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

    def any_before(self):
        return self.spiking[int(self.rng.integers(len(self.spiking)))]

    # what lies between; each returns the nodes whose sum is the current

    def linear(self, before):
        return [self.synapse("w", before, (self.even(),))]

    recurrent = linear

    def late(self, before):
        return [self.synapse("w", before, (self.even(),), delay=int(self.rng.integers(1, 4)))]

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
        a, b = self.gather("q", before, (2, 3)), self.gather("k", self.any_before(), (3, 2))
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

    # neurons

    def layer(self, name, kind, currents, *, is_recurrent):
        shape = self.nodes[currents[0]].shape
        ports = {"input": currents}
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

    def any_kind(self):
        kinds = [kind for kind in NEURON_KINDS if kind.startswith(("lif", "cuba"))]
        return kinds[int(self.rng.integers(len(kinds)))]

    def loop(self, name, shape):
        """A synapse layer back into the same neurons; the delay lies on one of its two edges."""
        delays = [int(self.rng.integers(1, 4)), 0]
        if self.rng.random() < 0.5:
            delays.reverse()
        flat = self.add(f"{name}.back", Reshape(input_shape=shape, shape=(prod(shape),)))
        self.edges.append(Edge(name, flat, delay=delays[0]))
        self.prefix = f"{name}.loop"
        self.edges.append(Edge(self.synapse("w", flat, shape), name, "recurrent", delay=delays[1]))

    def dynamic(self, shape, kind, ports):
        counted = self.any_before()
        ports["population"] = [counted]
        num_context = NUM_CONTEXT if kind.endswith("context") else 0
        if num_context:
            self.nodes.setdefault("c", Input(shape=(NUM_CONTEXT,), kind="graded"))
            ports["context"] = ["c"]
        return self.makers.dynamic(shape, random_controller(self.rng, self.nodes[counted].size, num_context))


def random_controller(rng, population, num_context):
    return ThresholdController(
        population=population,
        num_groups=int(rng.choice([1, 1 + (population % 2 == 0), population])),
        weight_count=int(rng.integers(-(2**22), 2**22)),
        weight_deviation=int(rng.integers(-(2**20), 2**20)),
        weight_context=tuple(int(w) for w in rng.integers(-(2**14), 2**14, num_context)),
        bias=int(rng.integers(-(2**22), 2**22)),
        theta_0=int(rng.integers(300, 700)),
        amplitude=int(rng.integers(-290, 290)),
        fraction_bits=8,
    )


def inhibits(rng, shape):
    """snnTorch lets the neurons of one axis inhibit each other."""
    return bool(len(shape) == 1 and rng.random() < 0.2)


class IntegerMakers:
    dialect = "integer"

    def __init__(self, rng):
        self.rng = rng

    def weights(self, shape):
        weight = self.rng.integers(-127, 128, shape) + self.rng.integers(-20, 60)
        return np.clip(weight * (self.rng.random(shape) < 0.8), -127, 127)

    def exponent(self):
        return int(self.rng.choice([0, 1, 3, 5]))

    def linear(self, shape, positions=()):
        return IntegerLinear(weight_int8=self.weights(shape), weight_exp=self.exponent(), positions=positions)

    def conv(self, shape, geometry):
        return IntegerConv(weight_int8=self.weights(shape), weight_exp=self.exponent(), geometry=geometry)

    def scale(self, shape):
        return IntegerScale(weight_int8=self.weights(shape), weight_exp=self.exponent())

    def integrator(self, shape):
        return IntegerScale(weight_int8=self.rng.integers(-3, 4, shape), weight_exp=0)

    def pool_kind(self):
        return "sum"

    def bias(self, shape):
        mantissa = self.rng.integers(-4095, 4096, shape) * (self.rng.random(shape) < 0.5)
        return {"bias_mant": mantissa, "bias_exp": int(self.rng.integers(0, 8))}

    def neuron(self, kind, shape, *, moving):
        rng = self.rng
        vth = None if moving else rng.integers(1, 3000, shape) if rng.random() < 0.8 else rng.integers(1, 131072, shape)
        own = {"vth": vth, **self.bias(shape)}
        if kind == "memoryless":
            return IntegerThreshold(**own)
        dv = rng.choice([0, 1, 410, 2048, 4095], shape) if rng.random() < 0.5 else rng.integers(0, 4096, shape)
        if kind == "stock":
            return IntegerLIF(dv=dv, **own, reset="zero", reset_delay=False)
        name, reset = kind.split()
        flags = {"inhibition": inhibits(rng, shape)}
        if name == "alpha":
            reset = "none" if reset == "subtract" else reset
            return IntegerAlphaLIF(du=rng.integers(0, 4097, shape), dv=dv, **own, reset=reset, **flags)
        flags["reset_delay"] = bool(rng.random() < 0.5)
        if name == "lif":
            return IntegerLIF(dv=dv, **own, reset=reset, **flags)
        own["bias_exp"] = min(own["bias_exp"], 4)  # the bias, too, adds up in the synaptic current
        if rng.random() < 0.5:
            own["bias_mant"] = np.zeros(shape, dtype=int)
        return IntegerCubaLIF(du=rng.integers(800, 4096, shape), dv=dv, **own, reset=reset, **flags)

    def dynamic(self, shape, controller):
        return IntegerDynamicThresholdLIF(
            dv=self.rng.integers(0, 4096, shape),
            **self.bias(shape),
            theta_shift=int(self.rng.integers(0, 4)),
            controller=controller,
        )


class DyadicMakers:
    """Weights on a grid of 2^-5, decays on one of 2^-1: within 8 steps every sum is exact in double precision."""

    dialect = "float"

    def __init__(self, rng):
        self.rng = rng

    def weights(self, shape):
        return (self.rng.integers(-32, 64, shape) * (self.rng.random(shape) < 0.8) / 32).astype(np.float32)

    def bias(self, size):
        return (self.rng.integers(-16, 17, size) / 32).astype(np.float32) if self.rng.random() < 0.7 else None

    def linear(self, shape, positions=()):
        return Linear(weight=self.weights(shape), bias=self.bias(shape[0]), positions=positions)

    def conv(self, shape, geometry):
        return Conv(weight=self.weights(shape), bias=self.bias(shape[0]), geometry=geometry)

    def scale(self, shape):
        return Scale(weight=self.weights(shape if self.rng.random() < 0.7 else ()), shape=shape)

    def integrator(self, shape):
        return LI(beta=self.decay(shape))

    def pool_kind(self):
        return str(self.rng.choice(["sum", "average"]))

    def decay(self, shape):
        return (self.rng.integers(0, 3, shape) / 2).astype(np.float32)

    def neuron(self, kind, shape, *, moving):
        rng = self.rng
        threshold = None if moving else (rng.integers(1, 128, shape) / 32).astype(np.float32)
        if kind == "memoryless":
            return Threshold(threshold=threshold)
        own = {"beta": self.decay(shape), "threshold": threshold}
        if kind == "stock":
            return LIF(**own, reset="zero", reset_delay=False)
        name, reset = kind.split()
        own |= {"reset": reset, "reset_delay": bool(rng.random() < 0.5), "inhibition": inhibits(rng, shape)}
        if name == "lif":
            return LIF(**own)
        if name == "cuba":
            return CubaLIF(alpha=self.decay(shape), **own)
        tau = (rng.integers(2, 7, shape) / 2).astype(np.float32)
        return AlphaLIF(alpha=self.decay(shape), tau=tau, **own)

    def dynamic(self, shape, controller):
        return DynamicThresholdLIF(beta=self.decay(shape), controller=controller)


def integer_graph(case):
    return fitted(Outline(case, IntegerMakers).graph)


def fitted(graph):
    """The same graph with weights so small that no sum can wrap."""
    for name in graph.order:
        node = graph.nodes[name]
        if isinstance(node, (IntegerLinear, IntegerConv, IntegerScale)):
            while value_bounds(graph)[name] > FMT.sum_max // 16:
                smaller = (
                    {"weight_exp": 0}
                    if node.weight_exp
                    else {"weight_int8": np.sign(node.weight_int8) * (np.abs(node.weight_int8) // 2)}
                )
                node = replace(node, **smaller)
                graph = graph.with_nodes({name: node})
    return graph


LOUD = (IntegerLIF, IntegerAlphaLIF, IntegerDynamicThresholdLIF)


def loud_graph(case):
    """The same graph with large sums, membranes that keep what they get, and high thresholds: many are clipped."""
    graph = integer_graph(case)
    for name, node in graph.nodes.items():
        changed = node
        if isinstance(node, LOUD):
            changed = replace(node, dv=node.dv // 64)
            if isinstance(node, IntegerAlphaLIF):
                changed = replace(changed, du=node.du // 64)
            if isinstance(changed, (IntegerLIF, IntegerAlphaLIF)) and node.vth is not None:
                changed = replace(changed, vth=FMT.threshold_max - node.vth // 64)
        elif isinstance(node, (IntegerLinear, IntegerConv, IntegerScale)) and all(
            isinstance(graph.nodes[edge.target], LOUD) and edge.port != "threshold" for edge in graph.outgoing(name)
        ):
            room = FMT.sum_max // 4 // max(value_bounds(graph)[name], 1)
            changed = replace(node, weight_exp=node.weight_exp + max(room.bit_length() - 1, 0))
        graph = graph.with_nodes({name: changed})
    return graph


def dyadic_graph(case):
    return Outline(case, DyadicMakers).graph


def random_inputs(graph, case):
    rng = np.random.default_rng(case.seed + 1)
    rate = rng.choice([0.1, 0.5, 1.0])
    inputs = {}
    for name, node in graph.inputs().items():
        shape = (case.num_steps, case.batch, *node.shape)
        inputs[name] = rng.random(shape) < rate if node.kind == "spike" else rng.integers(-900, 900, shape)
        inputs[name] = inputs[name].astype(np.int16)
    return inputs
