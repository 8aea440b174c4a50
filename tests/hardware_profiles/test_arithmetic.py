"""The device's integers against exact fractions, sums worked out by hand, and stock Lava's own methods."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.arithmetic import (
    CONTEXT_MAX,
    CONTROLLER_ACCUMULATOR_BITS,
    CONTROLLER_UNITY,
    Int,
    IntegerFormat,
    ThresholdController,
    decay,
    integrate,
    quantize_context,
    saturate,
    shift,
)
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format
from lava_runtime.compat import load_lava

FMT = integer_format()
STATE_MAX = 2**23 - 1
states = st.one_of(st.integers(-STATE_MAX, STATE_MAX), st.sampled_from([-STATE_MAX, -4097, -1, 0, 1, STATE_MAX]))
decays = st.one_of(st.integers(0, 4096), st.sampled_from([0, 1, 2048, 4095, 4096]))
properties = settings(max_examples=500, deadline=None, derandomize=True, database=None)


def one(value: int) -> Int:
    return np.array([value], dtype=np.int64)


def test_widths_of_loihi() -> None:
    assert integer_format() == IntegerFormat(
        weight_bits=8,
        decay_bits=12,
        state_bits=24,
        threshold_bits=17,
        state_shift=6,
        bias_mantissa_bits=13,
        bias_exponent_bits=3,
    )
    assert (FMT.weight_max, FMT.decay_unity, FMT.state_max, FMT.threshold_max) == (127, 4096, 8388607, 131071)
    assert (FMT.bias_mantissa_max, FMT.bias_exponent_max) == (4095, 7)
    # 131071 · 64 = 8388544 fits 24 signed bits, 131072 · 64 = 2^23 does not
    assert FMT.sum_max == 131071


@properties
@given(states, decays)
def test_decay_is_the_exact_product_rounded_toward_zero(v: int, decay_u12: int) -> None:
    (leaked,) = decay(one(v), decay_u12, FMT).tolist()
    assert leaked == math.trunc(Fraction(v * (4096 - decay_u12), 4096))
    assert abs(leaked) <= abs(v) and leaked * v >= 0
    assert decay(one(-v), decay_u12, FMT).tolist() == [-leaked]


def test_decay_at_its_ends() -> None:
    v = np.array([-STATE_MAX, -3, 0, 3, STATE_MAX])
    assert decay(v, 0, FMT).tolist() == v.tolist()
    assert decay(v, 4096, FMT).tolist() == [0] * 5
    # 3 · 4095 / 4096 = 2.999 → 2: any leak takes at least one unit
    assert decay(v, 1, FMT).tolist() == [-8386559, -2, 0, 2, 8386559]  # 8388607 − 2048, rounded toward zero


def test_decay_takes_one_constant_per_neuron() -> None:
    v = np.array([[100, 100, 100], [-7, -7, -7]])
    assert decay(v, np.array([0, 2048, 4095]), FMT).tolist() == [[100, 50, 0], [-7, -3, 0]]


@properties
@given(st.integers(-(2**20), 2**20), st.integers(-12, 12))
def test_shift_floors(value: int, exponent: int) -> None:
    assert shift(one(value), exponent).tolist() == [math.floor(value * Fraction(2) ** exponent)]


@properties
@given(st.integers(-(2**40), 2**40))
def test_saturation_clips_once_and_symmetrically(v: int) -> None:
    clipped = saturate(one(v), FMT)
    assert clipped.tolist() == [max(-STATE_MAX, min(STATE_MAX, v))]
    assert np.array_equal(saturate(clipped, FMT), clipped)


def test_one_neuron_by_hand() -> None:
    """dv = 1024 keeps 3/4; vth = 3 stands for 3 · 64 = 192; bias 5."""
    expected = [
        # synaptic sum, membrane before the reset
        (2, 133),  # 0 + 2·64 + 5
        (0, 104),  # 133 · 3/4 = 99.75 → 99, + 5
        (1, 147),  # 104 · 3/4 = 78, + 64 + 5
        (-5, -205),  # 147 · 3/4 = 110.25 → 110, − 320 + 5
        (0, -148),  # −205 · 3/4 = −153.75 → −153 (toward zero), + 5
        (0, -106),  # −148 · 3/4 = −111, + 5
        (4, 182),  # −106 · 3/4 = −79.5 → −79, + 256 + 5
        (1, 205),  # 182 · 3/4 = 136.5 → 136, + 64 + 5 = 205 > 192: a spike
        (0, 5),  # after the hard reset only the bias
    ]
    v = 0
    for synaptic_sum, membrane in expected:
        v = int(integrate(one(v), one(synaptic_sum), 1024, 5, FMT)[0])
        assert v == membrane
        v = 0 if v > 192 else v


def test_integrate_does_not_saturate_by_itself() -> None:
    total = integrate(one(STATE_MAX), one(FMT.sum_max), 0, 4095 << 7, FMT)
    # 8388607 + 8388544 + 524160
    assert total.tolist() == [17301311] and saturate(total, FMT).tolist() == [STATE_MAX]


class StockLif:
    """Stock Lava's `PyLifModelBitAcc`: its own methods in the order of its `run_spk`, without a runtime."""

    def __init__(self, v: Int, dv: Int, vth: Int, bias_mant: Int, bias_exp: Int) -> None:
        pytest.importorskip("lava")
        load_lava()
        from lava.proc.lif.models import PyLifModelBitAcc

        self.model: Any = PyLifModelBitAcc(proc_params={})
        self.model.u, self.model.v = np.zeros_like(v, dtype=np.int32), v.astype(np.int32)
        self.model.du, self.model.dv, self.model.vth = 4095, dv, vth.astype(np.int32)
        self.model.bias_mant, self.model.bias_exp = bias_mant.astype(np.int16), bias_exp.astype(np.int16)

    def step(self, synaptic_sum: Int) -> tuple[Int, Int, Int]:
        """Return (membrane before the reset, spikes, membrane after it)."""
        self.model.scale_bias()
        self.model.scale_threshold()
        self.model.subthr_dynamics(synaptic_sum.astype(np.int32))
        before = self.model.v.copy()
        spikes = self.model.spiking_activation()
        self.model.reset_voltage(spikes)
        assert np.array_equal(self.model.u, synaptic_sum << 6), "u must not wrap, nothing would be compared"
        return before, spikes, self.model.v.copy()


