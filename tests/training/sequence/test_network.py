"""`run_sequence` beside a loop over time of the same network."""

from __future__ import annotations

import pytest
import snntorch as snn
import torch
from torch import nn

from training.errors import TrainingError
from training.sequence.network import run_sequence

from .gradients import dyadic, gradients, on_every_backend, parameters, spikes_some, use


def exact(module: nn.Module, seed: int = 0, bits: int = 4) -> nn.Module:
    """Give all weights few bits: then no sum of theirs with spikes is rounded, in whatever order."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(dyadic(parameter.shape, seed + number, span=8, bits=bits))
    return module


def leaky(reset: str = "subtract", output: bool = False) -> snn.Leaky:
    straight_through = snn.surrogate.straight_through_estimator()
    return snn.Leaky(0.5, reset_mechanism=reset, init_hidden=True, output=output, spike_grad=straight_through)


def dense() -> nn.Sequential:
    return nn.Sequential(
        exact(nn.Linear(12, 20), 1), leaky(), nn.Sequential(exact(nn.Linear(20, 16), 2), leaky("zero")),
        exact(nn.Linear(16, 6), 3), leaky("none", output=True),
    )  # fmt: skip


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        exact(nn.Conv2d(2, 4, 3), 6), nn.MaxPool2d(2), leaky(), exact(nn.Conv2d(4, 3, 2), 106), leaky("zero"),
        nn.Flatten(), exact(nn.Linear(12, 5), 206, bits=3), leaky(output=True),
    )  # fmt: skip


def loop(net: nn.Sequential, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    for neuron in net.modules():  # not snntorch.utils.reset: it reaches every Leaky of the process, also other tests'
        if isinstance(neuron, snn.Leaky):
            neuron.reset_mem()
    steps = [net(step) for step in inputs]
    return torch.stack([spikes for spikes, _ in steps]), torch.stack([membranes for _, membranes in steps])


@on_every_backend
@pytest.mark.parametrize(("make", "shape"), [(dense, (5, 7, 12)), (convolutional, (4, 3, 2, 8, 8))])
def test_values_and_gradients_are_the_loops(
    backend: str, make: object, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(backend, monkeypatch)
    net = make()  # type: ignore[operator]
    inputs = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    expected, found = loop(net, inputs), run_sequence(net, inputs)
    assert spikes_some(expected[0].detach())
    assert all(torch.equal(by_step, at_once) for by_step, at_once in zip(expected, found, strict=True))
    weights = [dyadic(value.shape, 9, span=2, bits=0) for value in expected]
    by_loop = gradients(lambda: loop(net, inputs), weights, parameters(net))
    at_once = gradients(lambda: run_sequence(net, inputs), weights, parameters(net))
    assert len(by_loop) == 6
    for one, other in zip(by_loop, at_once, strict=True):
        assert torch.equal(one, other) and one.count_nonzero() > 0


def test_batch_normalisation_sees_one_step_at_a_time() -> None:
    net = nn.Sequential(exact(nn.Linear(12, 20)), nn.BatchNorm1d(20), leaky(output=True))
    twin = nn.Sequential(exact(nn.Linear(12, 20)), nn.BatchNorm1d(20), leaky(output=True))
    inputs = (torch.rand(5, 7, 12, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    spikes, membranes = loop(twin, inputs)
    assert torch.equal(run_sequence(net, inputs)[1], membranes) and spikes_some(spikes.detach())
    assert torch.equal(net[1].running_var, twin[1].running_var) and net[1].num_batches_tracked == 5


def test_what_the_last_layer_returns() -> None:
    inputs = torch.ones(3, 2, 12)
    linear = exact(nn.Linear(12, 4))
    assert torch.equal(run_sequence(nn.Sequential(linear), inputs), linear(inputs))
    assert isinstance(run_sequence(nn.Sequential(linear, leaky()), inputs), torch.Tensor)
    assert len(run_sequence(nn.Sequential(linear, snn.Leaky(0.9)), inputs)) == 2
    assert isinstance(run_sequence(nn.Sequential(linear, snn.Leaky(0.9), nn.ReLU()), inputs), torch.Tensor)


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = leaky()

    def forward(self, step: torch.Tensor) -> torch.Tensor:
        return self.inner(step)


def test_refused_networks() -> None:
    inputs, twice = torch.ones(3, 2, 12), leaky()
    for net, message in (
        (nn.Sequential(nn.Linear(12, 12), _Block()), r"layer 1 \(_Block\) keeps state in a Leaky"),
        (nn.Sequential(nn.GRU(12, 12)), "keeps state in a GRU"),
        (nn.Sequential(twice, nn.Linear(12, 12), twice), "layer 2 .* occurs twice"),
        (nn.Sequential(snn.Synaptic(0.9, 0.9)), "neuron Synaptic"),
    ):
        with pytest.raises(TrainingError, match=message) as error:
            run_sequence(net, inputs)
        assert "\n" not in str(error.value)
