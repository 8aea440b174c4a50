"""The loops over time compiled for the CPU (Numba), one thread, float32 or float64.

Operations come one by one in the order of `eager`, without contraction, so that both give the same bits. Each row (one
sample, one step) is gone over in short loops free of branches, which are vectorised and stay in the first cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from export.trace import Array
from hardware_profiles.compiling import compiled

from .scan import Neurons, Reset
from .surrogates import Surrogate, arctangent_slope, through_surrogate

ZERO, SUBTRACT = int(Reset.ZERO), int(Reset.SUBTRACT)


def forward(current_TBN: torch.Tensor, neurons: Neurons) -> tuple[torch.Tensor, torch.Tensor]:
    """See `scan.Loops.forward`."""
    spikes, membranes = torch.empty_like(current_TBN), torch.empty_like(current_TBN)
    beta = neurons.beta.expand(current_TBN.shape[2]).contiguous()
    arrays = _arrays(current_TBN, neurons.theta, beta, neurons.membrane, neurons.owed, spikes, membranes)
    _step_through(int(neurons.reset), *arrays)
    return spikes, membranes


def surrogate(
    spike_grad: Surrogate, membranes_TBN: torch.Tensor, theta: torch.Tensor, gradient_TBN: torch.Tensor
) -> torch.Tensor:
    """See `scan.Loops.surrogate`."""
    alpha = arctangent_slope(spike_grad)
    if alpha is None:
        return through_surrogate(spike_grad, membranes_TBN - theta, gradient_TBN)
    h_TBN = torch.empty_like(gradient_TBN)
    arrays = _arrays(membranes_TBN, theta, gradient_TBN, h_TBN)
    number = arrays[0].dtype.type
    _through_arctangent(number(math.pi / 2 * alpha), number(alpha / 2), *arrays)
    return h_TBN


def backward(
    h_TBN: torch.Tensor, membranes_gradient_TBN: torch.Tensor | None, spikes_TBN: torch.Tensor, neurons: Neurons
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `scan.Loops.backward`."""
    gradients, carried = torch.empty_like(h_TBN), torch.zeros_like(neurons.membrane)
    beta = neurons.beta.expand(h_TBN.shape[2]).contiguous()
    of_membranes = h_TBN.new_empty(0, *h_TBN.shape[1:]) if membranes_gradient_TBN is None else membranes_gradient_TBN
    arrays = _arrays(h_TBN, of_membranes, spikes_TBN, neurons.owed, beta, gradients, carried)
    _step_back(int(neurons.reset), *arrays)
    return gradients, carried


def _arrays(*tensors: torch.Tensor) -> tuple[Array, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


@compiled
def _height(theta: Array, t: int, b: int, row: Array) -> Array:
    """Return θ of one sample and step, for each neuron."""
    found: Array = theta[t if theta.shape[0] > 1 else 0, b if theta.shape[1] > 1 else 0]
    if len(found) == len(row):
        return found
    row[:] = found[0]
    return row


@compiled
def _step_through(
    reset: int, current: Array, theta: Array, beta: Array, membrane: Array, owed: Array, spikes: Array, membranes: Array
) -> None:
    num_steps, batch, width = current.shape
    one, zero = current.dtype.type(1), current.dtype.type(0)
    row = np.empty(width, current.dtype)
    for t in range(num_steps):
        for b in range(batch):
            height = _height(theta, t, b, row)
            before, fired = (membranes[t - 1, b], spikes[t - 1, b]) if t else (membrane[b], owed[b])
            now, fires, charge = membranes[t, b], spikes[t, b], current[t, b]
            if reset == ZERO:
                for j in range(width):
                    now[j] = beta[j] * (before[j] * (one - fired[j])) + charge[j]
            elif reset == SUBTRACT:
                for j in range(width):
                    now[j] = beta[j] * before[j] + charge[j] - fired[j] * height[j]
            else:
                for j in range(width):
                    now[j] = beta[j] * before[j] + charge[j]
            for j in range(width):
                fires[j] = now[j] - height[j] > zero


@compiled
def _through_arctangent(slope: Any, half_alpha: Any, membranes: Array, theta: Array, gradient: Array, h: Array) -> None:
    """H = ∂L/∂S · (α/2) / (1 + (π/2·α·(U − θ))²), rounded as snnTorch's `ATan` rounds it."""
    num_steps, batch, width = membranes.shape
    one = membranes.dtype.type(1)
    row = np.empty(width, membranes.dtype)
    for t in range(num_steps):
        for b in range(batch):
            height = _height(theta, t, b, row)
            now, given, through = membranes[t, b], gradient[t, b], h[t, b]
            for j in range(width):
                scaled = slope * (now[j] - height[j])
                through[j] = one / (one + scaled * scaled) * half_alpha * given[j]


@compiled
def _step_back(
    reset: int, h: Array, of_membranes: Array, spikes: Array, owed: Array, beta: Array, gradients: Array, carried: Array
) -> None:
    num_steps, batch, width = h.shape
    one = h.dtype.type(1)
    for t in range(num_steps - 1, -1, -1):
        for b in range(batch):
            carry, through, gradient = carried[b], h[t, b], gradients[t, b]
            if len(of_membranes):
                given = of_membranes[t, b]
                for j in range(width):
                    carry[j] += given[j]
            for j in range(width):
                gradient[j] = carry[j] + through[j]
            if reset == ZERO:
                fired = spikes[t - 1, b] if t else owed[b]
                for j in range(width):
                    carry[j] = beta[j] * gradient[j] * (one - fired[j])
            else:
                for j in range(width):
                    carry[j] = beta[j] * gradient[j]