def test_one_step_equals_stock_lava_over_the_whole_range() -> None:
    """Every decay constant with 512 membranes of both signs, the ends and their neighbours among them."""
    rng = np.random.default_rng(0)
    edges = np.array([0, 1, 2, 63, 64, 4095, 4096, 4097, 2**22, STATE_MAX - 1, STATE_MAX])
    column = np.concatenate([edges, -edges, rng.integers(-STATE_MAX, STATE_MAX + 1, 512 - 2 * len(edges))])
    v, dv = (grid.ravel() for grid in np.meshgrid(column, np.arange(4096)))
    vth = rng.integers(1, 131072, v.size)
    bias_mant, bias_exp = rng.integers(-4096, 4096, v.size), rng.integers(0, 8, v.size)
    scale = rng.choice([1, 300, 131071], v.size)
    synaptic_sum = np.clip(rng.integers(-131071, 131072, v.size), -scale, scale)

    ours = integrate(v, synaptic_sum, dv, bias_mant << bias_exp, FMT)
    clipped = saturate(ours, FMT)
    spikes = clipped > vth << 6
    stock = StockLif(v, dv, vth, bias_mant, bias_exp).step(synaptic_sum)
    assert np.array_equal(stock[0], clipped)
    assert np.array_equal(stock[1], spikes)
    assert np.array_equal(stock[2], clipped * ~spikes)
    assert (ours > STATE_MAX).any() and (ours < -STATE_MAX).any(), "both ends of the membrane were clipped"
    assert 0.05 < spikes.mean() < 0.5


def test_exactly_at_the_threshold_neither_fires() -> None:
    vth = np.array([1, 100, 131071])
    at, above = vth << 6, (vth << 6) + 1
    nothing = np.zeros(3, dtype=np.int64)
    for v, fires in ((at, False), (above, True)):
        stock = StockLif(v, nothing, vth, nothing, nothing).step(nothing)
        assert stock[1].tolist() == [fires] * 3
        assert (saturate(integrate(v, nothing, 0, 0, FMT), FMT) > vth << FMT.state_shift).tolist() == [fires] * 3


