"""Written files in lava-dl's own netx, on stock Lava: spikes and membranes against the integer interpreter.

`make crosscheck-netx` runs this in an environment of its own, which has lava-dl.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.netx_file import write_netx
from export.nodes import (
    LIF,
    Convolution,
    Input,
    IntegerConv,
    IntegerCubaLIF,
    IntegerLIF,
    IntegerLinear,
    Linear,
    Node,
    Output,
    Reshape,
    Shape,
)
from export.pipeline import lower
from hardware_profiles.profile import integer_format
from lava_runtime.compat import load_lava

NUM_STEPS, BATCH = 60, 4


def has_netx() -> bool:
    try:
        return importlib.util.find_spec("lava.lib.dl.netx") is not None
    except ModuleNotFoundError:
        return False


pytestmark = [
    pytest.mark.skipif(not has_netx(), reason="lava-dl is not installed: make crosscheck-netx runs this"),
    pytest.mark.lava,
    pytest.mark.filterwarnings("ignore"),  # lava-dl is frozen and warns about its own syntax
]


def load_netx() -> Any:
    """Import netx without lava-dl's object detection, which needs OpenCV and torchvision and is not used."""
    load_lava()
    unused = "lava.lib.dl.slayer.object_detection"
    sys.modules.setdefault(unused, types.ModuleType(unused))
    from lava.lib.dl.netx import hdf5

    return hdf5


