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

from .scan import Known, Neurons, Reset
from .surrogates import Surrogate, arctangent_slope, through_surrogate

ZERO, SUBTRACT = int(Reset.ZERO), int(Reset.SUBTRACT)


def forward(current_TBN: torch.Tensor, neurons: Neurons) -> tuple[torch.Tensor, torch.Tensor]:
    """See `scan.Loops.forward`."""
    spikes, membranes = torch.empty_like(current_TBN), torch.empty_like(current_TBN)
    beta = neurons.beta.expand(current_TBN.shape[2]).contiguous()
    arrays = _arrays(current_TBN, neurons.theta, beta, neurons.membrane, neurons.owed, spikes, membranes)
    _step_through(int(neurons.reset), *arrays)
    return spikes, membranes


def backward(
    known: Known, neurons: Neurons, spike_grad: Surrogate, wants_h: bool
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    """See `scan.Loops.backward`."""
    given, alpha = known.of_spikes, arctangent_slope(spike_grad)
    if not alpha or given.dtype == torch.float64:  # snnTorch's spikes, and so their gradients, are float32
        h, alpha = through_surrogate(spike_grad, known.membranes - neurons.theta, given), 0.0
        given = h
    else:
        h = torch.empty_like(given) if wants_h else given.new_empty(0, 0, 0)
    of_membranes = given.new_empty(0, 0, 0) if known.of_membranes is None else known.of_membranes
    gradients, carried = torch.empty_like(given), torch.zeros_like(neurons.membrane)
    beta = neurons.beta.expand(given.shape[2]).contiguous()
    arrays = _arrays(
        given, of_membranes, known.spikes, known.membranes, neurons.theta, neurons.owed, beta, h, gradients, carried
    )
    number = arrays[0].dtype.type
    _step_back(int(neurons.reset), number(math.pi / 2 * alpha), number(alpha / 2), *arrays)
    return h, gradients, carried


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
def _step_back(
    reset: int,
    slope: Any,
    half_alpha: Any,
    given: Array,
    of_membranes: Array,
    spikes: Array,
    membranes: Array,
    theta: Array,
    owed: Array,
    beta: Array,
    h: Array,
    gradients: Array,
    carried: Array,
) -> None:
    """G and C; with a slope, `given` is ∂L/∂S, and h is that through the arctangent, rounded as snnTorch rounds it.

    h = ∂L/∂S · (α/2) / (1 + (π/2·α·(U − θ))²); without a slope, `given` is h itself.
    """
    num_steps, batch, width = given.shape
    one = given.dtype.type(1)
    row, scratch = np.empty(width, given.dtype), np.empty(width, given.dtype)
    for t in range(num_steps - 1, -1, -1):
        for b in range(batch):
            carry, through, gradient = carried[b], given[t, b], gradients[t, b]
            if slope:
                height, now, of_spikes = _height(theta, t, b, row), membranes[t, b], through
                through = h[t, b] if len(h) else scratch
                for j in range(width):
                    scaled = slope * (now[j] - height[j])
                    through[j] = one / (one + scaled * scaled) * half_alpha * of_spikes[j]
            if len(of_membranes):
                from_outside = of_membranes[t, b]
                for j in range(width):
                    carry[j] += from_outside[j]
            for j in range(width):
                gradient[j] = carry[j] + through[j]
            if reset == ZERO:
                fired = spikes[t - 1, b] if t else owed[b]
                for j in range(width):
                    carry[j] = beta[j] * gradient[j] * (one - fired[j])
            else:
                for j in range(width):
                    carry[j] = beta[j] * gradient[j]
