from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from export.errors import NirFileError
from export.nir_format.folding import folded
from export.nir_format.forms import (
    dense_form,
    gather_of,
    is_own_shift,
    node_fields,
    pool_as_conv,
    shift_form,
    square_form,
)
from export.nodes import Conv, Convolution, Gather, Linear, Pool, Reduce
from export.sparse_matrix import to_sparse

EXAMPLES = 2000 if os.environ.get("AXONPORT_FULL") else 150


@st.composite
def convolutions(draw: st.DrawFn) -> Conv:
    axes = draw(st.integers(1, 2))
    per_axis = st.tuples(*[st.integers(1, 3)] * axes)
    kernel, stride, dilation = draw(st.tuples(*[st.integers(1, 4)] * axes)), draw(per_axis), draw(per_axis)
    padding = draw(st.tuples(*[st.integers(0, 3)] * axes))
    groups = draw(st.sampled_from([1, 2]))
    channels, num_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    shape = (channels, *draw(st.tuples(*[st.integers(3, 9)] * axes)))
    geometry = Convolution(input_shape=shape, stride=stride, padding=padding, dilation=dilation, groups=groups)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    weight = rng.integers(1, 9, (num_out, channels // groups, *kernel)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.2] = 0
    bias = rng.normal(size=num_out).astype(np.float32) if draw(st.booleans()) else None
    node = Conv(weight=weight, bias=bias, geometry=geometry)
    assume(min(node.shape) > 0)
    return node


def equal(left: object, right: object) -> bool:
    difference = to_sparse(left) != to_sparse(right)
    return difference.nnz == 0 if hasattr(difference, "nnz") else not difference


@settings(max_examples=EXAMPLES, deadline=None)
@given(node=convolutions())
def test_square_kernels_compute_the_same(node: Conv) -> None:
    embedding, square = square_form(node)
    assert len(set(square.weight.shape[2:])) == 1 and square.geometry.groups == 1 and square.shape == node.shape
    together = to_sparse(square) if embedding is None else to_sparse(square) @ to_sparse(embedding)
    assert (together != to_sparse(node)).nnz == 0


@settings(max_examples=EXAMPLES, deadline=None)
@given(node=convolutions())
def test_convolutions_are_folded_back(node: Conv) -> None:
    _, square = square_form(node)
    again, _ = folded(square, node_fields(node), "conv")
    assert isinstance(again, Conv) and np.array_equal(again.weight, node.weight)
    assert vars(again.geometry) == vars(node.geometry)
    weight, bias = dense_form(node, "conv")
    again, _ = folded(Linear(weight=weight, bias=bias), node_fields(node), "conv")
    assert isinstance(again, Conv) and equal(again, node)
    assert (again.bias is None) == (node.bias is None)
    assert node.bias is None or np.array_equal(again.bias, node.bias)  # type: ignore[arg-type]


def test_kernels_of_unlike_parity_need_one_more_row() -> None:
    geometry = Convolution(input_shape=(2, 6, 6), stride=(1, 1), padding=(0, 1), dilation=(1, 1))
    embedding, square = square_form(Conv(weight=np.ones((2, 2, 2, 3), np.float32), geometry=geometry))
    assert embedding is not None and embedding.shape == (2, 7, 8) and square.shape == (2, 5, 6)


@st.composite
def moves(draw: st.DrawFn) -> Gather:
    """What networks do to images: pad with zeros or circularly, slice, permute channels, concatenate, subsample."""
    shape = (draw(st.integers(1, 3)), *draw(st.tuples(*[st.integers(2, 6)] * draw(st.integers(1, 2)))))
    index = np.arange(np.prod(shape)).reshape(shape)
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(["zeros", "wrap", "slice", "channels", "concatenate", "subsample"]))
        axis = draw(st.integers(1, len(shape) - 1))
        if kind == "zeros":
            index = np.pad(index, [(0, 0)] + [(1, 1)] * (len(shape) - 1), constant_values=-1)
        elif kind == "wrap" and (index >= 0).all():
            index = np.pad(index, [(0, 0)] + [(1, 1)] * (len(shape) - 1), mode="wrap")
        elif kind == "slice":
            index = np.take(index, range(0, index.shape[axis], 1)[: max(1, index.shape[axis] - 1)], axis)
        elif kind == "channels":
            index = index[::-1]
        elif kind == "concatenate":
            index = np.concatenate([np.full_like(index, -1), index])
        elif kind == "subsample":
            index = index[(slice(None), *[slice(None, None, 2)] * (len(shape) - 1))]
    return Gather(index=np.ascontiguousarray(index).astype(np.int64), input_shape=shape)


@settings(max_examples=EXAMPLES, deadline=None)
@given(node=moves())
def test_shifts_move_the_same_pixels(node: Gather) -> None:
    parts = shift_form(node)
    if parts is None:
        return
    assert all(part.shape == node.shape for part in parts)
    assert (sum(to_sparse(part) for part in parts) != to_sparse(node)).nnz == 0
    restored = np.full(node.shape, -1)
    for part in parts:
        again = folded(part, node_fields(node), "gather")[0] if is_own_shift(part) else gather_of(part)
        assert isinstance(again, Gather)
        restored = np.maximum(restored, again.index)
    assert np.array_equal(restored, node.index)


@pytest.mark.parametrize("mode", ["wrap", "constant"])
def test_padding_is_a_sum_of_shifts(mode: str) -> None:
    index = np.arange(3 * 5 * 4).reshape(3, 5, 4)
    extra = {"constant_values": -1} if mode == "constant" else {}
    padded = np.pad(index, ((0, 0), (1, 1), (1, 1)), mode=mode, **extra)  # type: ignore[call-overload]
    parts = shift_form(Gather(index=padded, input_shape=(3, 5, 4)))
    assert parts is not None and len(parts) == (9 if mode == "wrap" else 1)


def test_a_mirrored_image_is_no_sum_of_shifts() -> None:
    index = np.ascontiguousarray(np.arange(24).reshape(2, 12)[:, ::-1])
    assert shift_form(Gather(index=index, input_shape=(2, 12))) is None


def test_gather_of_a_one_hot_convolution() -> None:
    weight = np.zeros((1, 2, 3), np.float32)
    weight[0, 1, 2] = 1
    geometry = Convolution(input_shape=(2, 4), stride=(1,), padding=(1,), dilation=(1,))
    assert gather_of(Conv(weight=weight, geometry=geometry)).index.tolist() == [[5, 6, 7, -1]]


@pytest.mark.parametrize(
    "node",
    [
        Reduce(input_shape=(3, 4, 2), axes=(0, 2)),
        Gather(index=np.array([[3, -1], [0, 0]]), input_shape=(4,)),
        Linear(weight=np.arange(6, dtype=np.float32).reshape(2, 3), bias=np.ones(2, np.float32), positions=(4,)),
        Pool(input_shape=(2, 5, 5), kernel=(2, 3), stride=(2, 1), padding=(1, 0), kind="average"),
    ],
)
def test_matrices_are_folded_back(node: Linear | Gather | Reduce | Pool) -> None:
    weight, bias = dense_form(node, "node")
    again, _ = folded(Linear(weight=weight, bias=bias), node_fields(node), "node")
    assert type(again) is type(node) and equal(again, node) and again.shape == node.shape
    weight = weight.copy()
    weight[0, -1] += 1
    with pytest.raises(NirFileError, match="its notes contradict its arrays"):
        folded(Linear(weight=weight, bias=bias), node_fields(node), "node")


def test_pools_of_one_axis_are_convolutions() -> None:
    node = Pool(input_shape=(3, 9), kernel=(3,), stride=(2,), padding=(1,), kind="average")
    assert abs(to_sparse(pool_as_conv(node)) - to_sparse(node)).max() < 1e-7
