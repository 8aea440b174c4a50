"""Float graphs for the tests of NIR files: every node by hand, and Hypothesis graphs that mix them."""

from __future__ import annotations

from collections.abc import Callable

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
    Linear,
    MatMul,
    Node,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    Scale,
    Shape,
    Threshold,
    WindowSum,
)
from export.trace import Array
from hardware_profiles.arithmetic import ThresholdController

DT_S = 1e-3


def inputs_for(graph: Graph, num_steps: int = 40, batch: int = 3, seed: int = 0, rate: float = 0.4) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for name, node in sorted(graph.inputs().items()):
        if node.kind == "spike":
            arrays[name] = (rng.random((num_steps, batch, *node.shape)) < rate).astype(np.uint8)
        else:
            arrays[name] = rng.integers(-600, 601, (num_steps, batch, *node.shape)).astype(np.int16)
    return arrays


class Net:
    """Builds a graph node by node; `bits` makes all numbers dyadic, so that no sum rounds."""

    def __init__(self, seed: int = 0, bits: int | None = None) -> None:
        self.rng, self.bits = np.random.default_rng(seed), bits
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []

    def add(self, name: str, node: Node, *sources: str, port: str = "input", delay: int = 0) -> str:
        self.nodes[name] = node
        for source in sources:
            self.edges.append(Edge(source, name, port, delay))
        return name

    def link(self, source: str, target: str, port: str = "input", delay: int = 0) -> None:
        self.edges.append(Edge(source, target, port, delay))

    def numbers(self, *shape: int, scale: float = 1.0) -> Array:
        return self.rounded(self.rng.normal(0, scale, shape))

    def rounded(self, values: Array) -> Array:
        return (values if self.bits is None else np.round(values * 2**self.bits) / 2**self.bits).astype(np.float32)

    def between(self, low: float, high: float, shape: Shape) -> Array:
        return self.rounded(self.rng.uniform(low, high, shape)).clip(low, high).astype(np.float32)

    def decay(self, shape: Shape) -> Array:
        """Dyadic nets leak by halves, so that few bits suffice for many steps."""
        if self.bits is not None:
            return self.rng.choice(np.array([0, 0.5, 1], dtype=np.float32), shape, p=(0.2, 0.7, 0.1))
        return self.between(0.3, 1, shape)

    def shape(self, name: str) -> Shape:
        return self.nodes[name].shape

    def lif(self, name: str, source: str, reset: str = "zero", **options: object) -> str:
        shape = self.shape(source)
        values: dict[str, object] = {"beta": self.decay(shape), "threshold": self.between(0.5, 1.5, shape)}
        values |= {"reset": reset, "reset_delay": reset not in ("zero", "clear"), **options}
        return self.add(name, LIF(**values), source)  # type: ignore[arg-type]

    def cuba(self, name: str, source: str, reset: str = "clear", **options: object) -> str:
        shape = self.shape(source)
        values: dict[str, object] = {"alpha": self.decay(shape) / 2, "beta": self.decay(shape)}
        values |= {"threshold": self.between(0.5, 1.5, shape), "reset": reset, "reset_delay": reset != "clear"}
        return self.add(name, CubaLIF(**{**values, **options}), source)  # type: ignore[arg-type]

    def linear(self, name: str, source: str, num_out: int, *, bias: bool = True) -> str:
        *positions, num_in = self.shape(source)
        weight = self.numbers(num_out, num_in, scale=1.5 / np.sqrt(num_in))
        node = Linear(
            weight=weight, bias=self.numbers(num_out, scale=0.2) if bias else None, positions=tuple(positions)
        )
        return self.add(name, node, source)

    def conv(
        self,
        name: str,
        source: str,
        channels: int,
        kernel: Shape,
        *,
        stride: Shape | None = None,
        padding: Shape | None = None,
        dilation: Shape | None = None,
        groups: int = 1,
        bias: bool = True,
    ) -> str:
        shape, ones = self.shape(source), (1,) * len(kernel)
        geometry = Convolution(
            input_shape=shape,
            stride=stride or ones,
            padding=padding or tuple(0 for _ in kernel),
            dilation=dilation or ones,
            groups=groups,
        )
        per_group = shape[0] // groups
        weight = self.numbers(channels, per_group, *kernel, scale=1.5 / np.sqrt(per_group * np.prod(kernel)))
        return self.add(
            name, Conv(weight=weight, bias=self.numbers(channels) / 8 if bias else None, geometry=geometry), source
        )

    def reshape(self, name: str, source: str, *shape: int) -> str:
        return self.add(name, Reshape(input_shape=self.shape(source), shape=shape), source)

    def graph(self, *outputs: str) -> Graph:
        for k, name in enumerate(outputs):
            self.add(f"output{k}", Output(shape=self.shape(name)), name)
        return Graph(nodes=self.nodes, edges=tuple(self.edges), dialect="float", dt_s=DT_S)


