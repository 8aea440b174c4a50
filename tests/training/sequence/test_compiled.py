"""torch.compile's loops beside the eager ones; meant for GPUs, they also run where there is a C++ compiler."""

from __future__ import annotations

import shutil

import pytest
import torch
from snntorch import surrogate

from training.sequence import eager
from training.sequence.scan import Known, Neurons, Reset

from .gradients import spikes_some

DEVICES = [
    pytest.param("cpu", marks=pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")),
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reset", [Reset.SUBTRACT, Reset.ZERO])
def test_blocks_of_steps_give_the_same_bits(device: str, reset: Reset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks and two steps that are left over; short blocks compile faster."""
    from training.sequence import compiled  # slow, and it warns

    monkeypatch.setattr(compiled, "BLOCK", 3)
    torch.manual_seed(0)
    shape = (8, 2, 5)
    current, of_spikes, of_membranes = (2 * torch.randn(3, *shape, device=device)).unbind()
    theta = 0.75 + torch.rand(8, 2, 1, device=device) / 2
    beta = torch.rand(5, device=device)
    neurons = Neurons(theta, beta, torch.randn(2, 5, device=device), torch.zeros(2, 5, device=device), reset)
    expected = eager.forward(current, neurons)
    assert spikes_some(expected[0])
    assert all(torch.equal(a, b) for a, b in zip(expected, compiled.forward(current, neurons), strict=True))
    for given in (None, of_membranes):
        known = Known(*expected, of_spikes, given)
        by_step = eager.backward(known, neurons, surrogate.atan(), True)
        in_blocks = compiled.backward(known, neurons, surrogate.atan(), True)
        assert all(torch.equal(a, b) for a, b in zip(by_step, in_blocks, strict=True))
