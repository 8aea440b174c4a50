"""Every neuron of snnTorch that is supported, in every setting: a generated matrix, equal over 100 steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import snntorch as snn
import torch
from torch import nn

from export.errors import UnsupportedModuleError
from export.nodes import Input
from export.reader import trace_network

from .carried import assert_carried, read, spikes

N = 12
RESETS = ("subtract", "zero", "none")
MAKERS: dict[str, Callable[..., nn.Module]] = {
    "Leaky": lambda alpha, beta, **c: snn.Leaky(beta, **c),
    "Synaptic": lambda alpha, beta, **c: snn.Synaptic(alpha - 0.3, beta, **c),
    "RLeaky": lambda alpha, beta, **c: snn.RLeaky(beta, linear_features=N, **c),
    "RLeaky one to one": lambda alpha, beta, **c: snn.RLeaky(beta, all_to_all=False, V=torch.full((N,), 0.3), **c),
    "RSynaptic": lambda alpha, beta, **c: snn.RSynaptic(alpha - 0.3, beta, linear_features=N, **c),
    "RSynaptic one to one": lambda alpha, beta, **c: snn.RSynaptic(alpha - 0.3, beta, all_to_all=False, V=0.2, **c),
    "Lapicque": lambda alpha, beta, **c: snn.Lapicque(R=5.0, C=1.0, time_step=0.9, **c),
    "Lapicque by beta": lambda alpha, beta, **c: snn.Lapicque(beta=0.8, **c),
    "Alpha": lambda alpha, beta, **c: snn.Alpha(alpha, beta, **c),
}
DELAYED_ONLY = ("RSynaptic", "RSynaptic one to one", "Lapicque", "Lapicque by beta", "Alpha")
STYLES = ("hidden, one step", "hidden, loop", "explicit, loop", "explicit, batch first", "explicit, one step")


class TwoLayers(nn.Module):
    """Two layers of one kind of neuron, in one of the styles that people write."""

    def __init__(self, make: Callable[[], nn.Module], style: str) -> None:
        super().__init__()
        self.style = style
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(10, N), make(), nn.Linear(N, N), make()
        gain = 12.0 if isinstance(self.lif1, snn.Lapicque) else 3.0
        with torch.no_grad():
            self.fc1.weight *= gain
            self.fc2.weight *= gain

    def hidden_step(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))

    def forward(self, x: torch.Tensor) -> object:
        if self.style == "hidden, one step":
            return self.hidden_step(x)
        if self.style == "hidden, loop":
            return torch.stack([self.hidden_step(x[t]) for t in range(x.shape[0])])
        states1, states2, out = as_tuple(self.lif1.reset_mem()), as_tuple(self.lif2.reset_mem()), []
        steps = x.unbind(1) if self.style == "explicit, batch first" else x
        for step in steps:
            first = self.lif1(self.fc1(step), *states1)
            second = self.lif2(self.fc2(first[0]), *states2)
            states1, states2 = own_states(first, states1), own_states(second, states2)
            out.append(second[0])
        return torch.stack(out, dim=1 if self.style == "explicit, batch first" else 0), second[-1]


class ExplicitStep(TwoLayers):
    """One step, membranes as parameters of forward."""

    def forward(self, x: torch.Tensor, mem1: torch.Tensor, mem2: torch.Tensor) -> object:
        spk1, mem1 = self.lif1(self.fc1(x), mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return spk2, mem1, mem2


def as_tuple(states: object) -> tuple[torch.Tensor, ...]:
    return states if isinstance(states, tuple) else (states,)  # type: ignore[return-value]


def own_states(result: tuple[torch.Tensor, ...], before: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """What a neuron returns after its spikes; recurrent ones take the spikes back too."""
    return result[-len(before) :]


def neuron(kind: str, reset: str, delay: bool, per_neuron: bool, style: str, inhibition: bool = False) -> nn.Module:
    settings = {
        "threshold": torch.rand(N) * 0.5 + 0.7 if per_neuron else 1.0,
        "reset_mechanism": reset,
        "init_hidden": style.startswith("hidden"),
        "inhibition": inhibition,
    }
    if kind not in DELAYED_ONLY:
        settings["reset_delay"] = delay
    alpha, beta = (torch.rand(N) * 0.09 + 0.9, torch.rand(N) * 0.4 + 0.5) if per_neuron else (0.95, 0.8)
    return MAKERS[kind](alpha, beta, **settings)


MATRIX = [
    (kind, reset, delay, per_neuron)
    for kind, reset, delay, per_neuron in itertools.product(MAKERS, RESETS, (True, False), (False, True))
    if delay or kind not in DELAYED_ONLY
]


@pytest.mark.parametrize(("kind", "reset", "delay", "per_neuron"), MATRIX)
def test_every_neuron_in_every_setting_is_carried(kind: str, reset: str, delay: bool, per_neuron: bool) -> None:
    # the style turns with the row, so that every kind of neuron meets several
    style = STYLES[MATRIX.index((kind, reset, delay, per_neuron)) % 4]
    torch.manual_seed(0)
    network = TwoLayers(lambda: neuron(kind, reset, delay, per_neuron, style), style)
    assert_carried(network, {"x": spikes(10)})


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_inhibition_is_carried(kind: str, reset: str) -> None:
    torch.manual_seed(0)
    style = "hidden, loop"
    for delay in (True, False) if kind not in DELAYED_ONLY else (True,):
        network = TwoLayers(lambda delay=delay: neuron(kind, reset, delay, True, style, True), style)
        graph = assert_carried(network, {"x": spikes(10)})
        assert graph.nodes["lif1"].inhibition


@pytest.mark.parametrize("reset", RESETS)
def test_membranes_as_parameters_of_a_step(reset: str) -> None:
    torch.manual_seed(0)
    network = ExplicitStep(lambda: snn.Leaky(0.8, reset_mechanism=reset), "explicit, one step")
    graph = assert_carried(network, {"x": spikes(10)})
    assert set(graph.inputs()) == {"x"}


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("factor", [0.5, 2.0, 0.3])
def test_graded_spikes_are_carried(learn: bool, factor: float) -> None:
    torch.manual_seed(0)
    network = TwoLayers(
        lambda: snn.Leaky(0.8, graded_spikes_factor=factor, learn_graded_spikes_factor=learn, init_hidden=True),
        "hidden, one step",
    )
    network.lif2 = snn.Leaky(0.8, init_hidden=True)
    graph = assert_carried(network, {"x": spikes(10)})
    assert float(graph.nodes["lif1.gain"].weight) == pytest.approx(factor)


def test_learned_beta_and_threshold_are_carried() -> None:
    torch.manual_seed(0)
    network = TwoLayers(
        lambda: snn.Leaky(torch.rand(N), threshold=torch.rand(N) + 0.5, learn_beta=True, learn_threshold=True,
                          init_hidden=True),
        "hidden, one step",
    )  # fmt: skip
    graph = assert_carried(network, {"x": spikes(10)})
    assert len(set(graph.nodes["lif1"].threshold.tolist())) == N


class MovingThreshold(nn.Module):
    """A threshold assigned in every step, from spikes of the step before or from an input."""

    def __init__(self, reset: str, reset_delay: bool) -> None:
        super().__init__()
        self.fc, self.adapt = nn.Linear(10, N), nn.Linear(N, N)
        self.lif = snn.Leaky(0.8, reset_mechanism=reset, reset_delay=reset_delay)
        with torch.no_grad():
            self.fc.weight *= 3
            self.adapt.weight.abs_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, spk, out = self.lif.reset_mem(), torch.zeros(x.shape[1], N), []
        for step in x:
            self.lif.threshold = 1.0 + 0.5 * self.adapt(spk)
            spk, mem = self.lif(self.fc(step), mem)
            out.append(spk)
        return torch.stack(out)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("reset_delay", [True, False])
def test_a_threshold_assigned_per_step_is_carried(reset: str, reset_delay: bool) -> None:
    torch.manual_seed(0)
    network = MovingThreshold(reset, reset_delay)
    read(network, {"x": spikes(10)})
    assert network.lif.threshold.numel() == 1, "reading leaves the network's own threshold alone"
    graph = assert_carried(network, {"x": spikes(10)})
    assert graph.nodes["lif"].threshold is None and graph.sources("lif", "threshold")


def test_one_assigned_threshold_for_all_neurons_is_carried() -> None:
    class Shared(MovingThreshold):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, spk, out = self.lif.reset_mem(), torch.zeros(x.shape[1], N), []
            for step in x:
                self.lif.threshold = 0.8 + 0.125 * spk.sum(dim=1, keepdim=True)
                spk, mem = self.lif(self.fc(step), mem)
                out.append(spk)
            return torch.stack(out)

    torch.manual_seed(0)
    assert_carried(Shared("zero", True), {"x": spikes(10)})


REFUSED = {
    "RSynaptic": (lambda: snn.RSynaptic(0.9, 0.8, linear_features=N, reset_delay=False, init_hidden=True), "is broken"),
    "StateLeaky": (lambda: snn.StateLeaky(0.9, N), "instead of beta"),
    "AssociativeLeaky": (lambda: snn.AssociativeLeaky(N, 3, 4, N), "loses its state"),
    "DeltaLeaky": (lambda: snn.DeltaLeaky(beta=0.9, delta_threshold=0.1), "fires on changes"),
    "LinearLeaky": (lambda: snn.LinearLeaky(0.9, N, N), "instead of beta"),
    "SLSTM": (lambda: snn.SLSTM(N, N), "sigmoid and tanh"),
    "LeakyParallel": (lambda: snn.LeakyParallel(N, N), "use nn.Linear and snn.Leaky"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_snntorch_computes_wrongly_is_refused_with_the_reason(kind: str) -> None:
    make, reason = REFUSED[kind]
    network = nn.Sequential(nn.Linear(10, N), make())
    with pytest.raises(UnsupportedModuleError, match=rf"module 1 \({kind}\): .*{reason}"):
        trace_network(network, inputs={"input": Input(shape=(10,))})
