"""What `write_netx` puts into its files, and what it refuses; `tests/crosscheck/test_netx.py` runs them in netx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from export.errors import ExportError
from export.graph import Edge, Graph
from export.netx_file import write_netx
from export.nodes import (
    Convolution,
    Gather,
    Input,
    IntegerConv,
    IntegerCubaLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerThreshold,
    Node,
    Output,
    Pool,
    Reshape,
)
from hardware_profiles.profile import integer_format


def chain(*nodes: Node) -> Graph:
    """Name nodes n0, n1, … and connect each with the next."""
    named = {f"n{index}": node for index, node in enumerate(nodes)}
    names = list(named)
    edges = tuple(map(Edge, names, names[1:]))
    return Graph(nodes=named, edges=edges, dialect="integer", dt_s=1e-3, fmt=integer_format())


def lif(shape: tuple[int, ...], **changed: Any) -> IntegerLIF:
    arrays = {"dv": 400, "vth": 300, "bias_mant": 0} | {
        k: v for k, v in changed.items() if k in ("dv", "vth", "bias_mant")
    }
    full = {name: np.broadcast_to(np.int64(value), shape).copy() for name, value in arrays.items()}
    rest = {"bias_exp": 6, "reset": "zero", "reset_delay": False} | {
        k: v for k, v in changed.items() if k not in arrays
    }
    return IntegerLIF(**full, **rest)


def cuba(shape: tuple[int, ...], bias: int = 0) -> IntegerCubaLIF:
    du, dv, vth, bias_mant = (np.full(shape, value) for value in (1500, 400, 300, bias))
    return IntegerCubaLIF(du=du, dv=dv, vth=vth, bias_mant=bias_mant, bias_exp=6, reset="clear", reset_delay=False)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-60, 100, shape)


def linear(out: int, size: int, weight_exp: int = 0) -> IntegerLinear:
    return IntegerLinear(weight_int8=weights(out, size), weight_exp=weight_exp)


def dense(neuron: Node, **changed: Any) -> Graph:
    """A network of one dense layer, 6 to 4."""
    nodes = {
        "source": Input(shape=(6,)),
        "synapse": linear(4, 6),
        "neuron": neuron,
        "sink": Output(shape=(4,)),
    } | changed
    return chain(*nodes.values())


def convolution(**changed: Any) -> IntegerConv:
    geometry = {"input_shape": (2, 7, 6), "stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)} | changed
    return IntegerConv(weight_int8=weights(3, 2, 2, 3), weight_exp=0, geometry=Convolution(**geometry))


def conv_flatten_dense() -> Graph:
    conv = convolution()
    bias = np.arange(conv.size).reshape(conv.shape)
    flat = Reshape(input_shape=conv.shape, shape=(conv.size,))
    neurons = lif(conv.shape, bias_mant=bias), lif((4,))
    return chain(Input(shape=(2, 7, 6)), conv, neurons[0], flat, linear(4, conv.size), neurons[1], Output(shape=(4,)))


def read(path: Path) -> list[dict[str, Any]]:
    """Layers in order; groups as nested dictionaries, text decoded."""

    def load(item: Any) -> Any:
        if isinstance(item, h5py.Group):
            return {key: load(entry) for key, entry in item.items()}
        return item[0].decode() if item.dtype.kind == "S" else item[()]

    with h5py.File(path, "r") as file:
        assert set(file) == {"layer"}
        return [load(file["layer"][str(index)]) for index in range(len(file["layer"]))]


def test_dense_layers_with_one_set_of_parameters(tmp_path: Path) -> None:
    bias = np.array([5, -7, 0, 2])
    first = linear(4, 6, weight_exp=1), lif((4,), bias_mant=bias, bias_exp=7)
    graph = chain(Input(shape=(6,)), *first, linear(3, 4), cuba((3,)), Output(shape=(3,)))
    write_netx(graph, tmp_path / "n.net")
    source, one, two = read(tmp_path / "n.net")
    assert [layer["type"] for layer in (source, one, two)] == ["input", "dense", "dense"]
    assert source["shape"].tolist() == [6] and one["shape"].tolist() == [4] and "neuron" not in source
    assert np.array_equal(one["weight"], first[0].weight_int8 * 2) and np.array_equal(two["weight"], weights(3, 4))
    assert one["bias"].tolist() == [10, -14, 0, 4] and "bias" not in two
    common = {"type": "LOIHI", "vDecay": 400, "vThMant": 300, "refDelay": 1, "gradedSpike": 0}
    assert one["neuron"] == {**common, "iDecay": 4096} and two["neuron"] == {**common, "iDecay": 1501}


def test_convolution_and_flatten(tmp_path: Path) -> None:
    graph = conv_flatten_dense()
    conv, neuron = graph.nodes["n1"], graph.nodes["n2"]
    write_netx(graph, tmp_path / "n.net")
    source, one, flatten, two = read(tmp_path / "n.net")
    assert [layer["type"] for layer in (source, one, flatten, two)] == ["input", "conv", "flatten", "dense"]
    assert source["shape"].tolist() == [2, 7, 6] and one["shape"].tolist() == list(conv.shape)
    assert np.array_equal(one["weight"], conv.weight_int8) and one["groups"] == 1
    assert [one[key].tolist() for key in ("stride", "padding", "dilation")] == [[1, 2], [1, 0], [2, 1]]
    assert np.array_equal(one["bias"].transpose(2, 1, 0), neuron.bias_mant)
    assert np.array_equal(two["weight"], graph.nodes["n4"].weight_int8)


def test_one_dimension_is_a_map_of_height_one(tmp_path: Path) -> None:
    geometry = Convolution(input_shape=(2, 9), stride=(2,), padding=(1,), dilation=(1,))
    conv = IntegerConv(weight_int8=weights(3, 2, 4), weight_exp=0, geometry=geometry)
    write_netx(chain(Input(shape=(2, 9)), conv, lif(conv.shape), Output(shape=conv.shape)), tmp_path / "n.net")
    source, one = read(tmp_path / "n.net")
    assert source["shape"].tolist() == [2, 1, 9] and one["shape"].tolist() == [3, 1, 4]
    assert one["weight"].shape == (3, 2, 1, 4) and np.array_equal(one["weight"][:, :, 0], conv.weight_int8)
    assert [one[key].tolist() for key in ("stride", "padding", "dilation")] == [[1, 2], [0, 1], [1, 1]]


def test_for_the_simulator_dense_layers_become_convolutions(tmp_path: Path) -> None:
    conv = convolution()
    flat = Reshape(input_shape=conv.shape, shape=(conv.size,))
    wide = linear(4, conv.size, weight_exp=5)
    layers = conv, lif(conv.shape), flat, wide, lif((4,), bias_mant=4000, bias_exp=7), linear(3, 4), lif((3,))
    graph = chain(Input(shape=(2, 7, 6)), *layers, Output(shape=(3,)))
    with pytest.raises(ExportError, match="node n4: weights reach 3168, netx's dense keeps at most 254"):
        write_netx(graph, tmp_path / "n.net")
    assert not list(tmp_path.iterdir())
    write_netx(graph, tmp_path / "n.net", simulator_only=True)
    _, _, two, three = read(tmp_path / "n.net")
    assert [two["type"], three["type"]] == ["conv", "conv"]
    assert two["shape"].tolist() == [4, 1, 1] and two["bias"].shape == (1, 1, 4) and set(two["bias"].flat) == {8000}
    assert np.array_equal(two["weight"], (wide.weight_int8 << 5).reshape(4, *conv.shape))
    assert np.array_equal(three["weight"], weights(3, 4)[:, :, None, None])


def without_positive(smallest: int) -> IntegerLinear:
    weight = np.full((4, 6), -3)
    weight[0, 0] = smallest
    return IntegerLinear(weight_int8=weight, weight_exp=0)


SHARED = IntegerLinear(weight_int8=weights(4, 6), weight_exp=0, positions=(5,))
REFUSED: dict[str, tuple[Graph, str]] = {
    "subtract": (dense(lif((4,), reset="subtract")), "node n2: resets by 'subtract'"),
    "late": (dense(lif((4,), reset_delay=True)), "node n2: resets by 'zero' later"),
    "inhibition": (dense(lif((4,), inhibition=True)), "node n2: resets by 'zero', inhibits"),
    "two thresholds": (dense(lif((4,), vth=np.array([300, 300, 310, 300]))), "node n2: vth spans 300..310"),
    "two decays": (dense(lif((4,), dv=np.array([0, 0, 0, 9]))), "node n2: dv spans 0..9"),
    "current bias": (dense(cuba((4,), bias=3)), "node n2: has a bias on its current"),
    "fine bias": (dense(lif((4,), bias_mant=3, bias_exp=4)), "node n2: biases are no multiples of 2^6"),
    "large bias": (dense(lif((4,), bias_mant=4000, bias_exp=7)), "node n2: biases reach 8000"),
    "memoryless": (
        dense(IntegerThreshold(vth=np.full(4, 9), bias_mant=np.zeros(4, np.int64), bias_exp=0)),
        "node n2: is IntegerThreshold, allowed in netx here is IntegerLIF or IntegerCubaLIF",
    ),
    "graded": (
        dense(lif((4,)), source=Input(shape=(6,), kind="graded"), synapse=without_positive(-3)),
        "node n0: carries graded values",
    ),
    "zeros": (
        dense(lif((4,)), synapse=IntegerLinear(weight_int8=np.zeros((4, 6), np.int64), weight_exp=0)),
        "node n1: all weights are 0",
    ),
    "clipped": (
        dense(lif((4,)), synapse=without_positive(-64)),
        "node n1: no weight is positive and the smallest is -64",
    ),
    "shared": (
        chain(Input(shape=(5, 6)), SHARED, lif((5, 4)), Output(shape=(5, 4))),
        "node n1: is shared over positions (5,)",
    ),
    "no synapse": (
        chain(Input(shape=(4,)), lif((4,)), linear(4, 4), lif((4,)), Output(shape=(4,))),
        "node n1: is IntegerLIF, allowed in netx here is IntegerLinear or IntegerConv",
    ),
    "pool": (
        chain(
            Input(shape=(1, 4)),
            Pool(input_shape=(1, 4), kernel=(2,), stride=(2,), padding=(0,)),
            lif((1, 2)),
            Output(shape=(1, 2)),
        ),
        "node n1: is Pool",
    ),
    "gather": (
        chain(
            Input(shape=(6,)),
            linear(4, 6),
            lif((4,)),
            Gather(index=np.arange(4), input_shape=(4,)),
            Output(shape=(4,)),
        ),
        "node n3: ends the network",
    ),
    "unflatten": (
        chain(
            Input(shape=(84,)),
            Reshape(input_shape=(84,), shape=(2, 7, 6)),
            convolution(),
            lif(convolution().shape),
            Output(shape=convolution().shape),
        ),
        "node n1: makes (2, 7, 6), allowed in netx is to flatten",
    ),
    "coarse conv": (
        chain(
            Input(shape=(2, 7, 6)),
            replace(convolution(), weight_exp=1),
            lif(convolution().shape),
            Output(shape=convolution().shape),
        ),
        "node n1: weights reach 190, netx's conv has no exponent beyond 127",
    ),
    "large stride": (
        chain(
            Input(shape=(2, 7, 6)),
            convolution(stride=(128, 1)),
            lif(convolution(stride=(128, 1)).shape),
            Output(shape=convolution(stride=(128, 1)).shape),
        ),
        "node n1: a kernel length, stride, padding, dilation or group count is 128",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_netx_cannot_express(what: str, tmp_path: Path) -> None:
    graph, message = REFUSED[what]
    with pytest.raises(ExportError) as error:
        write_netx(graph, tmp_path / "n.net")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_only_chains(tmp_path: Path) -> None:
    graph = dense(lif((4,)))
    loop = replace(
        graph,
        nodes={**graph.nodes, "back": linear(4, 4)},
        edges=(*graph.edges, Edge("n2", "back", delay=1), Edge("back", "n2", "recurrent")),
    )
    branch = replace(graph, nodes={**graph.nodes, "also": Output(shape=(4,))}, edges=(*graph.edges, Edge("n2", "also")))
    twice = replace(
        graph,
        nodes={**graph.nodes, "w": linear(4, 6)},
        edges=(graph.edges[0], Edge("n0", "w"), *graph.edges[1:], Edge("w", "n2")),
    )
    for refused, message in (
        (loop, "edge n2 -> back: waits 1 steps"),
        (branch, "graph: has 2 Output nodes"),
        (twice, "node n0: sends to 2 nodes"),
        (replace(graph, timing="lava"), "timing 'lava'"),
        (replace(graph, fmt=replace(integer_format(), state_bits=23)), "state_bits is 23, Lava's LIF has 24"),
    ):
        with pytest.raises(ExportError, match=message):
            write_netx(refused, tmp_path / "n.net")
