"""snnTorch, recorded for parity and bare for timing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from export.deployment import Deployment, HostSegment
from export.errors import InputDataError
from export.reader import trace_network
from export.torch_reference import make_runner, run_torch
from export.trace import Array
from hardware_profiles.arithmetic import quantize_context

from ..networks import NUM_INPUTS, dynamic_neurons, mixed_inputs, mixed_network

NUM_STEPS, BATCH = 11, 3


class Explicit(nn.Module):
    """The same layer with its membrane passed by hand, and hard reset."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.fc, self.lif = linear, snn.Leaky(0.75, reset_mechanism="zero")

    def forward(self, x: torch.Tensor, mem: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.lif(self.fc(x), mem)


def hidden(linear: nn.Linear) -> nn.Module:
    return nn.Sequential(linear, snn.Leaky(0.75, reset_mechanism="zero", init_hidden=True))


def linear() -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(8, 6)
    with torch.no_grad():
        layer.weight *= 4
    return layer


def spikes(seed: int = 0) -> Array:
    return (np.random.default_rng(seed).random((NUM_STEPS, BATCH, 8)) < 0.5).astype(np.uint8)


def by_hand(layer: nn.Linear, x: Array) -> tuple[Array, Array]:
    """U = βV + X; S = 1(U > 1); V = U(1 − S), in float32 as torch computes it."""
    v, s_rows, v_rows = torch.zeros(BATCH, 6), [], []
    with torch.no_grad():
        for t in range(NUM_STEPS):
            u = 0.75 * v + layer(torch.from_numpy(x[t].astype(np.float32)))
            s = (u > 1).float()
            v = u * (1 - s)
            s_rows.append(s.numpy().astype(np.uint8))
            v_rows.append(v.numpy().copy())
    return np.stack(s_rows), np.stack(v_rows)


@pytest.mark.parametrize(("make", "name", "port"), [(hidden, "1", "input"), (Explicit, "lif", "x")])
def test_hidden_and_explicit_membranes_are_recorded_alike(
    make: Callable[[nn.Linear], nn.Module], name: str, port: str
) -> None:
    layer = linear()
    network = make(layer).eval()
    trace = run_torch(network, trace_network(network), {port: spikes()})
    s, v = by_hand(layer, spikes())
    assert np.array_equal(trace[name].s, s) and np.array_equal(trace[name].v, v)
    assert 0 < s.mean() < 1 and trace[name].s.dtype == np.uint8


def test_every_run_starts_at_rest_and_leaves_no_hook() -> None:
    network = mixed_network()
    traced, inputs = trace_network(network), mixed_inputs(num_steps=9, batch=2)
    first, second = (run_torch(network, traced, inputs) for _ in range(2))
    for name in first:
        assert np.array_equal(first[name].v, second[name].v) and first[name].s.any(), name
    assert not any(module._forward_hooks for module in network.modules())


def test_hooks_are_removed_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    network = mixed_network()
    traced = trace_network(network)

    def failing(*arguments: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(network.fc3, "forward", failing)
    with pytest.raises(RuntimeError, match="no memory"):
        run_torch(network, traced, mixed_inputs(num_steps=3, batch=1))
    assert not any(module._forward_hooks for module in network.modules())


def test_inputs_are_checked() -> None:
    network = mixed_network()
    with pytest.raises(InputDataError, match="allowed are exactly"):
        run_torch(network, trace_network(network), {"context": mixed_inputs()["context"]})


class Chip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(NUM_INPUTS, 24, bias=False), dynamic_neurons(NUM_INPUTS)
        with torch.no_grad():
            self.fc.weight *= 3

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"motion": self.lif(self.fc(x), population=x, context=context)}


class Encode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 4)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.fc(features), features.mean(dim=1)


class Head(nn.Module):
    """Keeps what it was given, so that a test can look at it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(24 + 5, 2)
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, rate: torch.Tensor, scene: torch.Tensor) -> tuple[torch.Tensor]:
        self.seen.append((rate, scene))
        return (self.fc(torch.cat([rate, scene], dim=1)),)


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.chip, self.head = Encode(), Chip(), Head()


def whole() -> Deployment:
    module = Whole().eval()
    before = HostSegment("encode", module.encode, ("features",), ("context", "scene"), "before")
    after = HostSegment("head", module.head, ("motion_rate", "scene"), ("answer",), "after")
    return Deployment(module, module.chip, (before, after))


def arrays() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        "x": (rng.random((BATCH, NUM_STEPS, NUM_INPUTS)) < 0.3).astype(np.uint8),
        "features": rng.normal(0, 1, (BATCH, NUM_STEPS, 5)).astype(np.float32),
    }


def test_a_runner_runs_the_whole_deployment_and_counts_its_products() -> None:
    deployment, given = whole(), arrays()
    run, flop = make_runner(deployment, given, "cpu")
    per_step = NUM_INPUTS * 24 + 5 * 4  # synapses and encoder; torch counts no matrix × vector, so no controller
    assert flop == 2 * BATCH * (NUM_STEPS * per_step + (24 + 5) * 2)
    head = deployment.module.head
    assert isinstance(head, Head) and len(head.seen) == 1, "once to count"
    run()
    run()
    assert len(head.seen) == 3

    with torch.no_grad():
        context, scene = deployment.hosts[0].module(torch.from_numpy(given["features"]))
    graded = quantize_context(context.numpy())
    inputs = {"x": given["x"].transpose(1, 0, 2), "context": graded.transpose(1, 0, 2)}
    trace = run_torch(deployment.chip, trace_network(deployment.chip), inputs)
    rate = trace["lif"].s.sum(axis=0).astype(np.float32) / np.float32(NUM_STEPS)
    assert 0 < rate.mean() < 1
    for seen_rate, seen_scene in head.seen:
        assert np.array_equal(seen_rate.numpy(), rate) and torch.equal(seen_scene, scene)


def test_a_runner_of_a_plain_network() -> None:
    network = hidden(linear()).eval()
    given = {"input": spikes().transpose(1, 0, 2)}
    run, flop = make_runner(Deployment(network, network), given, "cpu")
    assert flop == 2 * BATCH * NUM_STEPS * 8 * 6
    calls: list[int] = []
    network[0].register_forward_hook(lambda *_: calls.append(1))  # type: ignore[index]
    run()
    assert len(calls) == NUM_STEPS


def test_a_runner_of_explicit_membranes() -> None:
    network = Explicit(linear()).eval()
    run, flop = make_runner(Deployment(network, network), {"x": spikes().transpose(1, 0, 2)}, "cpu")
    assert flop == 2 * BATCH * NUM_STEPS * 8 * 6
    run()
    assert not torch.equal(network.lif.mem, torch.zeros(BATCH, 6))
