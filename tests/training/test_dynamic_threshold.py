from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export.registry import IGNORED, ModuleCall
from hardware_profiles.arithmetic import CONTEXT_MAX, ThresholdController
from hardware_profiles.profile import integer_format
from training.dynamic_threshold import (
    WEIGHT_LIMIT,
    DynamicThresholdLIF,
    ThresholdBlock,
    floor_through,
    read_dynamic_threshold,
)


def block(weights: list[float], population: int = 24, num_context: int = 3) -> ThresholdBlock:
    result = ThresholdBlock(population, num_groups=4, num_context=num_context)
    with torch.no_grad():
        result.weight_count.fill_(weights[0])
        result.weight_deviation.fill_(weights[1])
        result.weight_context.copy_(torch.tensor(weights[2 : 2 + num_context]))
        result.bias.fill_(weights[-1])
    return result


@given(
    st.lists(st.floats(-6, 6, width=32), min_size=6, max_size=6),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_training_threshold_is_the_chip_threshold(weights: list[float], seed: int, rate: float) -> None:
    trained = block(weights)
    controller = trained.controller()
    controller.check_range(integer_format(), "lif")
    rng = np.random.default_rng(seed)
    spikes = (rng.random((16, 24)) < rate).astype(np.int64)
    context = rng.integers(-CONTEXT_MAX, CONTEXT_MAX + 1, (16, 3))
    expected = controller.threshold(controller.group_counts(spikes), context)
    with torch.no_grad():
        theta = trained(torch.from_numpy(spikes).float(), torch.from_numpy(context).float())[:, 0].numpy()
    assert np.array_equal(theta * 2**controller.fraction_bits, expected)
    low, high = controller.theta_range
    assert expected.min() >= low and expected.max() <= high


def test_threshold_by_hand() -> None:
    controller = ThresholdController(
        population=4, num_groups=2, weight_count=1 << 20, weight_deviation=1 << 19, weight_context=(1 << 14,),
        bias=-(1 << 21), theta_0=256, amplitude=128, fraction_bits=8,
    )  # fmt: skip
    counts = controller.group_counts(np.array([[1, 1, 1, 0]]))
    assert counts.tolist() == [[2, 1]]
    # S = 3, D = |2·2−3| + |2·1−3| = 2; drive = 3·2^20 + 2·2^19 + 64·2^14 − 2^21 = 3·2^20; z = 3·2^20 >> 12 = 768
    # θ = 256 + ((128·768 + 2048) >> 12) = 256 + (100352 >> 12) = 256 + 24
    assert controller.threshold(counts, np.array([[64]])).tolist() == [280]


def test_it_starts_homeostatic_and_learns() -> None:
    start = ThresholdBlock(80, num_context=0)
    quiet, busy = torch.zeros(1, 80), torch.ones(1, 80)
    assert start(quiet).item() < 1.0 < start(busy).item()
    spikes = (torch.rand(6, 80, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    start(spikes).sum().backward()
    assert start.weight_count.grad is not None and start.weight_count.grad != 0
    assert start.bias.grad is not None and start.bias.grad != 0


def test_ablations_freeze_their_weights() -> None:
    fixed = ThresholdBlock(8, num_context=2, use_motion=False, use_context=False)
    spikes = torch.ones(3, 8)
    assert torch.equal(fixed(spikes, torch.full((3, 2), 900.0)), torch.ones(3, 1))
    assert not any(parameter.requires_grad for parameter in fixed.parameters())


def test_floor_through_is_exact_with_unit_gradient() -> None:
    values = torch.tensor([-1.5, -1e-20, 0.0, 0.7, 2.0**40 + 0.5], dtype=torch.float64, requires_grad=True)
    floored = floor_through(values)
    assert floored.tolist() == [-2.0, -1.0, 0.0, 0.0, 2.0**40]
    floored.sum().backward()
    assert values.grad is not None and values.grad.tolist() == [1.0] * 5


def neuron(**settings: object) -> DynamicThresholdLIF:
    fixed = ThresholdBlock(8, num_context=0, amplitude=0.0)
    return DynamicThresholdLIF(0.5, fixed, **settings)


def test_equations_by_hand() -> None:
    lif, silent, mem = neuron(), torch.zeros(1, 8), torch.zeros(0)
    spikes, membranes = [], []
    # θ = 1, β = ½: U = 0.75; 0.375+0.625 = 1.0, not above 1; 0.5+0.75 = 1.25 fires and resets; 0+0.25
    for current in (0.75, 0.625, 0.75, 0.25):
        spk, mem = lif(torch.tensor([[current]]), mem, population=silent)
        spikes.append(spk.item())
        membranes.append(mem.item())
    assert spikes == [0, 0, 1, 0] and membranes == [0.75, 1.0, 0.0, 0.25]


def test_hidden_and_explicit_membranes_agree_and_reset() -> None:
    hidden, explicit = neuron(init_hidden=True), neuron()
    mem = torch.zeros(0)
    currents = torch.rand(20, 3, 5, generator=torch.Generator().manual_seed(0))
    population = torch.zeros(3, 8)
    fired = 0
    for current in currents:
        spk, mem = explicit(current, mem, population=population)
        assert torch.equal(hidden(current, population=population), spk)
        fired += int(spk.sum())
    assert 0 < fired < currents.numel()
    hidden.reset_mem()
    assert torch.equal(
        hidden(currents[0], population=population), explicit(currents[0], torch.zeros(0), population=population)[0]
    )


def test_surrogate_gradient_reaches_weights_through_time() -> None:
    lif, mem = neuron(), torch.zeros(0)
    weight = torch.full((1, 4), 0.3, requires_grad=True)
    total = torch.zeros(())
    for _ in range(5):
        spk, mem = lif(weight, mem, population=torch.zeros(1, 8))
        total = total + spk.sum()
    total.backward()
    assert weight.grad is not None and (weight.grad > 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ThresholdBlock(10, num_groups=4),
        lambda: ThresholdBlock(8, amplitude=1.0),
        lambda: ThresholdBlock(8, threshold=0.0),
        lambda: DynamicThresholdLIF(1.5, ThresholdBlock(8)),
    ],
)
def test_bad_settings(make: object) -> None:
    with pytest.raises(ValueError, match="must be|not a multiple"):
        make()  # type: ignore[operator]


def test_reading_leaves_the_context_port_open_without_context() -> None:
    reading = read_dynamic_threshold(ModuleCall("lif", neuron(), (5,)))
    assert reading.ports["context"] == IGNORED and reading.node.shape == (5,)


def test_weight_limit_keeps_seven_context_values_safe() -> None:
    widest = block([WEIGHT_LIMIT] * 10, num_context=7)
    assert widest.controller().drive_bound() < 1 << 31