def controller(population: int, num_context: int = 3) -> ThresholdController:
    return ThresholdController(
        population=population,
        num_groups=2,
        weight_count=1 << 22,
        weight_deviation=1 << 21,
        weight_context=(1 << 12,) * num_context,
        bias=-(1 << 22),
        theta_0=64,
        amplitude=32,
        fraction_bits=6,
    )


def dense_neurons(bits: int | None = None) -> Graph:
    """Chain of Linear and neurons with standard forms; mixed beta = 0, 1; residual and doubled edges; delays."""
    net = Net(1, bits)
    net.add("x", Input(shape=(12,)))
    net.lif("zero", net.linear("fc1", "x", 16))
    net.lif("late_zero", net.linear("fc2", "zero", 16, bias=False), reset_delay=True)
    net.link("fc1", "late_zero", delay=2)
    net.lif("none", net.linear("fc3", "late_zero", 16), "none")
    net.link("fc1", "none")
    net.link("fc1", "none", delay=1)
    net.link("fc3", "none")
    net.lif("clear", net.linear("fc4", "none", 16), "clear")
    net.cuba("cuba", net.linear("fc5", "clear", 16))
    net.link("zero", "fc5")
    net.cuba("cuba_none", net.linear("fc6", "cuba", 16), "none")
    net.add("trace", LI(beta=net.decay((16,))), net.linear("fc7", "cuba_none", 16))
    net.add("sum", LI(beta=np.ones(16, np.float32)), "fc7")
    net.add("scaled", Scale(weight=np.float32(0.5), shape=(16,)), "trace", "sum")
    net.add("fires", Threshold(threshold=net.between(0.3, 0.9, (16,))), "scaled")
    net.lif("integrate", net.linear("fc8", "fires", 16), beta=np.ones(16, np.float32))
    return net.graph("integrate", "cuba")


def recurrent_neurons(bits: int | None = None) -> Graph:
    """Loops through port `recurrent` and `input`, with bias, of hard-reset neurons."""
    net = Net(2, bits)
    net.add("x", Input(shape=(10,)))
    net.lif("a", net.linear("fc1", "x", 12))
    net.link(net.linear("again", "a", 12), "a", "recurrent")
    net.edges = [Edge(e.source, e.target, e.port, 1) if e.target == "again" else e for e in net.edges]
    net.cuba("b", net.linear("fc2", "a", 12))
    net.link("b", "b", "recurrent", delay=1)
    net.lif("c", net.linear("fc3", "b", 12), "none")
    net.link("c", "c", "recurrent", delay=2)
    net.link("fc3", "c", "recurrent")
    return net.graph("c")