def test_a_long_run_equals_stock_lava() -> None:
    """Membranes as they come about, 200 steps of 4000 neurons of all decays."""
    rng = np.random.default_rng(1)
    dv, vth = rng.integers(0, 4096, 4000), rng.integers(1, 3000, 4000)
    bias_mant, bias_exp = rng.integers(-4095, 4096, 4000) // 64, rng.integers(0, 8, 4000)
    v = np.zeros(4000, dtype=np.int64)
    stock = StockLif(v, dv, vth, bias_mant, bias_exp)
    counts = np.zeros(4000, dtype=np.int64)
    for _ in range(200):
        synaptic_sum = rng.integers(-600, 650, 4000)
        v = saturate(integrate(v, synaptic_sum, dv, bias_mant << bias_exp, FMT), FMT)
        spikes = v > vth << 6
        before, stock_spikes, after = stock.step(synaptic_sum)
        assert np.array_equal(before, v) and np.array_equal(stock_spikes, spikes)
        v = v * ~spikes
        assert np.array_equal(after, v)
        counts += spikes
    assert (counts > 0).any() and (counts == 0).any()


def controller(**changes: Any) -> ThresholdController:
    values: dict[str, Any] = {
        "population": 12,
        "num_groups": 4,
        "weight_count": 0,
        "weight_deviation": 0,
        "weight_context": (),
        "bias": 0,
        "theta_0": 256,
        "amplitude": 128,
        "fraction_bits": 8,
    }
    return ThresholdController(**{**values, **changes})


def all_counts(population: int, num_groups: int) -> Int:
    """Every vector of group counts that a population can have."""
    full = population // num_groups
    return np.array(list(itertools.product(range(full + 1), repeat=num_groups)), dtype=np.int64)


SHAPES = [(1, 1), (4, 1), (4, 2), (6, 3), (8, 4), (12, 4), (5, 5), (12, 6), (7, 7), (8, 8)]


@pytest.mark.parametrize(("population", "num_groups"), SHAPES)
def test_deviation_bound_is_the_largest_of_all_populations(population: int, num_groups: int) -> None:
    largest = 0
    for counts in all_counts(population, num_groups).tolist():
        largest = max(largest, sum(abs(num_groups * count - sum(counts)) for count in counts))
    assert controller(population=population, num_groups=num_groups, weight_deviation=1).drive_bound() == largest
    assert controller(population=population, num_groups=num_groups, weight_deviation=-3).drive_bound() == 3 * largest


def test_half_of_the_groups_full_by_hand() -> None:
    # G = 4, two groups of 3 full: S = 6, D = 2·|4·3 − 6| + 2·|0 − 6| = 24
    half_full = np.array([[3, 3, 0, 0]])
    assert controller(weight_deviation=1).drive_bound() == 24
    # z = 24 · 2^12 >> 12 = 24, θ = 256 + (128 · 24 + 2048 >> 12) = 256 + (5120 >> 12) = 257
    assert controller(weight_deviation=1 << 12).threshold(half_full, np.zeros((1, 0), dtype=np.int64)).tolist() == [257]


weights = st.integers(-(2**26), 2**26)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(SHAPES), weights, weights, st.lists(weights, max_size=3), weights)
def test_no_input_drives_the_accumulator_beyond_its_bound(
    shape: tuple[int, int], count: int, deviation: int, context: list[int], bias: int
) -> None:
    """All populations and all corners of the context, in Python's integers, every partial sum included."""
    num_groups = shape[1]
    bounded = controller(
        population=shape[0],
        num_groups=num_groups,
        weight_count=count,
        weight_deviation=deviation,
        weight_context=tuple(context),
        bias=bias,
    )
    bound = bounded.drive_bound()
    corners = {sum(w * c for w, c in zip(context, signs, strict=True)) for signs in _corners(len(context))}
    for groups in all_counts(*shape).tolist():
        total = sum(groups)
        spread = sum(abs(num_groups * group - total) for group in groups)
        for addends in ((count * total, deviation * spread, bias, corner) for corner in (min(corners), max(corners))):
            assert all(abs(partial) <= bound for partial in itertools.accumulate(addends))


def _corners(num_context: int) -> list[tuple[int, ...]]:
    return list(itertools.product((-CONTEXT_MAX, CONTEXT_MAX), repeat=num_context))


def test_the_accumulator_is_proven_to_the_last_unit() -> None:
    limit = 1 << (CONTROLLER_ACCUMULATOR_BITS - 1)
    # D is at most 24 (see above)
    fits = controller(weight_deviation=-(2**26), bias=limit - 1 - 24 * 2**26)
    fits.check_range(FMT, "lif")
    over = controller(weight_deviation=-(2**26), bias=limit - 24 * 2**26)
    with pytest.raises(RangeError, match=f"node lif: threshold drive can reach {limit}, allowed is below {limit}"):
        over.check_range(FMT, "lif")


