from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from export.errors import ExportError
from export.nodes import (
    Conv,
    Gather,
    Input,
    Linear,
    Node,
    Norm,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    Scale,
    Threshold,
)
from export.passes import compose_linear as module
from export.passes.compose_linear import compose_linear
from export.verify import verify

from .graphs import FMT, conv, full, graph_of, lif, linear


def chain(first: Node, *then: Node, source: Node | None = None) -> dict[str, Node]:
    """Compose a chain of maps before one neuron, and return what is left of it."""
    names = ["x", "first", *(f"then{place}" for place in range(len(then))), "lif", "out"]
    last = (first, *then)[-1]
    nodes = [source or Input(shape=first.ports["input"]), first, *then, lif(last.shape), Output(shape=last.shape)]
    graph = graph_of(dict(zip(names, nodes, strict=True)), list(pairwise(names)))
    verify(graph, "float")
    composed = compose_linear(graph, FMT)
    verify(composed, "float")
    return {name: node for name, node in composed.nodes.items() if name not in ("x", "lif", "out")}


def test_linear_after_linear_by_hand() -> None:
    (left,) = chain(linear([[1, 2], [0, 1]], [1, 0]), linear([[1, -1]], [0.5])).values()
    # [1, -1] · [[1, 2], [0, 1]] = [1, 1]; [1, -1] · [1, 0] + 0.5 = 1.5
    assert isinstance(left, Linear) and left.weight.tolist() == [[1, 1]] and left.bias is not None
    assert left.bias.tolist() == [1.5]


def test_linear_over_positions_keeps_its_shared_weights() -> None:
    (left,) = chain(linear(np.eye(3), positions=(5,)), linear(np.ones((2, 3)), positions=(5,))).values()
    assert isinstance(left, Linear) and left.positions == (5,) and left.weight.tolist() == [[1] * 3] * 2


def test_a_normalisation_joins_the_convolution_before_it() -> None:
    norm = Norm(
        mean=np.float32([1, 2]), variance=np.float32([4, 0.25]), weight=None, bias=np.float32([0.5, 0]), epsilon=0.0,
        shape=(2, 4),
    )  # fmt: skip
    (left,) = chain(conv(np.ones((2, 1, 2)), (1, 5), [3, 4]), norm).values()
    # (c + 3 − 1)/2 + 0.5 = c/2 + 1.5 and (c + 4 − 2)·2 = 2c + 4
    assert isinstance(left, Conv) and left.weight[:, 0].tolist() == [[0.5, 0.5], [2, 2]]
    assert left.bias is not None and left.bias.tolist() == [1.5, 4]


def test_a_normalisation_of_spikes_becomes_a_convolution_of_one_tap() -> None:
    norm = Norm(
        mean=np.float32([1, 2]), variance=np.float32([4, 0.25]), weight=None, bias=None, epsilon=0.0, shape=(2,)
    )
    left = chain(norm)
    (convolution,) = [node for node in left.values() if isinstance(node, Conv)]
    assert convolution.weight.ravel().tolist() == [0.5, 2] and convolution.bias.tolist() == [-0.5, -4]
    assert all(isinstance(node, Conv | Reshape) for node in left.values())


@pytest.mark.parametrize(("stride", "dilation", "pool_stride"), [(1, 1, 2), (2, 1, 1), (2, 2, 2), (1, 2, 3), (3, 2, 1)])
def test_pooled_currents_are_a_longer_kernel(stride: int, dilation: int, pool_stride: int) -> None:
    rng = np.random.default_rng(0)
    first = conv(rng.integers(-4, 5, (2, 3, 2, 3)), (3, 14, 15), [1, 2], stride=(stride,) * 2, dilation=(dilation,) * 2)
    pool = Pool(input_shape=first.shape, kernel=(2, 2), stride=(pool_stride,) * 2, padding=(0, 0), kind="average")
    (left,) = chain(first, pool).values()
    assert isinstance(left, Conv) and left.shape == pool.shape
    x = torch.tensor(rng.integers(0, 2, (4, 3, 14, 15)), dtype=torch.float32)
    weight, bias = torch.tensor(first.weight), torch.tensor(first.bias)
    expected = F.avg_pool2d(F.conv2d(x, weight, bias, stride=stride, dilation=dilation), 2, pool_stride)
    geometry = left.geometry
    given = F.conv2d(
        x, torch.tensor(left.weight), torch.tensor(left.bias), stride=geometry.stride, dilation=geometry.dilation
    )
    assert torch.equal(given, expected) and expected.std() > 0


def test_a_slice_of_a_projection_keeps_those_rows() -> None:
    weight = np.arange(12).reshape(4, 3)
    piece = Gather(index=np.array([3, -1, 0]), input_shape=(4,))
    (left,) = chain(linear(weight, [1, 2, 3, 4]), piece).values()
    assert isinstance(left, Linear) and left.weight.tolist() == [[9, 10, 11], [0, 0, 0], [0, 1, 2]]
    assert left.bias is not None and left.bias.tolist() == [4, 0, 1]