def snntorch_neurons(bits: int | None = None) -> Graph:
    """Everything that NIR's neurons cannot say."""
    net = Net(3, bits)
    net.add("x", Input(shape=(12,)))
    net.add("context", Input(shape=(3,), kind="graded"))
    net.lif("subtract", net.linear("fc1", "x", 16), "subtract")
    net.lif("at_once", net.linear("fc2", "subtract", 16), "subtract", reset_delay=False)
    net.lif("late_clear", net.linear("fc3", "at_once", 16), "clear", reset_delay=True)
    net.link("late_clear", "late_clear", "recurrent", delay=1)
    net.link("fc1", "late_clear", "recurrent")
    net.lif("winner", net.linear("fc4", "late_clear", 16), "subtract", inhibition=True)
    net.link("at_once", "fc4")
    net.cuba("cuba_subtract", net.linear("fc5", "winner", 16), "subtract")
    net.link("subtract", "fc5")
    net.cuba("cuba_late", net.linear("fc6", "cuba_subtract", 16), "clear", reset_delay=True)
    net.add("theta_trace", LI(beta=np.full(16, 0.5, np.float32)), "cuba_late", delay=1)
    net.add("theta", Scale(weight=np.float32(0.25), shape=(16,)), "theta_trace")
    net.add("base", Scale(weight=np.float32(0.25), shape=(16,)), "fc6")
    net.lif("moving", net.linear("fc7", "cuba_late", 16), "subtract", threshold=None)
    net.link("theta", "moving", "threshold")
    net.link("base", "moving", "threshold", delay=1)
    net.add(
        "alpha",
        AlphaLIF(
            alpha=np.full(16, 0.75, np.float32),
            beta=np.full(16, 0.5, np.float32),
            tau=np.full(16, 1.75, np.float32),
            threshold=net.between(0.3, 0.6, (16,)),
            reset="clear",
        ),
        net.linear("fc8", "moving", 16),
    )
    net.link("cuba_late", "fc8")
    net.add(
        "dynamic", DynamicThresholdLIF(beta=net.decay((16,)), controller=controller(16)), net.linear("fc9", "alpha", 16)
    )
    net.link("subtract", "fc9")
    net.link("subtract", "dynamic", "population")
    net.link("context", "dynamic", "context")
    return net.graph("dynamic")


def images(bits: int | None = None) -> Graph:
    """Convolutions of every geometry, pools, circular padding and channel concatenation, then flat."""
    net = Net(4, bits)
    net.add("x", Input(shape=(4, 9, 8)))
    net.lif("s1", net.conv("grouped", "x", 8, (3, 3), padding=(1, 1), groups=2))
    net.lif("s2", net.conv("tall", "s1", 8, (5, 3), padding=(2, 1), bias=False))
    net.lif("s3", net.conv("odd", "s2", 8, (2, 3), padding=(1, 0), dilation=(1, 2)))
    net.lif("s4", net.conv("parity", "s3", 8, (2, 3), padding=(0, 1), stride=(1, 2)), "none")
    _, height, width = net.shape("s4")
    padded = np.pad(np.arange(8 * height * width).reshape(8, height, width), ((0, 0), (1, 1), (1, 1)), mode="wrap")
    net.add("wrap", Gather(index=padded, input_shape=net.shape("s4")), "s4")
    net.cuba("s5", net.conv("circular", "wrap", 6, (3, 3)))
    size = 6 * height * width
    first, second = np.full((12, height, width), -1), np.full((12, height, width), -1)
    first[:6] = np.arange(size).reshape(6, height, width)
    second[6:] = np.arange(size).reshape(6, height, width)[::-1]
    net.add("cat1", Gather(index=first, input_shape=net.shape("s5")), "s5")
    net.add("cat2", Gather(index=second, input_shape=net.shape("circular")), "circular")
    net.conv("mix", "cat1", 6, (1, 1))
    net.link("cat2", "mix")
    net.lif("s6", "mix", "subtract" if bits is None else "zero")
    net.add("sum", Pool(input_shape=net.shape("s6"), kernel=(3, 2), stride=(2, 2), padding=(1, 1)), "s6")
    net.add(
        "mean", Pool(input_shape=net.shape("sum"), kernel=(2, 2), stride=(1, 1), padding=(0, 0), kind="average"), "sum"
    )
    net.lif("s7", "mean", threshold=np.full(net.shape("mean"), 0.75, np.float32))
    net.lif("s8", net.linear("head", net.reshape("flat", "s7", int(np.prod(net.shape("s7")))), 10))
    return net.graph("s8", "s7")


