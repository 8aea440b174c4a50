"""Ways in which people write forward: read exactly, or refused with what to write instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import utils
from torch import nn

from export.errors import ExportError
from export.reader import read_network, trace_network

from .carried import assert_carried, read, spikes

N, INPUTS = 12, 10
Forward = Callable[..., object]


class Network(nn.Module):
    def __init__(self, forward: Forward, explicit: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc1, self.fc2, self.fc3 = nn.Linear(INPUTS, N), nn.Linear(N, N), nn.Linear(N, N)
        self.lif1, self.lif2, self.lif3 = (snn.Leaky(b, init_hidden=not explicit) for b in (0.8, 0.7, 0.9))
        self.drop = nn.Dropout(0.5)
        self.kept: object = 0.0
        self.register_buffer("count", torch.zeros(1))
        self.way = forward
        with torch.no_grad():
            for layer in (self.fc1, self.fc2, self.fc3):
                layer.weight *= 3

    def forward(self, x: torch.Tensor) -> object:
        return self.way(self, x)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))


def preallocated(n: Network, x: torch.Tensor) -> torch.Tensor:
    rec = torch.zeros(x.shape[0], x.shape[1], N)
    for t in range(x.shape[0]):
        rec[t] = n.step(x[t])
    return rec


def preallocated_batch_first(n: Network, x: torch.Tensor) -> torch.Tensor:
    rec = x.new_zeros(x.shape[0], x.shape[1], N)
    for t in range(x.shape[1]):
        rec[:, t] = n.step(x[:, t])
    return rec


def counted_in_place(n: Network, x: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(x.shape[1], N)
    for step in x:
        total += n.step(step)
    return total


def reset_before_the_loop(n: Network, x: torch.Tensor) -> torch.Tensor:
    utils.reset(n)
    return torch.stack([n.step(step) for step in x])


def five_steps_late(n: Network, x: torch.Tensor) -> torch.Tensor:
    queue, out = [torch.zeros(x.shape[1], N)] * 5, []
    for step in x:
        first = n.lif1(n.fc1(step))
        out.append(n.lif2(n.fc2(first) + n.fc3(queue[0])))
        queue = [*queue[1:], first]
    return torch.stack(out)


CARRIED: dict[str, Forward] = {
    "split over time": lambda n, x: torch.stack([n.step(c.squeeze(0)) for c in torch.split(x, 1, dim=0)]),
    "chunks over time": lambda n, x: torch.stack([n.step(c[0]) for c in x.chunk(x.shape[0])]),
    "permuted": lambda n, x: torch.stack([n.step(step) for step in x.permute(1, 0, 2)]),
    "transposed": lambda n, x: torch.stack([n.step(step) for step in x.transpose(0, 1)], dim=1),
    "ellipsis": lambda n, x: torch.stack([n.step(x[t, ...]) for t in range(len(x))]),
    "parts of a step": lambda n, x: torch.stack([
        n.step(torch.cat([x[t, :, 5:], x[t, :, :5]], -1)) for t in range(len(x))
    ]),
    "preallocated": preallocated,
    "preallocated, batch first": preallocated_batch_first,
    "counted in place": counted_in_place,
    "reset before the loop": reset_before_the_loop,
    "five steps late": five_steps_late,
    "bool and": lambda n, x: n.lif2(n.fc2(((n.lif1(n.fc1(x)) > 0) & (n.lif3(n.fc1(x)).bool())).float())),
    "not": lambda n, x: n.lif2(n.fc2((~(n.lif1(n.fc1(x)) > 0)).float())),
    "constant, then sum": lambda n, x: n.lif2((n.fc2(n.lif1(n.fc1(x))) + 0.137) + n.fc1(x)),
    "constant, then factor": lambda n, x: n.lif2(n.fc2(n.lif1((n.fc1(x) + 0.1) * 0.3))),
    "sum in brackets": lambda n, x: n.lif1(n.fc1(x) + (n.fc1(2 * x) + n.fc1(0.3 * x))),
    "threshold of a shifted current": lambda n, x: n.lif2(n.fc2(((n.fc1(x) + 0.1) > 0.3).float())),
    "zero padding": lambda n, x: n.lif2(n.fc2(F.pad(n.lif1(n.fc1(x))[:, :10], (1, 1)))),
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIED)
def test_read_exactly(name: str) -> None:
    graph = assert_carried(Network(CARRIED[name]), {"x": spikes(INPUTS)})
    assert graph.inputs()["x"].shape == (INPUTS,)


def traced_by_hand(n: Network, x: torch.Tensor) -> object:
    n.kept = 0.9 * n.kept + n.lif1(n.fc1(x))  # type: ignore[operator]
    return n.lif2(n.fc2(n.kept))


def trace_in_the_loop(n: Network, x: torch.Tensor) -> object:
    trace, out = torch.zeros(x.shape[1], N), []
    for step in x:
        trace = 0.9 * trace + n.lif1(n.fc1(step))
        out.append(n.lif2(n.fc2(trace)))
    return torch.stack(out)


def threshold_after_the_call(n: Network, x: torch.Tensor) -> object:
    first = n.lif1(n.fc1(x))
    n.lif1.threshold = 1 + 0.5 * first
    return n.lif2(n.fc2(first))


def counter(n: Network, x: torch.Tensor) -> object:
    n.count += 1
    return n.lif2(n.fc2(n.lif1(n.fc1(x))) + 0.01 * n.count)


def later_steps_louder(n: Network, x: torch.Tensor) -> object:
    return torch.stack([n.step(x[t] * (1 if t < 5 else 2)) for t in range(len(x))])


def reset_in_a_step(n: Network, x: torch.Tensor) -> object:
    utils.reset(n)
    return n.step(x)


def membrane_taken(n: Network, x: torch.Tensor) -> object:
    first = n.lif1(n.fc1(x))
    return n.lif2(n.fc2(first) + n.fc3(n.lif1.mem))


def membrane_halved(n: Network, x: torch.Tensor) -> object:
    first = n.lif1(n.fc1(x))
    n.lif1.mem = n.lif1.mem * 0.5
    return n.lif2(n.fc2(first))


def part_assigned(n: Network, x: torch.Tensor) -> object:
    current = n.fc1(x)
    current[:, :3] = 0
    return n.lif1(current)


def filled(n: Network, x: torch.Tensor) -> object:
    first, copy = n.lif1(n.fc1(x)), torch.zeros(len(x), N)
    copy.copy_(first)
    return n.lif2(n.fc2(copy) + first)


def view_changed(n: Network, x: torch.Tensor) -> object:
    current = n.fc1(x)
    view = current.view(len(x), N)
    current += 1.0
    return n.lif1(view)


def written_out(n: Network, x: torch.Tensor) -> object:
    out = torch.zeros(len(x), N)
    torch.mul(n.fc1(x), 2.0, out=out)
    return n.lif1(n.fc1(x) + out)


def dropping(n: Network, x: torch.Tensor) -> object:
    n.drop.train()
    return n.lif1(n.drop(n.fc1(x)))


def from_the_batch(n: Network, x: torch.Tensor) -> object:
    return n.lif1(n.fc1(x) * len(x))


REFUSED: list[tuple[Forward, str]] = [
    (traced_by_hand, "uses a value of an earlier call of forward, kept in an attribute"),
    (trace_in_the_loop, "is something else when forward runs again"),
    (threshold_after_the_call, "assigns 'threshold' after the layer's last call"),
    (counter, "is something else when forward runs again"),
    (lambda n, x: n.lif1(n.fc1(x) + 0.1 * torch.randn(N)), "is something else when forward runs again"),
    (later_steps_louder, "step 0 computes something else than step 11"),
    (from_the_batch, "is something else when forward runs again, on another batch"),
    (lambda n, x: torch.stack([n.step(x[t]) for t in range(len(x) - 1)]), "computes 2 of 3 steps of its input"),
    (lambda n, x: torch.stack([n.step(x[t]) for t in range(min(10, len(x)))]), "computes 10 of 12 steps"),
    (lambda n, x: torch.stack([n.step(c) for c in n.fc1(x)[:, :, :10]]), "is used as a whole sequence"),
    (reset_in_a_step, "forward changes its 'mem' between two steps"),
    (membrane_taken, "its membrane is used as a value"),
    (membrane_halved, "forward sets its 'mem'"),
    (lambda n, x: n.lif2(n.fc2(n.lif1.forward(n.fc1(x)))), r"or calls its forward\(\)"),
    (part_assigned, "assigns to a part of a tensor"),
    (filled, "changed in place since"),
    (view_changed, "changed in place since"),
    (written_out, "mul writes to out="),
    (dropping, "forward puts it into training mode"),
    (lambda n, x: n.lif1(n.fc1(x) / 3), "divides by other constants than powers of two"),
    (lambda n, x: n.lif1(n.fc1(x) - n.fc1(x).mean(1, keepdim=True)), "divides by 12"),
    (lambda n, x: n.lif1(F.pad(n.fc1(x)[:, 2:], (1, 1), value=1.0)), "puts in values other than zero"),
    (lambda n, x: n.lif1(n.fc1(x) + n.fc1(x)[n.fc1(x) > 0].sum()), "takes its places from a signal"),
    (lambda n, x: n.lif1(torch.logical_and(n.fc1(x), n.fc1(x)).float()), r"not spikes, allowed are spikes \(AND\)"),
    (lambda n, x: n.lif2(n.fc2(((n.lif1(n.fc1(x)) > 0) + (n.lif3(n.fc1(x)) > 0)).float())), "torch makes OR"),
    (lambda n, x: n.lif1(n.fc1(x.double().float())), "double computes in float64"),
    (lambda n, x: [n.lif1(n.fc1(x)), n.lif2(n.fc1(x))], "is a list of 2 tensors in 1 steps"),
]


@pytest.mark.parametrize(("forward", "message"), REFUSED)
def test_refused_with_the_reason(forward: Forward, message: str) -> None:
    network = Network(forward)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ExportError, match=message) as caught:
        read(network, {"x": spikes(INPUTS)})
    assert "\n" not in str(caught.value)
    assert network.kept == 0.0
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_step_that_always_starts_from_rest_is_refused() -> None:
    network = Network(lambda n, x: n.lif1(n.fc1(x), n.lif1.reset_mem())[0], explicit=True)
    with pytest.raises(ExportError, match="starts from rest in every call"):
        read(network, {"x": spikes(INPUTS)})


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (nn.DataParallel, r"wrapped in DataParallel.*network\.module"),
        (torch.compile, r"torch\.compile; pass the network itself"),
        (lambda network: network.double(), r"parameter 0.weight: is float64.*network\.float\(\)"),
        (lambda network: nn.Sequential(torch.jit.script(network[0]), network[1]), "module 0: is compiled by torch.jit"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrapped_networks_are_refused(wrap: Callable[[nn.Module], nn.Module], message: str) -> None:
    network = nn.Sequential(nn.Linear(INPUTS, N), snn.Leaky(0.8, init_hidden=True))
    with pytest.raises(ExportError, match=message):
        read_network(wrap(network))


def test_a_surrogate_that_does_not_spike_is_refused() -> None:
    network = nn.Sequential(nn.Linear(INPUTS, N), snn.Leaky(0.8, init_hidden=True, spike_grad=torch.sigmoid))
    with pytest.raises(ExportError, match="spike_grad does not spike where U > threshold"):
        trace_network(network)


def test_a_forward_that_changes_its_weights_is_refused() -> None:
    def decaying(n: Network, x: torch.Tensor) -> object:
        n.fc1.weight.data.mul_(0.99)
        return n.lif1(n.fc1(x))

    with pytest.raises(ExportError, match=r"parameter fc1\.weight: is changed by forward"):
        read(Network(decaying), {"x": spikes(INPUTS)})
