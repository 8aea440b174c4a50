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
    for leaf in leaves:
        leaf.grad = None
    torch.autograd.backward(list(outputs()), list(weights))
    return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]


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


def parameters(module: nn.Module) -> list[torch.Tensor]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