def sequences(bits: int | None = None) -> Graph:
    """One-dimensional convolutions and pools, and a permutation that convolutions cannot say."""
    net = Net(5, bits)
    net.add("x", Input(shape=(3, 16)))
    net.lif("s1", net.conv("grouped", "x", 6, (4,), padding=(2,), dilation=(2,), groups=3))
    net.add("pooled", Pool(input_shape=net.shape("s1"), kernel=(3,), stride=(2,), padding=(1,)), "s1")
    net.add(
        "mean", Pool(input_shape=net.shape("pooled"), kernel=(2,), stride=(2,), padding=(0,), kind="average"), "pooled"
    )
    net.lif("s2", "mean", "none")
    index = np.arange(np.prod(net.shape("s2"))).reshape(net.shape("s2"))[:, ::-1]
    net.add("mirrored", Gather(index=np.ascontiguousarray(index), input_shape=net.shape("s2")), "s2")
    net.lif("s3", net.conv("last", "mirrored", 4, (2,)))
    return net.graph("s3")


def tokens(bits: int | None = None) -> Graph:
    """Attention: Linear over positions, transposition, matrix product, gate, coincidences, column sums."""
    net = Net(6, bits)
    net.add("x", Input(shape=(4, 6)))
    for name in ("q", "k", "v"):
        net.lif(f"s_{name}", net.linear(name, "x", 6))
    net.add("kT", Gather(index=np.arange(24).reshape(4, 6).T.copy(), input_shape=(4, 6)), "s_k")
    net.add("scores", MatMul(shape_a=(4, 6), shape_b=(6, 4)), "s_q", port="a")
    net.link("kT", "scores", "b")
    net.add("mixed", MatMul(shape_a=(4, 4), shape_b=(4, 6)), "scores", port="a")
    net.link("s_v", "mixed", "b", delay=1)
    net.lif("s1", net.linear("proj", "mixed", 6), threshold=np.full((4, 6), 3, np.float32))
    net.add("both", Threshold(threshold=np.full((4, 6), 1.5, np.float32)), "s_q", "s_k")
    net.add("column", Reduce(input_shape=(4, 6), axes=(0,)), "both")
    net.lif("mask", "column", threshold=np.full(6, 1.5, np.float32))
    net.add("spread", Gather(index=np.tile(np.arange(6), (4, 1)), input_shape=(6,)), "mask")
    net.add("gated", Product(shape=(4, 6)), "spread", port="a")
    net.link("s1", "gated", "b")
    net.lif("s2", net.linear("out", "gated", 6), "none")
    net.lif("s3", net.linear("head", net.reshape("flat", "s2", 24), 8))
    return net.graph("s3", "s2")


def concatenated(bits: int | None = None) -> Graph:
    """Features of three layers side by side before one Linear, one of them late."""
    net = Net(12, bits)
    net.add("x", Input(shape=(12,)))
    sizes = {"a": 7, "b": 5, "c": 9}
    start = 0
    for name, size in sizes.items():
        net.lif(f"s_{name}", net.linear(f"fc_{name}", "x", size))
        index = np.full(sum(sizes.values()), -1)
        index[start : start + size] = np.arange(size)
        net.add(f"place_{name}", Gather(index=index, input_shape=(size,)), f"s_{name}", delay=int(name == "b"))
        start += size
    net.linear("fc", "place_a", 10)
    net.link("place_b", "fc")
    net.link("place_c", "fc")
    net.lif("s", "fc")
    net.link("fc", "s", delay=1)
    return net.graph("s")


def stages(bits: int | None = None) -> Graph:
    """Images in the fast stage and in one that ticks every second step, vectors in one that ticks every fourth."""
    net = Net(9, bits)
    net.add("x", Input(shape=(2, 5, 4)))
    net.lif("fast", net.conv("w0", "x", 3, (3, 3)), reset="subtract")
    share = np.array([48, 80], dtype=np.float32) / 128
    net.add("images", WindowSum(weight=share, shape=net.shape("fast")), "fast")
    net.lif("slow", net.conv("w1", "images", 4, (2, 2)), reset="zero")
    net.add("late", WindowSum(weight=share[::-1].copy(), shape=net.shape("slow")), "slow")
    net.nodes["flat"] = Reshape(input_shape=net.shape("late"), shape=(net.nodes["late"].size,))
    net.link("late", "flat", delay=4)
    net.cuba("slowest", net.linear("w2", "flat", 6))
    net.linear("back", "slowest", 6)
    net.edges.pop()
    net.link("slowest", "back", delay=4)
    net.link("back", "slowest", "recurrent")
    return net.graph("slow", "slowest")


