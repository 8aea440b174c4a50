from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.interpreters.integer_steps import send
from export.nodes import IntegerConv, IntegerLinear
from export.nodes.linear import Convolution
from lava_runtime.fused.maps import fused_map
from lava_runtime.fused.number import Numbers

ROWS = 5


def sums(node, x, numbers, way):
    """What a node sends, by its events or by a product of matrices."""
    by_sparsity = fused_map(node, "w", numbers)
    if way == "events":
        by_events, num_events = by_sparsity._by_events(np.ascontiguousarray(x))
        assert num_events == np.count_nonzero(x)
        return by_events
    return by_sparsity._dense(x).astype(numbers.word) << node.weight_exp


def assert_both_ways(node, seed, word=np.int32, rates=(0.0, 0.1, 0.6, 1.0)):
    """Events and products give what the interpreter gives, for spikes and for graded values."""
    rng = np.random.default_rng(seed)
    (shape,) = node.ports.values()
    size, numbers = int(np.prod(shape)), Numbers(word=word, bounds={"w": 1 << 23})
    for rate in rates:
        spikes = (rng.random((ROWS, size)) < rate).astype(np.uint8)
        for x in (spikes, (spikes * rng.integers(-9, 10, spikes.shape)).astype(word)):
            expected = send(node, {"input": x.astype(np.int64).reshape(ROWS, *shape)}).reshape(ROWS, -1)
            for way in ("events", "matrix"):
                actual = sums(node, x, numbers, way)
                assert actual.dtype == word and np.array_equal(actual, expected), (way, rate, x.dtype)
            assert np.array_equal(fused_map(node, "w", numbers)(x), expected)
            assert rate < 1 or expected.any()


@pytest.mark.parametrize("word", [np.int32, np.int64])
@pytest.mark.parametrize(("num_in", "num_out"), [(1, 1), (3, 70), (70, 3), (300, 33)])
def test_a_matrix_by_events_and_as_a_product(num_in, num_out, word):
    weight = np.random.default_rng(num_in).integers(-127, 128, (num_out, num_in)).astype(np.int8)
    assert_both_ways(IntegerLinear(weight_int8=weight, weight_exp=3), 1, word)
    assert_both_ways(IntegerLinear(weight_int8=weight, weight_exp=0, positions=(4,)), 2, word)


@pytest.mark.parametrize("sign", [1, -1])
def test_int16_sums_do_not_wrap(sign):
    """1000 spikes of the largest weight: 255 of them fit 16 bits, 259 do not."""
    weight = np.full((40, 1000), sign * 127, np.int8)
    assert_both_ways(IntegerLinear(weight_int8=weight, weight_exp=0), 3, rates=(1.0,))


def test_weights_beyond_int8_are_added_as_they_are():
    weight = np.random.default_rng(4).integers(-(2**14), 2**14, (20, 50))
    assert_both_ways(IntegerLinear(weight_int8=weight, weight_exp=1), 4, np.int64)


def test_kernels_beyond_int8_are_spread_as_they_are():
    weight = np.random.default_rng(5).integers(-(2**14), 2**14, (4, 2, 3, 3))
    geometry = Convolution(input_shape=(2, 7, 8), stride=(2, 1), padding=(1, 1), dilation=(1, 1))
    assert_both_ways(IntegerConv(weight_int8=weight, weight_exp=1, geometry=geometry), 5, np.int64)


@st.composite
def convolutions(draw):
    """Convolutions in one and two dimensions, rectangular, grouped, with everything that a geometry has."""
    num_axes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))

    def each(least, most):
        return tuple(draw(st.integers(least, most)) for _ in range(num_axes))

    kernel, stride, padding, dilation = each(1, 4), each(1, 3), each(0, 2), each(1, 3)
    spatial = tuple(
        max(length, dilated * (taps - 1) + 1)
        for length, taps, dilated in zip(each(3, 9), kernel, dilation, strict=True)
    )
    per_group, out_per_group = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    weight = np.random.default_rng(draw(st.integers(0, 999))).integers(
        -127, 128, (groups * out_per_group, per_group, *kernel)
    )
    geometry = Convolution(
        input_shape=(groups * per_group, *spatial), stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    return IntegerConv(weight_int8=weight.astype(np.int8), weight_exp=draw(st.integers(0, 3)), geometry=geometry)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(convolutions(), st.integers(0, 999))
def test_a_convolution_by_events_and_as_a_product(node, seed):
    assert_both_ways(node, seed, rates=(0.1, 1.0))


def test_what_no_float_holds_exactly_is_added_by_events():
    node = IntegerLinear(weight_int8=np.full((2, 3), 2**40), weight_exp=0)
    numbers = Numbers(word=np.int64, bounds={"w": 3 * 2**60})
    x = np.array([[1, 1, 1]], np.int64) * (2**13 + 1)
    assert numbers.exact_float("w") is None
    assert (fused_map(node, "w", numbers)(x) == 3 * 2**40 * (2**13 + 1)).all()


def test_float32_is_left_when_a_sum_could_be_rounded():
    numbers = Numbers(word=np.int32, bounds={"small": 2**24 - 1, "large": 2**24})
    assert (numbers.exact_float("small"), numbers.exact_float("large")) == (np.float32, np.float64)
    assert numbers.exact_float("large", exponent=1) is np.float32
    assert replace(numbers, bounds=None).exact_float("any") is np.float64
