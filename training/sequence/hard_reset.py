"""Neurons with a threshold per sample and step and a hard reset: what `DynamicThresholdLIF` does, all steps at once."""

from __future__ import annotations

import torch

from .backends import choose_loops
from .scan import Neurons, Reset, flat, scan
from .surrogates import Surrogate


def hard_reset_sequence(
    current_TBN: torch.Tensor,
    theta_TB1: torch.Tensor,
    beta: torch.Tensor,
    mem: torch.Tensor | None = None,
    *,
    spike_grad: Surrogate,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes and membranes of all steps; bit-equal to the steps one by one, for equal currents.

    U[t] = β V[t−1] + X[t];  S[t] = 1(U[t] > θ[t]);  V[t] = U[t] (1 − S[t])   (arXiv 2505.19938, Fig. 3); the reset is
    detached, as in snnTorch.

    Args:
        current_TBN: X, `[T, B, *neurons]`; half precisions are computed in float32.
        theta_TB1: θ, `[T, B, 1]`: one value per sample and step, or `[1, 1, 1]`: a constant.
        beta: β, one value.
        mem: V[−1], `[B, *neurons]`, zero if None.
        spike_grad: surrogate gradient.

    Returns:
        S and V, `[T, B, *neurons]` each. Gradients flow into currents, θ, β and V[−1].
    """
    spikes, before_reset = hard_reset_scan(current_TBN, theta_TB1, beta, mem, spike_grad=spike_grad)
    return spikes, before_reset * (1 - spikes.detach())


def hard_reset_scan(
    current_TBN: torch.Tensor,
    theta_TB1: torch.Tensor,
    beta: torch.Tensor,
    mem: torch.Tensor | None = None,
    *,
    spike_grad: Surrogate,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return S and U, the membranes before their reset, of `hard_reset_sequence`."""
    current = flat(current_TBN)
    state = torch.zeros_like(current[0]) if mem is None else mem.to(current.dtype).flatten(1)
    neurons = Neurons(
        theta_TB1.to(current.dtype), beta.to(current.dtype).reshape(1), state, torch.zeros_like(state), Reset.ZERO
    )
    spikes, membranes = scan(current, neurons, spike_grad, choose_loops(current.device))
    return spikes.view(current_TBN.shape), membranes.view(current_TBN.shape)