GRAPHS: dict[str, Callable[..., Graph]] = {
    function.__name__: function
    for function in (
        dense_neurons,
        recurrent_neurons,
        snntorch_neurons,
        images,
        sequences,
        tokens,
        concatenated,
        stages,
    )
}


@st.composite
def random_graphs(draw: st.DrawFn, *, standard: bool = False, bits: int | None = None) -> Graph:
    """Layers in a row with skips, delays and loops, among images first, then flat.

    `standard` leaves out what NIR's own nodes cannot say, even with `standard_only`.
    """
    net = Net(draw(st.integers(0, 2**20)), bits)
    last = net.add("x", Input(shape=draw(st.sampled_from([(8,), (2, 9), (2, 6, 7), (3, 5, 5)]))))
    for k in range(draw(st.integers(0, 2))):
        if len(net.shape(last)) > 1 and min(net.shape(last)[1:]) >= 3:
            last = _random_image_layer(draw, net, last, k, standard)
    if len(net.shape(last)) > 1:
        last = net.reshape("flat", last, int(np.prod(net.shape(last))))
    skip = None
    for k in range(draw(st.integers(1, 3))):
        current = net.linear(f"fc{k}", last, 8, bias=draw(st.booleans()))
        last = _random_neuron(draw, net, f"n{k}", current, standard)
        if skip is not None and draw(st.booleans()):
            net.link(skip, last, delay=draw(st.integers(0, 2)))
        if draw(st.booleans()):
            port = draw(st.sampled_from(["input", "recurrent"]))
            if port in net.nodes[last].ports:
                net.link(last, last, port, delay=draw(st.integers(1, 2)))
        skip = current
    return net.graph(last)


def _random_image_layer(draw: st.DrawFn, net: Net, source: str, k: int, standard: bool) -> str:
    axes = len(net.shape(source)) - 1
    lengths = st.tuples(*[st.integers(1, 3)] * axes)
    channels = net.shape(source)[0]
    groups = draw(st.sampled_from([1, channels]))
    padding, dilation, stride = (draw(st.tuples(*[st.integers(low, 2)] * axes)) for low in (0, 1, 1))
    kernel = tuple(
        min(kernel, (length + 2 * pad - 1) // step + 1)
        for kernel, length, pad, step in zip(draw(lengths), net.shape(source)[1:], padding, dilation, strict=True)
    )
    current = net.conv(
        f"conv{k}", source, 2 * channels, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    if draw(st.booleans()) and min(net.shape(current)[1:]) >= 2:
        window = (2,) * axes
        kind = draw(st.sampled_from(["sum", "average"]))
        node = Pool(input_shape=net.shape(current), kernel=window, stride=window, padding=(0,) * axes, kind=kind)
        current = net.add(f"pool{k}", node, current)
    return _random_neuron(draw, net, f"image{k}", current, standard)


def _random_neuron(draw: st.DrawFn, net: Net, name: str, source: str, standard: bool) -> str:
    kind = draw(st.sampled_from(["lif", "cuba", "threshold"]))
    if kind == "threshold":
        return net.add(name, Threshold(threshold=net.between(0.25, 1, net.shape(source))), source)
    resets = ["zero", "none", "subtract", "clear"] if kind == "lif" else ["none", "subtract", "clear"]
    reset = draw(st.sampled_from(resets))
    delay = draw(st.booleans()) and not (standard and reset == "clear")
    options = {
        "reset_delay": delay,
        "inhibition": not standard and len(net.shape(source)) == 1 and draw(st.integers(0, 4)) == 0,
    }
    return (net.lif if kind == "lif" else net.cuba)(name, source, reset, **options)
