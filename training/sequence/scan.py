"""Leaky integrate-and-fire neurons through all time steps, as one differentiable operation.

U[t] = β·U[t−1] + X[t] − R[t]·θ[t]   (subtract), or   β·(U[t−1]·(1 − R[t])) + X[t]   (zero), or without R   (none);
S[t] = 1(U[t] − θ[t] > 0);   R[t] = S[t−1], detached.

With constant θ these are snnTorch's `Leaky` with delayed reset (R[t] = 1(U[t−1] > θ)); with moving θ, "zero" is the
reset of arXiv 2505.19938, V[t] = U[t]·(1 − S[t]). Operations come in snnTorch's order, so that values are equal,
not close. Backward, with h = ∂L/∂S·surrogate'(U − θ) for all steps at once and G the gradient of U:

G[t] = (∂L/∂U[t] + C[t+1]) + h[t];   C[t] = β·G[t]   (times 1 − R[t] for "zero");   ∂L/∂X = G.

Suffixes: T step, B sample, N neuron (any shape of neurons, flat).
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, Protocol

import torch
from torch.autograd.function import once_differentiable

from ..errors import TrainingError
from .surrogates import Surrogate, check_heaviside


class Reset(enum.IntEnum):
    """What a spike does to the next step's membrane; numbers, since compiled loops compare them."""

    NONE = 0
    ZERO = 1
    SUBTRACT = 2


class Neurons(NamedTuple):
    """What a layer is told besides its currents.

    Attributes:
        theta: θ, `[T or 1, B or 1, N or 1]`.
        beta: β, `[N or 1]`.
        membrane: U[−1], `[B, N]`.
        owed: R[0], 0 or 1, `[B, N]`.
        reset: the kind of reset.
    """

    theta: torch.Tensor
    beta: torch.Tensor
    membrane: torch.Tensor
    owed: torch.Tensor
    reset: Reset


class Known(NamedTuple):
    """What the backward loop finds when it starts, `[T, B, N]` each.

    Attributes:
        spikes: S.
        membranes: U.
        of_spikes: ∂L/∂S.
        of_membranes: ∂L/∂U from outside of the loop, None if there is none.
    """

    spikes: torch.Tensor
    membranes: torch.Tensor
    of_spikes: torch.Tensor
    of_membranes: torch.Tensor | None


class Loops(Protocol):
    """The two loops over time of one backend; tensors of one floating type on one device, contiguous."""

    def forward(self, current_TBN: torch.Tensor, neurons: Neurons) -> tuple[torch.Tensor, torch.Tensor]:
        """Return S and U, `[T, B, N]` each."""
        ...

    def backward(
        self, known: Known, neurons: Neurons, spike_grad: Surrogate, wants_h: bool
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """Return h `[T, B, N]` (may be None unless wanted), G `[T, B, N]` and C[0] `[B, N]`."""
        ...


class _Scan(torch.autograd.Function):
    """Forward and backward of the equations above; sums over broadcast θ and β are torch's, whatever the loops."""

    @staticmethod
    def forward(
        ctx: Any, current: torch.Tensor, theta: torch.Tensor, beta: torch.Tensor, membrane: torch.Tensor,
        owed: torch.Tensor, reset: Reset, spike_grad: Surrogate, loops: Loops,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        spikes, membranes = loops.forward(current, Neurons(theta, beta, membrane, owed, reset))
        ctx.save_for_backward(spikes, membranes, theta, beta, membrane, owed)
        ctx.reset, ctx.spike_grad, ctx.loops = reset, spike_grad, loops
        ctx.set_materialize_grads(False)
        return spikes, membranes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_spikes: torch.Tensor | None, of_membranes: torch.Tensor | None) -> Any:
        spikes, membranes, theta, beta, membrane, owed = ctx.saved_tensors
        neurons = Neurons(theta, beta, membrane, owed, ctx.reset)
        of_spikes = torch.zeros_like(spikes) if of_spikes is None else of_spikes.contiguous()
        of_membranes = None if of_membranes is None else of_membranes.contiguous()
        _, of_theta, of_beta, *_ = ctx.needs_input_grad
        known = Known(spikes, membranes, of_spikes, of_membranes)
        h, gradient, carried = ctx.loops.backward(known, neurons, ctx.spike_grad, of_theta)
        theta_gradient = _theta_gradient(h, gradient, spikes, neurons) if of_theta else None
        beta_gradient = _beta_gradient(gradient, spikes, membranes, neurons) if of_beta else None
        return gradient, theta_gradient, beta_gradient, carried, None, None, None, None


def _theta_gradient(h: torch.Tensor, gradient: torch.Tensor, spikes: torch.Tensor, neurons: Neurons) -> torch.Tensor:
    if neurons.reset is Reset.SUBTRACT:
        h = h + _before(neurons.owed, spikes) * gradient
    return -h.sum_to_size(neurons.theta.shape)


def _beta_gradient(
    gradient: torch.Tensor, spikes: torch.Tensor, membranes: torch.Tensor, neurons: Neurons
) -> torch.Tensor:
    leaking = _before(neurons.membrane, membranes)
    if neurons.reset is Reset.ZERO:
        leaking = leaking * (1 - _before(neurons.owed, spikes))
    return (gradient * leaking).sum_to_size(neurons.beta.shape)


def _before(first: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Values one step earlier."""
    return torch.cat([first[None], values])[:-1]


def flat(current: torch.Tensor) -> torch.Tensor:
    """Return currents `[T, B, *neurons]` as the `[T, B, N]` that `scan` takes; half precisions become float32.

    Raises:
        TrainingError: there are no such dimensions, or no floats.
    """
    if current.dim() < 3 or not current.is_floating_point():
        raise TrainingError(
            f"currents of shape {list(current.shape)} and type {current.dtype}: allowed are floats [T, B, *neurons]; "
            "stack the steps along the first dimension"
        )
    return (current if current.dtype == torch.float64 else current.float()).flatten(2)


def scan(
    current_TBN: torch.Tensor, neurons: Neurons, spike_grad: Surrogate, loops: Loops
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a layer through all steps.

    Args:
        current_TBN: currents X, float32 or float64 `[T, B, N]`; one T and B at least 1.
        neurons: thresholds, leaks, state and reset, of the same type and device.
        spike_grad: surrogate of snnTorch, or any callable that spikes where its argument is above 0.
        loops: the backend, see `backends.choose_loops`.

    Returns:
        S and U, `[T, B, N]` each. Gradients flow into currents, θ, β and U[−1], once (not twice differentiable).
    """
    theta, beta, membrane, owed, reset = neurons
    shape = current_TBN.shape
    if theta.numel() == beta.numel() == 1:  # all neurons are alike: one long row instead of B short ones
        current_TBN, membrane, owed = current_TBN.flatten(1)[:, None], membrane.reshape(1, -1), owed.reshape(1, -1)
    spikes, membranes = _Scan.apply(
        current_TBN.contiguous(), theta.contiguous(), beta.contiguous(), membrane.contiguous(), owed.contiguous(),
        reset, spike_grad, loops,
    )  # fmt: skip
    spikes, membranes = spikes.view(shape), membranes.view(shape)
    check_heaviside(spike_grad, membranes, theta, spikes)
    return spikes, membranes
