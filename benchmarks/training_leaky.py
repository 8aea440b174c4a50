"""A training step of Linear and `Leaky` layers: snnTorch's loop over time beside whole sequences, forward and backward.

The loop is that of snnTorch's tutorials (weights, then neuron, per layer and step); `run_sequence` does the same layer
by layer. Both have the same weights and inputs; with ReLUs in place of neurons one sees what no neuron can go below.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import snntorch as snn
import torch
from torch import nn

from training.sequence.backends import available
from training.sequence.network import run_sequence

from .comparison import Comparison, Skipped, interleave

INPUT_RATE = 0.1
STEPS_PER_TURN = 5
"""Training steps of one figure, which is their median; one more before them warms caches and allocators up."""
GRADIENTS_AGREE = 1e-4
"""Largest difference of two gradients, relative to the largest entry: far above what reordered sums do to float32."""


@dataclass(frozen=True)
class Case:
    """Sizes of the work."""

    widths: tuple[int, int, int]
    num_steps: int
    batch: int


SMALL = Case((64, 128, 10), num_steps=100, batch=32)
LARGE = Case((784, 512, 10), num_steps=25, batch=128)


@dataclass(frozen=True)
class _Task:
    net: nn.Sequential
    inputs_TBN: torch.Tensor
    labels: torch.Tensor

    def loss(self, spikes_TBN: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of spike rates; of counts it would saturate, and denormal gradients are slow."""
        return nn.functional.cross_entropy(spikes_TBN.mean(dim=0), self.labels)

    def loop(self) -> torch.Tensor:
        linear_1, leaky_1, linear_2, leaky_2 = self.net
        assert isinstance(leaky_1, snn.Leaky) and isinstance(leaky_2, snn.Leaky)
        mem_1, mem_2, spikes = leaky_1.reset_mem(), leaky_2.reset_mem(), []
        for step in self.inputs_TBN:
            hidden, mem_1 = leaky_1(linear_1(step), mem_1)
            spk, mem_2 = leaky_2(linear_2(hidden), mem_2)
            spikes.append(spk)
        return torch.stack(spikes)

    def sequence(self) -> torch.Tensor:
        spikes, _ = run_sequence(self.net, self.inputs_TBN)
        return spikes

    def without_neurons(self) -> torch.Tensor:
        linear_1, _, linear_2, _ = self.net
        counts: torch.Tensor = linear_2(linear_1(self.inputs_TBN).relu()).relu()
        return counts


def compare(quick: bool, rounds: int, case: Case, device: str = "cpu") -> Comparison:
    """Time a step of each, on one device.

    Raises:
        Skipped: the device is not here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise Skipped("there is no CUDA device")
    if quick:
        case = Case(case.widths, num_steps=5, batch=8)
    task = _task(case, torch.device(device))
    ours = f"run_sequence, {available(torch.device(device))[0]}"
    forwards = {"snnTorch loop": task.loop, ours: task.sequence, "weights and ReLU only": task.without_neurons}
    contenders = {name: timed_step(task.net, forward, task.loss) for name, forward in forwards.items()}
    return Comparison(
        title=f"One training step, {'-'.join(map(str, case.widths))}, {device}",
        unit="ms per step",
        baseline="snnTorch loop",
        figures=interleave("training step", contenders, rounds),
        settings={"batch": case.batch, "time steps": case.num_steps, "steps per turn": STEPS_PER_TURN},
        check=_check(task),
    )


def timed_step(
    net: nn.Module, forward: Callable[[], torch.Tensor], loss: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[], float]:
    """Return what runs a turn of forward and backward passes, and gives the median of their times, ms."""
    on_gpu = next(net.parameters()).is_cuda

    def one() -> float:
        net.zero_grad()
        start_s = time.perf_counter()
        loss(forward()).backward()
        if on_gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() - start_s) * 1e3

    def turn() -> float:
        one()
        return statistics.median(one() for _ in range(STEPS_PER_TURN))

    return turn


def _task(case: Case, device: torch.device) -> _Task:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for fan_in, width in zip(case.widths[:-1], case.widths[1:], strict=True):
        linear = nn.Linear(fan_in, width)
        nn.init.normal_(linear.weight, std=(fan_in * INPUT_RATE) ** -0.5)  # a membrane of about unit variance
        layers += [linear, snn.Leaky(beta=0.9)]
    inputs = (torch.rand(case.num_steps, case.batch, case.widths[0]) < INPUT_RATE).float()
    labels = torch.randint(case.widths[-1], (case.batch,))
    return _Task(nn.Sequential(*layers).to(device), inputs.to(device), labels.to(device))


def _check(task: _Task) -> str:
    """Compare spikes, losses and gradients of both."""
    by_loop, at_once = task.loop(), task.sequence()
    rate = float(by_loop.detach().mean())
    if not 0.0 < rate < 1.0:
        raise AssertionError(f"spike rate {rate}: nothing is compared")
    differing = int((by_loop != at_once).sum())
    losses = [task.loss(spikes) for spikes in (by_loop, at_once)]
    expected, found = (torch.autograd.grad(loss, list(task.net.parameters())) for loss in losses)
    apart = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(expected, found, strict=True))
    if differing == 0 and apart > GRADIENTS_AGREE:
        raise AssertionError(f"gradients differ by {apart:.1e} of their largest")
    return (
        f"Output spike rate {100 * rate:.1f} %, {differing} of {by_loop.numel()} spikes differ; losses "
        f"{losses[0]:.6f} and {losses[1]:.6f}; gradients differ by at most {apart:.0e} of the largest."
    )
