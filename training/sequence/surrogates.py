"""Surrogate gradients of all steps at once.

A spike's gradient comes from its output alone, since resets are detached: ∂L/∂S[t] is known for all t before the loop
over time runs backward, and a surrogate is evaluated once instead of once per step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from snntorch import surrogate

from ..errors import TrainingError

Surrogate = Callable[[torch.Tensor], torch.Tensor]
"""U − θ to spikes, with a derivative of its own."""


def through_surrogate(spike_grad: Surrogate, distance: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return ∂L/∂(U − θ), as `spike_grad` computes it from the gradient of its spikes.

    Args:
        spike_grad: the surrogate.
        distance: U − θ, of any shape.
        gradient: ∂L/∂S of that shape.
    """
    with torch.enable_grad():
        distance = distance.detach().requires_grad_()
        spikes = spike_grad(distance)
        if not spikes.requires_grad:  # snnTorch's surrogate_disable
            return torch.zeros_like(distance)
        (through,) = torch.autograd.grad(spikes, distance, gradient)
    return through


def arctangent_slope(spike_grad: Surrogate) -> float | None:
    """Return α of snnTorch's arctangent, its default, which the kernels know; None for another surrogate."""
    if getattr(spike_grad, "__code__", None) is not surrogate.atan().__code__:
        return None
    (alpha,) = inspect.getclosurevars(spike_grad).nonlocals.values()
    return float(alpha) if isinstance(alpha, (int, float)) else None


@torch.no_grad()
def check_heaviside(spike_grad: Surrogate, membranes: torch.Tensor, theta: torch.Tensor, spikes: torch.Tensor) -> None:
    """Refuse a surrogate of the user's own that spikes other than 1(U > θ), which the loops assume.

    Raises:
        TrainingError: it does.
    """
    if getattr(spike_grad, "__module__", "").startswith("snntorch."):  # all of them spike as they should
        return
    if not torch.equal(spike_grad(membranes - theta).to(spikes.dtype), spikes):
        raise TrainingError(
            f"spike_grad {spike_grad!r}: its spikes are not 1 where U > threshold and 0 elsewhere, which whole "
            "sequences need; use a surrogate of snntorch.surrogate, or step through time"
        )
