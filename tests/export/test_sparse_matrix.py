"""Unrolled matrices against torch's own convolutions and NumPy's own indexing, on integers."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch

from export.nodes import (
    Conv,
    Convolution,
    Gather,
    Input,
    IntegerConv,
    IntegerLinear,
    IntegerScale,
    Linear,
    Pool,
    Reduce,
    Reshape,
    Scale,
)
from export.sparse_matrix import to_sparse

GEOMETRIES = [
    Convolution(input_shape=(4, 11), stride=(1,), padding=(0,), dilation=(1,)),
    Convolution(input_shape=(4, 11), stride=(2,), padding=(3,), dilation=(2,), groups=2),
    Convolution(input_shape=(4, 7, 9), stride=(1, 1), padding=(0, 0), dilation=(1, 1)),
    Convolution(input_shape=(4, 7, 9), stride=(2, 3), padding=(1, 2), dilation=(2, 1), groups=2),
    Convolution(input_shape=(4, 7, 9), stride=(1, 2), padding=(2, 0), dilation=(1, 3), groups=4),
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_convolution_is_torchs(geometry: Convolution) -> None:
    rng = np.random.default_rng(0)
    kernel = (3, 2)[: len(geometry.input_shape) - 1]
    weight = rng.integers(-2, 3, (8, 4 // geometry.groups, *kernel))
    x = rng.integers(-9, 10, geometry.input_shape)
    convolve = torch.nn.functional.conv1d if len(kernel) == 1 else torch.nn.functional.conv2d
    expected = convolve(
        torch.tensor(x)[None].double(),
        torch.tensor(weight).double(),
        None,
        geometry.stride,
        geometry.padding,
        geometry.dilation,
        geometry.groups,
    )[0].numpy()
    node = IntegerConv(weight_int8=weight, weight_exp=3, geometry=geometry)
    matrix = to_sparse(node)
    assert expected.any() and matrix.dtype == np.int64 and matrix.shape == (node.size, x.size)
    assert np.array_equal((matrix @ x.ravel()).reshape(node.shape), expected)
    assert (matrix.data != 0).all()
    floating = to_sparse(Conv(weight=weight.astype(np.float32), geometry=geometry))
    assert floating.dtype == np.float32 and (floating != matrix).nnz == 0


@pytest.mark.parametrize("kind", ["sum", "average"])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [((3, 8), (3,), (2,), (1,)), ((3, 6, 8), (2, 4), (2, 2), (1, 2)), ((2, 5, 5), (3, 3), (1, 1), (0, 0))],
)
def test_a_pool_is_torchs(shape: tuple, kernel: tuple, stride: tuple, padding: tuple, kind: str) -> None:
    x = np.random.default_rng(1).integers(0, 7, shape)
    average = torch.nn.functional.avg_pool1d if len(kernel) == 1 else torch.nn.functional.avg_pool2d
    expected = average(torch.tensor(x)[None].double(), kernel, stride, padding)[0].numpy() * prod(kernel)
    node = Pool(input_shape=shape, kernel=kernel, stride=stride, padding=padding, kind=kind)
    got = (to_sparse(node) @ x.ravel()).reshape(node.shape)
    factor = 1 if kind == "sum" else prod(kernel)
    assert np.array_equal(np.round(got * factor), np.round(expected))


def test_weights_of_one() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    index = np.array([[5, -1, 23], [0, 5, 7]])
    gathered = to_sparse(Gather(index=index, input_shape=x.shape)) @ x.ravel()
    assert gathered.tolist() == [5, 0, 23, 0, 5, 7]
    for axes in ((0,), (1,), (0, 2), (0, 1, 2)):
        node = Reduce(input_shape=x.shape, axes=axes)
        assert np.array_equal((to_sparse(node) @ x.ravel()).reshape(node.shape), x.sum(axes))
    assert np.array_equal(to_sparse(Reshape(input_shape=x.shape, shape=(24,))) @ x.ravel(), x.ravel())


def test_weights_over_positions() -> None:
    rng = np.random.default_rng(2)
    weight, x = rng.integers(-1, 2, (5, 3)), rng.integers(0, 9, (2, 4, 3))
    for node in (
        IntegerLinear(weight_int8=weight, weight_exp=1, positions=(2, 4)),
        Linear(weight=weight.astype(np.float32), positions=(2, 4)),
    ):
        matrix = to_sparse(node)
        assert np.array_equal((matrix @ x.ravel()).reshape(node.shape), x @ weight.T)
        assert matrix.nnz == 8 * np.count_nonzero(weight)
    assert to_sparse(Linear(weight=weight.astype(np.float32))).toarray().tolist() == weight.tolist()


def test_one_synapse_per_neuron() -> None:
    weight = np.array([[2, 0], [-3, 5]])
    assert np.array_equal(to_sparse(IntegerScale(weight_int8=weight, weight_exp=0)).toarray(), np.diag([2, 0, -3, 5]))
    scalar = to_sparse(Scale(weight=np.float32(0.5).reshape(()), shape=(2, 2)))
    assert np.array_equal(scalar.toarray(), np.eye(4) / 2) and scalar.dtype == np.float32


def test_only_linear_nodes_unroll() -> None:
    with pytest.raises(AssertionError, match="Input is not linear"):
        to_sparse(Input(shape=(3,)))
