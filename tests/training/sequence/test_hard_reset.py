"""`DynamicThresholdLIF.sequence` beside its own steps one by one: spikes, membranes and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snntorch import surrogate

from hardware_profiles.arithmetic import CONTEXT_MAX
from training.dynamic_threshold import DynamicThresholdLIF, ThresholdBlock
from training.sequence.hard_reset import hard_reset_sequence
from training.sequence.surrogates import Surrogate

from .gradients import dyadic, gradients, on_every_backend, parameters, rounding_bound, spikes_some, use

POPULATION, CONTEXT = 16, 3


def layer(beta: float = 0.9, spike_grad: Surrogate | None = None) -> DynamicThresholdLIF:
    """A layer with thresholds that move: all weights differ from zero."""
    block = ThresholdBlock(POPULATION, num_context=CONTEXT)
    with torch.no_grad():
        block.weight_deviation.fill_(-0.5)
        block.weight_context.copy_(torch.tensor([0.5, -0.25, 0.125]))
    return DynamicThresholdLIF(beta, block, spike_grad=spike_grad)


def sequence_inputs(num_steps: int, batch: int, neurons: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
    """Currents, population and context."""
    generator = torch.Generator().manual_seed(seed)
    current = torch.randn(num_steps, batch, *neurons, generator=generator)
    population = (torch.rand(num_steps, batch, POPULATION, generator=generator) < 0.15).float()
    context = torch.randint(-CONTEXT_MAX, CONTEXT_MAX + 1, (num_steps, batch, CONTEXT), generator=generator).double()
    return [current.requires_grad_(), population.requires_grad_(), context.requires_grad_()]


def step_by_step(lif: DynamicThresholdLIF, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and membranes of `forward` in a loop."""
    mem, spikes, membranes = torch.zeros(0), [], []
    for current, population, context in zip(*inputs, strict=True):
        spk, mem = lif(current, mem, population=population, context=context)
        spikes.append(spk)
        membranes.append(mem)
    return torch.stack(spikes), torch.stack(membranes)


def all_at_once(lif: DynamicThresholdLIF, inputs: list[torch.Tensor]) -> torch.Tensor:
    current, population, context = inputs
    return lif.sequence(current, population_TBP=population, context_TBC=context)


