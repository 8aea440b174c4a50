"""The loops of `eager` compiled by torch.compile, for GPUs: blocks of steps in one kernel each.

Blocks of one length bound the time that compiling takes, whatever T; steps that are left over go through `eager`.
Products and sums are not contracted, so that values are those of `eager`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from . import eager
from .scan import Known, Neurons
from .surrogates import Surrogate, through_surrogate

BLOCK = 16
"""Steps per kernel."""
NO_CONTRACTION: dict[str, str | int | bool | Callable[..., Any]] = {"emulate_precision_casts": True}
"""Inductor's name for leaving Triton's fused multiply-add off."""

_forward = torch.compile(eager.forward, dynamic=True, options=NO_CONTRACTION)
_step_back = torch.compile(eager.step_back, dynamic=True, options=NO_CONTRACTION)


def forward(current_TBN: torch.Tensor, neurons: Neurons) -> tuple[torch.Tensor, torch.Tensor]:
    """See `scan.Loops.forward`."""
    spikes, membranes = torch.empty_like(current_TBN), torch.empty_like(current_TBN)
    for start in range(0, len(current_TBN), BLOCK):
        block = slice(start, start + BLOCK)
        run = _forward if len(current_TBN[block]) == BLOCK else eager.forward
        spikes[block], membranes[block] = run(current_TBN[block], _within(neurons, block))
        neurons = neurons._replace(membrane=membranes[block][-1], owed=spikes[block][-1])
    return spikes, membranes


def backward(
    known: Known, neurons: Neurons, spike_grad: Surrogate, wants_h: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """See `scan.Loops.backward`."""
    h = through_surrogate(spike_grad, known.membranes - neurons.theta, known.of_spikes)
    gradients, carried = torch.empty_like(h), None
    for start in reversed(range(0, len(h), BLOCK)):
        block = slice(start, start + BLOCK)
        of_membranes = torch.zeros_like(h[block]) if known.of_membranes is None else known.of_membranes[block].clone()
        if carried is not None:
            of_membranes[-1] += carried
        run = _step_back if len(h[block]) == BLOCK else eager.step_back
        owed = known.spikes[start - 1] if start else neurons.owed
        gradients[block], carried = run(h[block], of_membranes, known.spikes[block], neurons._replace(owed=owed))
    return h, gradients, torch.zeros_like(neurons.membrane) if carried is None else carried


def _within(neurons: Neurons, block: slice) -> Neurons:
    return neurons._replace(theta=neurons.theta if len(neurons.theta) == 1 else neurons.theta[block])
