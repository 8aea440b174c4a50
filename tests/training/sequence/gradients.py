"""Gradients of a function of leaves, and what rounding may do to a sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from training.sequence.backends import VARIABLE, available

CPU = torch.device("cpu")
on_every_backend = pytest.mark.parametrize("backend", available(CPU))
UNIT = 2.0**-24
"""Half the distance of float32 values around 1: the relative error of one rounding."""


def gradients(
    outputs: Callable[[], Sequence[torch.Tensor]], weights: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Gradients of Σ outputs·weights; zeros where there is none."""
    found = torch.autograd.grad(list(outputs()), list(leaves), list(weights), allow_unused=True)
    return [torch.zeros_like(leaf) if of_leaf is None else of_leaf for leaf, of_leaf in zip(leaves, found, strict=True)]


def use(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, backend)


def spikes_some(spikes: torch.Tensor) -> bool:
    """Some spike, some do not, and some do so after they have been reset."""
    twice = (spikes.sum(dim=0) > 1).any()
    return bool(twice) and 0.0 < spikes.mean().item() < 0.9


def dyadic(shape: Sequence[int], seed: int, span: int = 32, bits: int = 4) -> torch.Tensor:
    """Multiples of 2^-bits within ±span·2^-bits: few of their sums and products need rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-span, span + 1, tuple(shape), generator=generator) / 2.0**bits


def rounding_bound(terms: torch.Tensor, dim: int | tuple[int, ...]) -> torch.Tensor:
    """How far a float32 sum of products may lie from the sum of these products, whatever the order.

    Each term is rounded once more than `terms` may be, and takes part in fewer additions than there are terms (Higham,
    Accuracy and Stability of Numerical Algorithms, §4.2): γ(n + 1)·Σ|term|.
    """
    total = terms.double().abs().sum(dim)
    count = terms.numel() // total.numel() + 1
    return count * UNIT / (1 - count * UNIT) * total


def parameters(module: nn.Module) -> list[torch.Tensor]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