@on_every_backend
@given(num_steps=st.integers(1, 12), batch=st.integers(1, 5), width=st.integers(1, 40), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spikes_and_gradients_of_any_shape(
    backend: str, num_steps: int, batch: int, width: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(backend, monkeypatch)
    lif, inputs = layer(), sequence_inputs(num_steps, batch, (width,), seed)
    loop, fused = step_by_step(lif, inputs)[0], all_at_once(lif, inputs)
    assert torch.equal(loop, fused)
    weights = [torch.randn_like(loop)]
    given_by_loop = gradients(lambda: [step_by_step(lif, inputs)[0]], weights, inputs[:1])
    given_by_fused = gradients(lambda: [all_at_once(lif, inputs)], weights, inputs[:1])
    assert torch.equal(given_by_loop[0], given_by_fused[0])


@on_every_backend
@pytest.mark.parametrize(
    "spike_grad",
    [
        None, surrogate.atan(alpha=3.7), surrogate.fast_sigmoid(), surrogate.sigmoid(slope=5), surrogate.triangular(),
        surrogate.straight_through_estimator(), surrogate.spike_rate_escape(), surrogate.SFS(B=0.1),
        surrogate.heaviside(), surrogate.custom_surrogate(lambda distance, gradient, spikes: gradient * distance.cos()),
    ],
)  # fmt: skip
def test_spikes_membranes_and_gradients_for_every_surrogate(
    backend: str, spike_grad: Surrogate | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit-equal: spikes, membranes, and the gradients of currents and V[−1]."""
    use(backend, monkeypatch)
    lif, (current, population, context) = layer(spike_grad=spike_grad), sequence_inputs(20, 4, (24,))
    theta = lif.threshold_block(population, context).detach()
    mem = torch.randn(4, 24).requires_grad_()

    def loop() -> list[torch.Tensor]:
        state, spikes, membranes = mem, [], []
        for t in range(20):
            spk, state = lif(current[t], state, population=population[t], context=context[t])
            spikes.append(spk)
            membranes.append(state)
        return [torch.stack(spikes), torch.stack(membranes)]

    def fused() -> tuple[torch.Tensor, torch.Tensor]:
        return hard_reset_sequence(current, theta, lif.beta, mem, spike_grad=lif.spike_grad)

    for by_step, at_once in zip(loop(), fused(), strict=True):
        assert torch.equal(by_step, at_once)
    spikes = fused()[0].detach()
    assert spikes_some(spikes) and len(theta.unique()) > 10
    weights = [torch.randn(20, 4, 24), torch.randn(20, 4, 24)]
    expected, found = (gradients(run, weights, [current, mem]) for run in (loop, fused))
    assert all(torch.equal(by_step, at_once) for by_step, at_once in zip(expected, found, strict=True))
    assert expected[0].count_nonzero() > 0 and expected[1].count_nonzero() > 0


@on_every_backend
def test_threshold_and_leak_gradients_within_rounding(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums in another order: within n roundings of the terms' absolute sum from the float64 sum of those terms."""
    use(backend, monkeypatch)
    num_steps, batch, width = 30, 4, 48
    current = torch.randn(num_steps, batch, width, requires_grad=True)
    theta = (0.5 + torch.rand(num_steps, batch, 1)).requires_grad_()
    beta = torch.tensor(0.875, requires_grad=True)
    weight = torch.randn(num_steps, batch, width)
    arctangent = surrogate.atan()

    def run() -> list[torch.Tensor]:
        return [hard_reset_sequence(current, theta, beta, spike_grad=arctangent)[0]]

    spikes, membranes = hard_reset_sequence(current, theta, beta, spike_grad=arctangent)
    assert spikes_some(spikes)
    by_current, by_theta, by_beta = gradients(run, [weight], [current, theta, beta])
    before = torch.cat([torch.zeros(1, batch, width), membranes.detach()[:-1]])
    u = (beta * before + current).detach()
    distance = (u - theta).detach().requires_grad_()
    (terms,) = torch.autograd.grad(arctangent(distance), distance, weight)
    _within_rounding(by_theta, -terms, dim=2)
    _within_rounding(by_beta, by_current * before, dim=(0, 1, 2))


def _within_rounding(found: torch.Tensor, terms: torch.Tensor, dim: int | tuple[int, ...]) -> None:
    exact = terms.double().sum(dim)
    assert ((found.double().reshape(exact.shape) - exact).abs() <= rounding_bound(terms, dim)).all()
    assert found.count_nonzero() > 0


@on_every_backend
def test_all_gradients_are_equal_where_nothing_is_rounded(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(backend, monkeypatch)
    num_steps, batch = 6, 4
    lif = layer(beta=0.5, spike_grad=surrogate.straight_through_estimator())
    inputs = sequence_inputs(num_steps, batch, (8,))
    inputs[0] = dyadic((num_steps, batch, 8), seed=1).requires_grad_()
    weights = [dyadic((num_steps, batch, 8), seed=2, span=4, bits=1)]
    leaves = [*inputs, *parameters(lif.threshold_block)]
    expected = gradients(lambda: [step_by_step(lif, inputs)[0]], weights, leaves)
    found = gradients(lambda: [all_at_once(lif, inputs)], weights, leaves)
    assert spikes_some(all_at_once(lif, inputs).detach())
    for by_step, at_once in zip(expected, found, strict=True):
        assert torch.equal(by_step, at_once) and by_step.count_nonzero() > 0


@on_every_backend
def test_neurons_of_any_shape_share_their_samples_threshold(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(backend, monkeypatch)
    lif, inputs = layer(), sequence_inputs(9, 3, (4, 5))
    flat = [inputs[0].flatten(2), *inputs[1:]]
    spikes = all_at_once(lif, inputs)
    assert spikes.shape == (9, 3, 4, 5) and spikes_some(spikes.detach())
    assert torch.equal(spikes.flatten(2), step_by_step(lif, flat)[0])


def test_the_block_gives_the_same_thresholds_for_all_steps_at_once() -> None:
    lif, (_, population, context) = layer(), sequence_inputs(12, 5, (1,))
    block = lif.threshold_block
    at_once = block(population, context)
    by_step = torch.stack([block(*step) for step in zip(population, context, strict=True)])
    assert at_once.shape == (12, 5, 1) and torch.equal(at_once, by_step) and len(at_once.unique()) > 10
    assert torch.equal(at_once, block(population.double(), context)), (
        "integers beyond float32's reach, if there were any"
    )


def test_a_sequence_leaves_the_hidden_membrane_alone() -> None:
    lif, inputs = layer(), sequence_inputs(5, 2, (6,))
    lif.mem = torch.full((2, 6), 0.25)
    first = all_at_once(lif, inputs)
    assert torch.equal(lif.mem, torch.full((2, 6), 0.25)) and torch.equal(first, all_at_once(lif, inputs))


@on_every_backend
def test_mixed_precision_keeps_thresholds_and_membranes_exact(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(backend, monkeypatch)
    lif, inputs = layer(), sequence_inputs(15, 4, (24,))
    inputs[0] = inputs[0].detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = all_at_once(lif, inputs)
    assert mixed.dtype == torch.float32 and spikes_some(mixed.detach())
    assert torch.equal(mixed, all_at_once(lif, [inputs[0].float(), *inputs[1:]]))
    mixed.sum().backward()
    assert lif.threshold_block.weight_context.grad.count_nonzero() > 0