@pytest.mark.parametrize(
    ("theta_0", "amplitude", "spans"),
    [(128, 128, "0..256"), (100, -101, "-1..201"), (131071, 1, "131070..131072")],
)
def test_a_threshold_that_leaves_its_word(theta_0: int, amplitude: int, spans: str) -> None:
    with pytest.raises(RangeError, match=f"node lif: threshold mantissa spans {spans}, allowed is 1..131071"):
        controller(theta_0=theta_0, amplitude=amplitude).check_range(FMT, "lif")


@properties
@given(st.integers(1, 131071), st.integers(-65000, 65000))
def test_theta_is_rounded_half_up_and_stays_in_its_range(theta_0: int, amplitude: int) -> None:
    tested = controller(
        population=1, num_groups=1, weight_context=(CONTROLLER_UNITY,), theta_0=theta_0, amplitude=amplitude
    )
    drives = np.array([-(10**6), -4097, -4096, -4095, -2049, -2048, -1, 0, 1, 2047, 2048, 4095, 4096, 4097, 10**6])
    theta = tested.threshold(np.zeros((len(drives), 1), dtype=np.int64), drives[:, None]).tolist()
    for drive, value in zip(drives.tolist(), theta, strict=True):
        z = max(-4096, min(4096, drive))
        assert value == theta_0 + math.floor(Fraction(amplitude * z, 4096) + Fraction(1, 2))
    assert tested.theta_range == (min(theta), max(theta)) == (theta_0 - abs(amplitude), theta_0 + abs(amplitude))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(SHAPES), st.lists(weights, min_size=5, max_size=5), st.integers(-250, 250), st.integers(0, 2**32)
)
def test_threshold_in_plain_integers(shape: tuple[int, int], drawn: list[int], amplitude: int, seed: int) -> None:
    tested = controller(
        population=shape[0],
        num_groups=shape[1],
        weight_count=drawn[0],
        weight_deviation=drawn[1],
        weight_context=tuple(w >> 8 for w in drawn[2:4]),
        bias=drawn[4],
        amplitude=amplitude,
    )
    rng = np.random.default_rng(seed)
    spikes = rng.integers(0, 2, (3, 2, shape[0]))
    context = rng.integers(-CONTEXT_MAX, CONTEXT_MAX + 1, (3, 2, 2))
    counts = tested.group_counts(spikes)
    theta = tested.threshold(counts, context)
    assert theta.shape == (3, 2) and counts.shape == (3, 2, shape[1])
    full = shape[0] // shape[1]
    for t, b in itertools.product(range(3), range(2)):
        train, values = spikes[t, b].tolist(), context[t, b].tolist()
        groups = [sum(train[g * full : (g + 1) * full]) for g in range(shape[1])]
        assert counts[t, b].tolist() == groups
        drive = drawn[0] * sum(groups) + drawn[1] * sum(abs(shape[1] * g - sum(groups)) for g in groups) + drawn[4]
        drive += (drawn[2] >> 8) * values[0] + (drawn[3] >> 8) * values[1]
        z = max(-4096, min(4096, drive // 4096))
        assert theta[t, b] == 256 + (amplitude * z + 2048) // 4096


def test_counting_spikes_of_bytes_does_not_overflow() -> None:
    tested = controller(population=1000, num_groups=2)
    assert tested.group_counts(np.ones((1, 1000), dtype=np.uint8)).tolist() == [[500, 500]]


def test_context_rounds_ties_up_and_clips() -> None:
    steps = np.array([-2.5, -1.5, -0.5, -0.49, 0.0, 0.49, 0.5, 1.5, 2.5]) / 256
    assert quantize_context(steps).tolist() == [-2, -1, 0, 0, 0, 0, 1, 2, 3]
    ends = np.array([-1e30, -4.0, -1023.49 / 256, 1022.5 / 256, 1023 / 256, 4.0, 1e30])
    assert quantize_context(ends).tolist() == [-1023, -1023, -1023, 1023, 1023, 1023, 1023]
    assert quantize_context(steps).dtype == np.int16


def test_context_of_single_precision_is_widened_before_it_is_rounded() -> None:
    below_half = np.nextafter(np.float32(0.5), np.float32(0)) / 256
    assert np.float32(below_half * 256) + np.float32(0.5) == 1, "single precision would round it up"
    assert quantize_context(np.array([below_half], dtype=np.float32)).tolist() == [0]