def run_netx(path: Path, spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run one sample after the other; returns the output's spikes [T, B, n] and its last membranes [n], in C order."""
    network = load_netx().Network(net_config=str(path), reset_interval=len(spikes), reset_offset=1)
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    num_steps, batch = spikes.shape[:2]
    shape, lag = network.inp.shape, len(network)
    in_a_row = spikes.swapaxes(0, 1).reshape(num_steps * batch, *reversed(shape))
    data = np.zeros((*shape, len(in_a_row) + lag), np.int32)
    data[..., : len(in_a_row)] = in_a_row.T
    source, sink = Source(data=data), Sink(shape=network.out.shape, buffer=data.shape[-1])
    source.s_out.connect(network.inp)
    network.out.connect(sink.a_in)
    network.run(condition=RunSteps(data.shape[-1]), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    try:
        sent, membrane = sink.data.get(), network.out_layer.neuron.v.get()
    finally:
        network.stop()
    rows = sent[..., lag:].T.reshape(batch, num_steps, -1)
    return rows.swapaxes(0, 1), membrane.T.ravel()


class Net:
    """A chain with random weights, grown layer by layer."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = [Input(shape=shape)]

    @property
    def shape(self) -> Shape:
        return self.nodes[-1].shape

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-70, 110, shape) * (self.rng.random(shape) < 0.8)

    def linear(self, out: int, weight_exp: int = 0) -> Net:
        if len(self.shape) > 1:
            self.nodes.append(Reshape(input_shape=self.shape, shape=(self.nodes[-1].size,)))
        self.nodes.append(IntegerLinear(weight_int8=self.weights(out, *self.shape), weight_exp=weight_exp))
        return self

    def conv(self, out: int, kernel: Shape, weight_exp: int = 0, **given: Any) -> Net:
        ones = (1,) * len(kernel)
        geometry = {"stride": ones, "padding": (0,) * len(kernel), "dilation": ones, "groups": 1} | given
        weight = self.weights(out, self.shape[0] // geometry["groups"], *kernel)
        convolution = Convolution(input_shape=self.shape, **geometry)
        self.nodes.append(IntegerConv(weight_int8=weight, weight_exp=weight_exp, geometry=convolution))
        return self

    def lif(self, vth: int, dv: int = 400, bias: int = 0, bias_exp: int = 6) -> Net:
        dv_full, vth_full = np.full(self.shape, dv), np.full(self.shape, vth)
        bias_mant = self.rng.integers(-bias, bias + 1, self.shape)
        self.nodes.append(
            IntegerLIF(
                dv=dv_full, vth=vth_full, bias_mant=bias_mant, bias_exp=bias_exp, reset="zero", reset_delay=False
            )
        )
        return self

    def cuba(self, vth: int, du: int, dv: int = 400) -> Net:
        du_full, dv_full, vth_full, zero = (np.full(self.shape, value) for value in (du, dv, vth, 0))
        self.nodes.append(
            IntegerCubaLIF(
                du=du_full, dv=dv_full, vth=vth_full, bias_mant=zero, bias_exp=0, reset="clear", reset_delay=False
            )
        )
        return self

    def graph(self) -> Graph:
        named = {f"n{index}": node for index, node in enumerate((*self.nodes, Output(shape=self.shape)))}
        names = list(named)
        edges = tuple(map(Edge, names, names[1:]))
        return Graph(nodes=named, edges=edges, dialect="integer", dt_s=1e-3, fmt=integer_format())


NETWORKS: dict[str, Callable[[], Net]] = {
    "dense": lambda: Net(0, (20,)).linear(30).lif(150).linear(25, 1).lif(500).linear(10).lif(150, dv=0),
    "dense with biases": lambda: Net(1, (20,)).linear(30).lif(200, bias=90).linear(10).lif(150, bias=90, bias_exp=7),
    "dense with currents": lambda: Net(2, (20,)).linear(30).cuba(400, du=1500).linear(10, 1).cuba(2500, du=1000, dv=0),
    "conv": lambda: Net(3, (2, 7, 6)).conv(4, (3, 2), stride=(1, 2), padding=(1, 0)).lif(200, bias=60),
    "conv of groups, dilated": lambda: (
        Net(4, (4, 9, 6)).conv(6, (2, 3), groups=2, dilation=(2, 1), padding=(1, 2)).lif(250).conv(4, (1, 2)).lif(150)
    ),
    "conv in one dimension": lambda: (
        Net(5, (3, 16)).conv(4, (5,), stride=(2,), padding=(2,)).lif(200).linear(9).lif(300)
    ),
    "conv, flatten, dense": lambda: (
        Net(6, (2, 7, 6)).conv(4, (3, 2)).lif(250, bias=60).linear(12).lif(400).linear(8).lif(90)
    ),
    "flattened input": lambda: Net(7, (2, 4, 3)).linear(15).lif(200).linear(8).lif(150),
}
SIMULATOR_ONLY: dict[str, Callable[[], Net]] = {
    "wide dense": lambda: Net(8, (20,)).linear(30, 6).lif(10000, bias=4000, bias_exp=7).linear(10, 3).lif(1000),
    "wide conv, flatten, dense": lambda: (
        Net(9, (2, 7, 6)).conv(4, (3, 2), 4).lif(4000, bias=900).linear(12, 4).lif(5000).linear(8, 1).lif(200)
    ),
}


def assert_equal(graph: Graph, path: Path, simulator_only: bool) -> None:
    write_netx(graph, path, simulator_only=simulator_only)
    source = graph.nodes["n0"]
    spikes = (np.random.default_rng(99).random((NUM_STEPS, BATCH, *source.shape)) < 0.3).astype(np.uint8)
    trace = run_integer(graph, {"n0": spikes})
    for layer in trace.values():  # spikes must happen and some must not
        assert 0.01 < layer.s.mean() < 0.9
    last = list(trace.values())[-1]
    assert last.v is not None
    sent, membrane = run_netx(path, spikes)
    print(f"{int((sent != last.s).sum())} of {last.s.size} spikes differ")
    assert np.array_equal(sent, last.s) and np.array_equal(membrane, last.v[-1, -1])


@pytest.mark.parametrize("name", NETWORKS)
def test_netx_equals_the_integer_interpreter(name: str, tmp_path: Path) -> None:
    assert_equal(NETWORKS[name]().graph(), tmp_path / "n.net", simulator_only=False)


@pytest.mark.parametrize("name", SIMULATOR_ONLY)
def test_wide_weights_in_the_simulator(name: str, tmp_path: Path) -> None:
    assert_equal(SIMULATOR_ONLY[name]().graph(), tmp_path / "n.net", simulator_only=True)


def test_a_float_network_through_the_pipeline(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    nodes: dict[str, Node] = {"n0": Input(shape=(50,))}
    for depth, (size, out) in enumerate(((50, 40), (40, 10))):
        ones = np.ones(out, np.float32)
        nodes[f"w{depth}"] = Linear(weight=rng.normal(0.05, 2 / np.sqrt(size), (out, size)).astype(np.float32))
        nodes[f"s{depth}"] = LIF(beta=np.float32(0.9) * ones, threshold=ones, reset="zero", reset_delay=False)
    nodes["y"] = Output(shape=(10,))
    names = list(nodes)
    edges = tuple(map(Edge, names, names[1:]))
    network = Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3)
    assert_equal(lower(network, integer_format()), tmp_path / "n.net", simulator_only=True)


@pytest.mark.parametrize("sign", ["mixed", "positive", "negative", "not positive"])
def test_every_dense_weight_that_is_written_survives(sign: str, tmp_path: Path) -> None:
    """By netx's and Lava's own functions, over the whole range of weights, powers of two and exponents included."""
    netx = load_netx()
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    rng = np.random.default_rng(0)
    low, high = {"mixed": (-1, 1), "positive": (0, 1), "negative": (-1, 0), "not positive": (-1, 0)}[sign]
    refused = 0
    for largest in range(1, 128):
        weight = rng.integers(low * largest, high * largest + 1, (3, 4))
        weight.flat[0] = low * largest or largest
        weight.flat[1] = high * largest
        weight = np.minimum(weight, -1) if sign == "negative" else weight
        for weight_exp in (0, 1):
            net = Net(0, (4,))
            net.nodes.append(IntegerLinear(weight_int8=weight, weight_exp=weight_exp))
            try:
                write_netx(net.lif(100).graph(), tmp_path / "n.net")
            except Exception as error:
                assert "no weight is positive" in str(error)
                refused += 1
                continue
            stored = netx.NetDict(str(tmp_path / "n.net"))["layer"][1]["weight"]
            kept, bits, exponent, _ = netx.optimize_weight_bits(stored)
            mode = determine_sign_mode(kept)
            inside = truncate_weights(clip_weights(kept, mode, num_bits=8), mode, bits)
            assert np.array_equal(inside, (weight << weight_exp) << -exponent), (largest, weight_exp)
    assert refused == (2 * 7 if low < 0 == high else 0)
