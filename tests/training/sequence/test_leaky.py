"""`leaky_sequence` beside a loop of snnTorch's own `Leaky`: spikes, membranes and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import snntorch as snn
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snntorch import surrogate

from training.errors import TrainingError
from training.sequence.leaky import leaky_sequence

from .gradients import (
    dyadic,
    gradients,
    on_every_backend,
    parameters,
    rounding_bound,
    spikes_some,
    use,
)

every_reset = pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
SURROGATES = {
    "atan": surrogate.atan(),
    "atan, flat": surrogate.atan(alpha=0.0),
    "atan, steep": surrogate.atan(alpha=9),
    "fast sigmoid": surrogate.fast_sigmoid(),
    "sigmoid": surrogate.sigmoid(slope=4),
    "triangular": surrogate.triangular(threshold=2),
    "straight through": surrogate.straight_through_estimator(),
    "own": surrogate.custom_surrogate(lambda distance, gradient, spikes: gradient * (spikes + distance.cos())),
    "lambda": lambda distance: (distance > 0).float() + (distance - distance.detach()),
}


def loop(neuron: snn.Leaky, current: torch.Tensor, mem: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    spikes, membranes = [], []
    for step in current:
        spk, mem = neuron(step, mem)
        spikes.append(spk)
        membranes.append(mem)
    return torch.stack(spikes), torch.stack(membranes)


def assert_equal_to_loop(
    neuron: snn.Leaky, current: torch.Tensor, mem: torch.Tensor, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values, and gradients of currents and initial membrane, from spikes alone and from spikes and membranes."""
    for by_step, at_once in zip(loop(neuron, current, mem), leaky_sequence(neuron, current, mem), strict=True):
        assert torch.equal(by_step, at_once)
    for count in (1, 2):
        expected, found = (
            gradients(partial(_first, count, run, neuron, current, mem), weights[:count], [current, mem])
            for run in (loop, leaky_sequence)
        )
        assert all(torch.equal(by_step, at_once) for by_step, at_once in zip(expected, found, strict=True))
    return expected[0], expected[1]


def _first(count: int, run: Callable[..., tuple[torch.Tensor, ...]], *arguments: Any) -> tuple[torch.Tensor, ...]:
    return run(*arguments)[:count]


