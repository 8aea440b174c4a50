"""The loops over time in plain torch operations: any device, any floating type, no compiler."""

from __future__ import annotations

import torch

from .scan import Known, Neurons, Reset
from .surrogates import Surrogate, through_surrogate


def forward(current_TBN: torch.Tensor, neurons: Neurons) -> tuple[torch.Tensor, torch.Tensor]:
    """See `scan.Loops.forward`."""
    theta, beta, membrane, owed, reset = neurons
    theta = theta.expand(len(current_TBN), -1, -1)
    spikes, membranes = torch.empty_like(current_TBN), torch.empty_like(current_TBN)
    for t, current in enumerate(current_TBN):
        if reset is Reset.ZERO:
            membrane = membrane * (1 - owed)
        membrane = beta * membrane + current
        if reset is Reset.SUBTRACT:
            membrane = membrane - owed * theta[t]
        owed = (membrane - theta[t] > 0).to(current.dtype)
        membranes[t], spikes[t] = membrane, owed
    return spikes, membranes


def backward(
    known: Known, neurons: Neurons, spike_grad: Surrogate, wants_h: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """See `scan.Loops.backward`."""
    h = through_surrogate(spike_grad, known.membranes - neurons.theta, known.of_spikes)
    return h, *step_back(h, known.of_membranes, known.spikes, neurons)


def step_back(
    h_TBN: torch.Tensor, of_membranes: torch.Tensor | None, spikes_TBN: torch.Tensor, neurons: Neurons
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return G `[T, B, N]` and C[0] `[B, N]`."""
    gradients, carried = torch.empty_like(h_TBN), torch.zeros_like(neurons.membrane)
    for t in reversed(range(len(h_TBN))):
        if of_membranes is not None:
            carried = of_membranes[t] + carried
        gradients[t] = carried + h_TBN[t]
        carried = neurons.beta * gradients[t]
        if neurons.reset is Reset.ZERO:
            carried = carried * (1 - (spikes_TBN[t - 1] if t else neurons.owed))
    return gradients, carried
