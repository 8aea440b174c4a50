from __future__ import annotations

import numpy as np
import pytest

from export.errors import ExportError
from export.nodes import Gather, Input, MatMul, Output, Pool, Product, Reshape, Scale, Threshold
from export.passes.fold_scales import fold_scales
from export.verify import verify

from .graphs import FMT, full, graph_of, lif, linear


def scale(factor: float, *shape: int) -> Scale:
    return Scale(weight=np.array(factor, dtype=np.float32), shape=shape)


def test_an_average_becomes_a_sum_and_its_area_a_weight() -> None:
    pool = Pool(input_shape=(1, 4, 4), kernel=(2, 2), stride=(2, 2), padding=(0, 0), kind="average")
    graph = graph_of(
        {
            "x": Input(shape=(1, 4, 4)),
            "pool": pool,
            "flat": Reshape(input_shape=(1, 2, 2), shape=(4,)),
            "fc": linear(np.ones((3, 4)), [1, 2, 3]),
            "lif": lif((3,)),
            "out": Output(shape=(3,)),
        },
        [("x", "pool"), ("pool", "flat"), ("flat", "fc"), ("fc", "lif"), ("lif", "out")],
    )
    folded = fold_scales(graph, FMT)
    verify(folded, "float")
    assert list(folded.nodes) == list(graph.nodes)
    assert folded.nodes["pool"].kind == "sum"
    assert (folded.nodes["fc"].weight == 0.25).all() and folded.nodes["fc"].bias.tolist() == [1, 2, 3]


def test_factors_that_differ_split_the_synapse_and_the_bias_counts_once() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(2,)),
            "half": scale(0.5, 2),
            "fc": linear([[1, 3]], [1]),
            "lif": lif((1,)),
            "out": Output(shape=(1,)),
        },
        [("x", "fc"), ("x", "half", "input", 2), ("half", "fc", "input", 1), ("fc", "lif"), ("lif", "out")],
    )
    folded = fold_scales(graph, FMT)
    verify(folded, "float")
    whole, half = (folded.nodes[name] for name in folded.sources("lif"))
    assert whole.weight.tolist() == [[1, 3]] and whole.bias.tolist() == [1]
    assert half.weight.tolist() == [[0.5, 1.5]] and half.bias is None
    assert [folded.incoming(name)[0].delay for name in folded.sources("lif")] == [0, 3]


def test_factors_multiply_in_products() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(2, 2)),
            "quarter": scale(0.25, 2, 2),
            "a": scale(0.5, 2, 2),
            "qk": MatMul(shape_a=(2, 2), shape_b=(2, 2)),
            "gate": Product(shape=(2, 2)),
            "s": Threshold(threshold=full((2, 2), 0.5)),
            "out": Output(shape=(2, 2)),
        },
        [
            ("x", "a"), ("x", "quarter"), ("a", "qk", "a"), ("quarter", "qk", "b"), ("x", "qk", "b"),
            ("qk", "gate", "a"), ("x", "gate", "b"), ("gate", "s"), ("s", "out"),
        ],
    )  # fmt: skip
    folded = fold_scales(graph, FMT)
    verify(folded, "float")
    synapses = [folded.nodes[name] for name in folded.sources("s")]
    assert sorted(float(node.weight.flat[0]) for node in synapses) == [0.125, 0.5]
    assert len(folded.of_type(MatMul)) == len(folded.of_type(Product)) == 2


def test_bare_spikes_get_one_synapse_per_neuron_named_after_their_scale() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(3,)),
            "gain": scale(2, 3),
            "lif": lif((3,)),
            "next": lif((3,)),
            "out": Output(shape=(3,)),
        },
        [("x", "gain"), ("gain", "lif"), ("lif", "next"), ("lif", "next", "recurrent", 1), ("next", "out")],
    )
    folded = fold_scales(graph, FMT)
    verify(folded, "float")
    assert folded.sources("lif") == ("gain",) and folded.nodes["gain"].weight.tolist() == [2, 2, 2]
    for port, delay in (("input", 0), ("recurrent", 1)):
        (name,) = folded.sources("next", port)
        assert folded.nodes[name].weight.tolist() == [1, 1, 1] and folded.incoming(name)[0].delay == delay


def test_a_synapse_of_two_neuron_layers_is_copied_with_what_reshapes_it() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(2,)),
            "fc": linear(np.ones((4, 2)), [1, 2, 3, 4]),
            "square": Reshape(input_shape=(4,), shape=(2, 2)),
            "flat": lif((4,)),
            "one": lif((2, 2)),
            "two": lif((2, 2), threshold=2),
            "out": Output(shape=(4,)),
        },
        [("x", "fc"), ("fc", "flat"), ("fc", "square"), ("square", "one"), ("square", "two"), ("flat", "out")],
    )
    folded = fold_scales(graph, FMT)
    verify(folded, "float")
    roots = set()
    for name in ("flat", "one", "two"):
        (source,) = folded.sources(name)
        root = source if name == "flat" else folded.sources(source)[0]
        assert folded.nodes[root].weight is graph.nodes["fc"].weight and len(folded.outgoing(root)) == 1
        roots.add(root)
    assert len(roots) == 3 and "fc" in roots


def test_a_gather_of_different_factors_is_copied() -> None:
    gather = Gather(index=np.array([1, -1]), input_shape=(2,))
    graph = graph_of(
        {
            "x": Input(shape=(2,)),
            "half": scale(0.5, 2),
            "swap": gather,
            "s": Threshold(threshold=full((2,), 0.5)),
            "out": Output(shape=(2,)),
        },
        [("x", "half"), ("x", "swap"), ("half", "swap"), ("swap", "s"), ("s", "out")],
    )
    folded = fold_scales(graph, FMT)
    verify(folded, "float")
    assert len(folded.of_type(Gather)) == 2
    assert sorted(float(folded.nodes[name].weight[0]) for name in folded.sources("s")) == [0.5, 1]


def test_scaled_outputs_are_refused() -> None:
    graph = graph_of(
        {"x": Input(shape=(1,)), "lif": lif((1,)), "half": scale(0.5, 1), "out": Output(shape=(1,))},
        [("x", "lif"), ("lif", "half"), ("half", "out")],
    )
    with pytest.raises(ExportError, match="node out: receives scaled values at port 'input', allowed are spikes"):
        fold_scales(graph, FMT)


def test_currents_are_no_output() -> None:
    graph = graph_of(
        {"x": Input(shape=(1,)), "lif": lif((1,)), "fc": linear([[2]]), "out": Output(shape=(1,))},
        [("x", "lif"), ("lif", "fc"), ("fc", "out")],
    )
    with pytest.raises(ExportError, match="node out: takes the weighted sums of fc, allowed in integers are spikes"):
        fold_scales(graph, FMT)
