"""Lava's own `Conv`: convolutions and pools of every geometry equal the specification; small ones are `Sparse`."""

import numpy as np
import pytest
import torch

from export.graph import Edge, Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    LIF,
    Conv,
    Convolution,
    Input,
    IntegerConv,
    IntegerLIF,
    Output,
    Pool,
    window_count,
)
from export.passes.balance_latency import balance_latency
from lava_runtime.compat import load_lava
from lava_runtime.layerwise import run_processes
from lava_runtime.shared_memory import shared_array

from .comparing import assert_equal_traces
from .random_graphs import FMT

NUM_STEPS, BATCH = 7, 2
pytestmark = pytest.mark.lava


def random_geometry(rng, num_axes, input_shape=None):
    """A convolution of any stride, padding, dilation and grouping; returns (geometry, weight shape)."""
    groups = int(rng.integers(1, 4))
    if input_shape is None:
        input_shape = (groups * int(rng.integers(1, 3)), *(int(n) for n in rng.integers(5, 9, num_axes)))
    groups = max(g for g in (1, 2, 3) if input_shape[0] % g == 0 and g <= groups)
    while True:
        kernel, stride, padding, dilation = (
            tuple(int(n) for n in rng.integers(low, high, num_axes)) for low, high in ((1, 4), (1, 4), (0, 3), (1, 4))
        )
        if min(map(window_count, input_shape[1:], kernel, stride, padding, dilation)) > 0:
            break
    geometry = Convolution(input_shape=input_shape, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return geometry, (groups * int(rng.integers(1, 4)), input_shape[0] // groups, *kernel)


def random_pool(rng, input_shape, kind):
    kernel = tuple(int(n) for n in rng.choice([1, 2], len(input_shape) - 1))
    stride = tuple(int(n) for n in rng.integers(1, 3, len(kernel)))
    padding = tuple(int(rng.integers(0, n // 2 + 1)) for n in kernel)
    return Pool(input_shape=input_shape, kernel=kernel, stride=stride, padding=padding, kind=kind)


def random_graph(rng, dialect, num_axes):
    """Spikes into a convolution and neurons, then a pool whose sums reach a second convolution as graded spikes."""
    first, shape = random_geometry(rng, num_axes)
    conv = _conv(rng, dialect, shape, first)
    pool = random_pool(rng, conv.shape, "sum" if dialect == "integer" else str(rng.choice(["sum", "average"])))
    second, shape = random_geometry(rng, num_axes, pool.shape)
    graded = _conv(rng, dialect, shape, second)
    nodes = {
        "x": Input(shape=first.input_shape),
        "conv": conv,
        "hidden": _neuron(rng, dialect, conv.shape),
        "pool": pool,
        "graded": graded,
        "last": _neuron(rng, dialect, graded.shape),
        "y": Output(shape=graded.shape),
    }
    edges = tuple(map(Edge, list(nodes)[:-1], list(nodes)[1:]))
    fmt = FMT if dialect == "integer" else None
    return Graph(nodes=nodes, edges=edges, dialect=dialect, dt_s=1e-3, fmt=fmt)


def _conv(rng, dialect, shape, geometry):
    if dialect == "integer":
        weight = np.clip(rng.integers(-127, 128, shape) + rng.integers(0, 60), -127, 127)
        return IntegerConv(weight_int8=weight, weight_exp=int(rng.integers(0, 5)), geometry=geometry)
    weight = (rng.integers(-24, 40, shape) / 16).astype(np.float32)
    bias = (rng.integers(-4, 8, shape[0]) / 16).astype(np.float32) if rng.random() < 0.5 else None
    return Conv(weight=weight, bias=bias, geometry=geometry)


def _neuron(rng, dialect, shape):
    if dialect == "integer":
        none = np.zeros(shape, dtype=int)
        vth = rng.integers(30, 4000, shape)
        dv = rng.integers(0, 2000, shape)
        return IntegerLIF(dv=dv, vth=vth, bias_mant=none, bias_exp=0, reset="zero", reset_delay=False)
    threshold = (rng.integers(8, 48, shape) / 16).astype(np.float32)
    return LIF(beta=np.full(shape, 0.5, np.float32), threshold=threshold, reset="zero", reset_delay=False)


def kinds(graph, inputs):
    from lava_runtime.processes.network import build_network

    network = build_network(balance_latency(graph), inputs, shared_array((1,), np.int64))
    return {name: type(process).__module__ for name, process in network.processes.items()}


@pytest.mark.parametrize("dialect", ["integer", "float"])
def test_every_geometry_is_lavas_own_conv_and_equals_the_specification(dialect, monkeypatch):
    load_lava()
    from lava_runtime.processes import convolution

    monkeypatch.setattr(convolution, "SPARSE_SYNAPSES", 0)
    rng = np.random.default_rng(5)
    spikes = silent = exponents = groups = 0
    for case in range(10):
        graph = random_graph(rng, dialect, num_axes=1 if case % 5 == 4 else 2)
        inputs = {"x": (rng.random((NUM_STEPS, BATCH, *graph.nodes["x"].shape)) < 0.4).astype(np.uint8)}
        found = kinds(graph, inputs)
        assert {found[name] for name in ("conv", "pool", "graded")} == {"lava.proc.conv.process"}
        if dialect == "integer":
            expected, number_format = run_integer(graph, inputs), "fixed_pt"
            exponents += graph.nodes["conv"].weight_exp > 0
        else:
            expected, number_format = run_float(graph, inputs, dtype=torch.float64).trace, "floating_pt"
        groups += graph.nodes["conv"].geometry.groups > 1
        assert_equal_traces(run_processes(graph, inputs, number_format=number_format), expected)
        spikes += sum(int(layer.s.sum()) for layer in expected.values())
        silent += sum(int((layer.s.sum(axis=(0, 1)) == 0).sum()) for layer in expected.values())
    assert spikes > 500 and silent > 50 and groups > 2 and (exponents > 3 or dialect == "float")


def wide(input_shape, kernel, *, padding=(0, 0), dilation=(1, 1), groups=1, weight_exp=2):
    """A single convolution over an image, and its neurons."""
    rng = np.random.default_rng(6)
    geometry = Convolution(input_shape=input_shape, stride=(1, 2), padding=padding, dilation=dilation, groups=groups)
    weight = rng.integers(-60, 127, (groups, input_shape[0] // groups, *kernel))
    conv = IntegerConv(weight_int8=weight, weight_exp=weight_exp, geometry=geometry)
    nodes = {"x": Input(shape=input_shape), "conv": conv, "l": _neuron(rng, "integer", conv.shape)}
    return Graph(nodes=nodes, edges=(Edge("x", "conv"), Edge("conv", "l")), dialect="integer", dt_s=1e-3, fmt=FMT)


@pytest.mark.parametrize(
    "graph",
    [
        wide((1, 3, 300), (2, 3)),
        wide((1, 6, 20), (3, 3), padding=(0, 70)),
        wide((1, 4, 200), (2, 9), dilation=(1, 17)),
        wide((130, 3, 4), (2, 2), groups=130),
    ],
    ids=["image", "padding", "dilation", "groups"],
)
def test_lengths_beyond_a_byte_are_what_they_are(graph, monkeypatch):
    """Lava's model keeps them as int8, which has no room for 130 groups; with numpy >= 2 the other three fail too."""
    load_lava()
    from lava_runtime.processes import convolution

    monkeypatch.setattr(convolution, "SPARSE_SYNAPSES", 0)
    inputs = {"x": (np.random.default_rng(7).random((5, 1, *graph.nodes["x"].shape)) < 0.3).astype(np.uint8)}
    assert kinds(graph, inputs)["conv"] == "lava.proc.conv.process"
    expected = run_integer(graph, inputs)
    assert expected["l"].s.any() and not expected["l"].s.all()
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)


def test_the_unrolled_size_decides():
    from lava_runtime.processes import convolution

    def kind(side):
        graph = wide((4, side, 2 * side), (3, 3))
        weights = graph.nodes["conv"].size * 4 * 9
        inputs = {"x": np.zeros((1, 1, 4, side, 2 * side), dtype=np.uint8)}
        return weights, kinds(graph, inputs)["conv"]

    small, is_sparse = kind(100)
    large, is_conv = kind(400)
    assert small <= convolution.SPARSE_SYNAPSES < large
    assert (is_sparse, is_conv) == ("lava.proc.sparse.process", "lava.proc.conv.process")