def test_reshaped_currents_stay_reshaped() -> None:
    left = chain(linear(np.ones((4, 3))), Reshape(input_shape=(4,), shape=(2, 2)))
    assert [type(node) for node in left.values()] == [Linear, Reshape]


def test_scales_by_neuron_on_either_side() -> None:
    weights = Scale(weight=np.float32([2, 3]), shape=(2,))
    (after,) = chain(linear([[1, 1], [1, 1]], [1, 1]), weights).values()
    assert after.weight.tolist() == [[2, 2], [3, 3]] and after.bias.tolist() == [2, 3]
    (before,) = chain(weights, linear([[1, 1], [1, 1]], [1, 1])).values()
    assert before.weight.tolist() == [[2, 3], [2, 3]] and before.bias.tolist() == [1, 1]
    (both,) = chain(weights, weights).values()
    assert both.weight.tolist() == [4, 9]
    per_channel = Scale(weight=np.float32([[1], [2], [3], [4]]), shape=(4, 5))
    grouped = conv(np.ones((2, 2, 2)), (4, 5), groups=2)
    (kernel,) = chain(per_channel, grouped).values()
    assert kernel.weight[:, :, 0].tolist() == [[1, 2], [3, 4]]


def test_a_scalar_passes_reshaped_weights() -> None:
    half = Scale(weight=np.array(0.5, dtype=np.float32), shape=(2, 2))
    left = chain(linear(np.ones((4, 3)), np.ones(4)), Reshape(input_shape=(4,), shape=(2, 2)), half)
    (weights,) = [node for node in left.values() if isinstance(node, Linear)]
    assert (weights.weight == 0.5).all() and (weights.bias == 0.5).all()


def test_a_sum_of_currents_and_spikes_is_split_and_its_bias_counts_once() -> None:
    """y = B (A x + x) + b is B A x + B x + b."""
    graph = graph_of(
        {
            "x": Input(shape=(2,)),
            "a": linear([[0, 1], [1, 0]], [1, 1]),
            "b": linear([[1, 2]], [0.25]),
            "lif": lif((1,)),
            "out": Output(shape=(1,)),
        },
        [("x", "a"), ("x", "b"), ("a", "b"), ("b", "lif"), ("lif", "out")],
    )
    composed = compose_linear(graph, FMT)
    verify(composed, "float")
    direct, behind = (composed.nodes[name] for name in composed.sources("lif"))
    assert direct.weight.tolist() == [[1, 2]] and direct.bias.tolist() == [0.25]
    assert behind.weight.tolist() == [[2, 1]] and behind.bias.tolist() == [3]
    assert "a" not in composed.nodes


def test_delays_add_up_and_a_late_bias_is_refused() -> None:
    def graph(bias: list[float] | None) -> object:
        return graph_of(
            {
                "x": Input(shape=(1,)),
                "a": linear([[2]], bias),
                "b": linear([[3]]),
                "lif": lif((1,)),
                "out": Output(shape=(1,)),
            },
            [("x", "a", "input", 2), ("a", "b", "input", 1), ("b", "lif"), ("lif", "out")],
        )

    composed = compose_linear(graph(None), FMT)  # type: ignore[arg-type]
    (edge,) = composed.incoming(composed.sources("lif")[0])
    assert (edge.source, edge.delay) == ("x", 3)
    with pytest.raises(ExportError, match="node a: its bias arrives 1 steps late at b"):
        compose_linear(graph([1.0]), FMT)  # type: ignore[arg-type]


def test_a_pair_that_only_a_large_matrix_could_join_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first = conv(np.ones((1, 1, 3, 3)), (1, 8, 8))
    then = conv(np.ones((1, 1, 3, 3)), (1, 6, 6))
    left = chain(first, then)
    (matrix,) = [node for node in left.values() if isinstance(node, Linear)]
    assert matrix.weight.shape == (16, 64) and matrix.weight.sum(axis=1).tolist() == [81] * 16
    monkeypatch.setattr(module, "MAX_DENSE_WEIGHTS", 1000)
    with pytest.raises(ExportError, match="node then0: Conv follows Conv first without a neuron .* need 2304 weights"):
        chain(first, then)


def test_products_of_currents_are_refused() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(2,)),
            "a": linear(np.eye(2)),
            "p": Product(shape=(2,)),
            "s": Threshold(threshold=full((2,), 0.5)),
            "out": Output(shape=(2,)),
        },
        [("x", "a"), ("a", "p", "a"), ("x", "p", "b"), ("p", "s"), ("s", "out")],
    )
    with pytest.raises(ExportError, match="node p: takes the weighted sums of a, allowed in integers are spikes"):
        compose_linear(graph, FMT)


def test_a_loop_without_a_neuron_is_refused() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(2,)),
            "sum": Reduce(input_shape=(2, 1), axes=(1,)),
            "shape": Reshape(input_shape=(2,), shape=(2, 1)),
            "s": Threshold(threshold=full((2,), 0.5)),
            "out": Output(shape=(2,)),
        },
        [("x", "shape"), ("shape", "sum"), ("sum", "shape", "input", 1), ("sum", "s"), ("s", "out")],
    )
    with pytest.raises(ExportError, match="lies in a loop without a spiking neuron"):
        compose_linear(graph, FMT)