@on_every_backend
@every_reset
@pytest.mark.parametrize("name", SURROGATES)
def test_equal_for_every_reset_and_surrogate(
    backend: str, reset: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(backend, monkeypatch)
    torch.manual_seed(3)
    neuron = snn.Leaky(0.8, threshold=0.7, reset_mechanism=reset, spike_grad=SURROGATES[name])
    current, mem = torch.randn(25, 3, 33, requires_grad=True), torch.randn(3, 33, requires_grad=True)
    assert spikes_some(leaky_sequence(neuron, current, mem)[0].detach()) and (mem > 0.7).any()
    of_current, of_mem = assert_equal_to_loop(neuron, current, mem, [torch.randn(25, 3, 33), torch.randn(25, 3, 33)])
    assert of_current.count_nonzero() > 0 and of_mem.count_nonzero() > 0


@on_every_backend
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 7), st.integers(1, 5)),
    beta=st.floats(-0.5, 1.5, width=32),
    threshold=st.floats(0.25, 2, width=32),
    reset=st.sampled_from(["subtract", "zero", "none"]),
    each=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equal_for_any_shape_and_value(
    backend: str, shape: tuple[int, ...], beta: float, threshold: float, reset: str, each: bool, seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """β beyond 0 and 1 is clamped; β and θ are one value or one per neuron, or per channel."""
    use(backend, monkeypatch)
    torch.manual_seed(seed)
    betas = beta + 0.1 * torch.rand(shape[2:]) if each else torch.tensor(beta)
    thresholds = threshold + 0.1 * torch.rand(shape[2], 1) if each else torch.tensor(threshold)
    neuron = snn.Leaky(betas, threshold=thresholds, reset_mechanism=reset)
    current, mem = torch.randn(shape, requires_grad=True), torch.randn(shape[1:], requires_grad=True)
    assert_equal_to_loop(neuron, current, mem, [torch.randn(shape), torch.randn(shape)])


@on_every_backend
@every_reset
@pytest.mark.parametrize("each", [False, True])
def test_learned_leaks_and_thresholds_within_rounding(
    backend: str, reset: str, each: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their gradients are sums of terms that are bit-equal: within the rounding of a sum in any order."""
    use(backend, monkeypatch)
    torch.manual_seed(5)
    num_steps, batch, width = 20, 4, 12
    beta = 0.7 + 0.2 * torch.rand(width) if each else torch.tensor(0.8)
    threshold = 0.5 + 0.4 * torch.rand(width) if each else torch.tensor(0.7)
    neuron = snn.Leaky(beta, threshold=threshold, learn_beta=True, learn_threshold=True, reset_mechanism=reset)
    current, mem = torch.randn(num_steps, batch, width, requires_grad=True), torch.randn(batch, width)
    weight = torch.randn(num_steps, batch, width)
    of_current, of_beta, of_threshold = gradients(
        lambda: leaky_sequence(neuron, current, mem)[:1], [weight], [current, neuron.beta, neuron.threshold]
    )
    spikes, membranes = (value.detach() for value in leaky_sequence(neuron, current, mem))
    assert spikes_some(spikes)
    distance = (membranes - neuron.threshold).detach().requires_grad_()
    (through,) = torch.autograd.grad(neuron.spike_grad(distance), distance, weight)
    before = torch.cat([mem[None], membranes])[:-1]
    reset_now = torch.cat([(mem > neuron.threshold)[None].float(), spikes])[:-1]
    leaking = before * (1 - reset_now) if reset == "zero" else before
    theta_terms = torch.cat([-through, -reset_now * of_current]) if reset == "subtract" else -through
    axes = (0, 1) if each else (0, 1, 2)
    for found, terms in ((of_beta, of_current * leaking), (of_threshold, theta_terms)):
        exact = terms.double().sum(axes)
        assert ((found.double() - exact).abs() <= rounding_bound(terms, axes)).all() and found.count_nonzero() > 0
    by_loop = gradients(lambda: loop(neuron, current, mem)[:1], [weight], [neuron.beta, neuron.threshold])
    for expected, terms in zip(by_loop, (of_current * leaking, theta_terms), strict=True):
        assert ((expected.double() - terms.double().sum(axes)).abs() <= rounding_bound(terms, axes)).all()


@on_every_backend
@every_reset
def test_all_gradients_are_equal_where_nothing_is_rounded(
    backend: str, reset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(backend, monkeypatch)
    shape = (6, 4, 10)
    neuron = snn.Leaky(
        torch.full((10,), 0.5), threshold=torch.full((10,), 0.75), learn_beta=True, learn_threshold=True,
        reset_mechanism=reset, spike_grad=surrogate.straight_through_estimator(),
    )  # fmt: skip
    current, mem = dyadic(shape, seed=1).requires_grad_(), dyadic(shape[1:], seed=2).requires_grad_()
    weights = [dyadic(shape, seed=3, span=4, bits=1), dyadic(shape, seed=4, span=4, bits=1)]
    leaves = [current, mem, *parameters(neuron)]
    expected = gradients(lambda: loop(neuron, current, mem), weights, leaves)
    found = gradients(lambda: leaky_sequence(neuron, current, mem), weights, leaves)
    assert spikes_some(leaky_sequence(neuron, current, mem)[0].detach()) and len(leaves) == 4
    for by_step, at_once in zip(expected, found, strict=True):
        assert torch.equal(by_step, at_once) and by_step.count_nonzero() > 0


@on_every_backend
def test_float64_membranes(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """snnTorch's spikes are float32 also then, and so are the gradients that reach them."""
    use(backend, monkeypatch)
    torch.manual_seed(0)
    neuron = snn.Leaky(0.9).double()
    current = torch.randn(12, 2, 5, dtype=torch.float64, requires_grad=True)
    mem, weight = torch.zeros(2, 5, dtype=torch.float64), torch.randn(12, 2, 5)
    for by_step, at_once in zip(loop(neuron, current, mem), leaky_sequence(neuron, current), strict=True):
        assert torch.equal(by_step.double(), at_once) and at_once.dtype == torch.float64
    expected = gradients(lambda: loop(neuron, current, mem)[:1], [weight], [current])
    found = gradients(lambda: leaky_sequence(neuron, current)[:1], [weight.double()], [current])
    assert torch.equal(expected[0], found[0]) and found[0].count_nonzero() > 0


@on_every_backend
def test_without_gradients(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(backend, monkeypatch)
    neuron, current = snn.Leaky(0.9).eval(), torch.randn(15, 2, 8)
    expected = leaky_sequence(neuron, current)[0]
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            spikes, membranes = leaky_sequence(neuron, current)
        assert torch.equal(spikes, expected) and not spikes.requires_grad and not membranes.requires_grad
    disabled = snn.Leaky(0.9, surrogate_disable=True)
    (of_current,) = gradients(
        lambda: leaky_sequence(disabled, current)[:1], [torch.ones(15, 2, 8)], [current.requires_grad_()]
    )
    assert spikes_some(expected) and of_current.count_nonzero() == 0


@on_every_backend
def test_mixed_precision_scans_in_float32(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(backend, monkeypatch)
    torch.manual_seed(0)
    linear, neuron, inputs = torch.nn.Linear(6, 9), snn.Leaky(0.9), torch.randn(12, 3, 6)
    with torch.autocast("cpu", torch.bfloat16):
        current = linear(3 * inputs)
        spikes, membranes = leaky_sequence(neuron, current)
        spikes.sum().backward()
    assert current.dtype == torch.bfloat16 and spikes.dtype == membranes.dtype == torch.float32
    expected = leaky_sequence(neuron, current.detach().float())
    assert torch.equal(spikes, expected[0]) and torch.equal(membranes, expected[1]) and spikes_some(spikes.detach())
    assert linear.weight.grad is not None and linear.weight.grad.count_nonzero() > 0


def test_the_hidden_membrane_is_left_alone() -> None:
    neuron, current = snn.Leaky(0.9, init_hidden=True), torch.randn(5, 2, 4)
    neuron(current[0])
    hidden = neuron.mem.clone()
    first = leaky_sequence(neuron, current)[1]
    assert torch.equal(neuron.mem, hidden) and torch.equal(leaky_sequence(neuron, current)[1], first)


def test_twice_differentiating_is_refused() -> None:
    current, weight = torch.randn(4, 2, 3, requires_grad=True), torch.randn(4, 2, 3, requires_grad=True)
    loss = (leaky_sequence(snn.Leaky(0.9), current)[0] * weight).sum()
    (first,) = torch.autograd.grad(loss, current, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.filterwarnings("ignore:Inhibition")
@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (lambda: snn.Leaky(0.9, inhibition=True), "inhibition"),
        (lambda: snn.Leaky(0.9, state_quant=lambda mem: mem), "state_quant"),
        (lambda: snn.Leaky(0.9, reset_delay=False), "reset_delay=False"),
        (lambda: snn.Leaky(0.9, graded_spikes_factor=2.0), "graded_spikes_factor other than 1"),
        (lambda: snn.Leaky(0.9, learn_graded_spikes_factor=True), "learn_graded_spikes_factor"),
        (lambda: snn.Synaptic(0.9, 0.8), "neuron Synaptic"),
        (lambda: snn.RLeaky(0.9, linear_features=4), "neuron RLeaky"),
        (lambda: snn.Leaky(torch.rand(3)), r"beta of shape \[3\] with currents \[5, 2, 4\]"),
        (lambda: snn.Leaky(0.9, threshold=torch.rand(4).double()), "threshold is torch.float64"),
        (lambda: snn.Leaky(0.9, spike_grad=lambda distance: distance.sigmoid()), "its spikes are not 1"),
    ],
)
def test_refused_neurons(neuron: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message) as error:
        leaky_sequence(neuron(), torch.randn(5, 2, 4))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("current", [torch.randn(5, 4), torch.ones(5, 2, 4, dtype=torch.int64)])
def test_refused_currents(current: torch.Tensor) -> None:
    with pytest.raises(TrainingError, match="allowed are floats"):
        leaky_sequence(snn.Leaky(0.9), current)
