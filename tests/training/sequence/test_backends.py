"""Which backend runs, that all of them agree, and that none but torch is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import snntorch as snn
import torch

from training.errors import TrainingError
from training.sequence import backends
from training.sequence.leaky import leaky_sequence

from .gradients import CPU, gradients, on_every_backend, parameters, spikes_some, use


def results(reset: str) -> list[torch.Tensor]:
    """Values and gradients of a layer whose β and θ are learned."""
    torch.manual_seed(2)
    neuron = snn.Leaky(
        0.6 + 0.3 * torch.rand(11), threshold=0.8 + 0.1 * torch.rand(11), learn_beta=True, learn_threshold=True,
        reset_mechanism=reset,
    )  # fmt: skip
    current, mem = torch.randn(23, 3, 11, requires_grad=True), torch.randn(3, 11, requires_grad=True)
    weights = [torch.randn(23, 3, 11), torch.randn(23, 3, 11)]
    values = leaky_sequence(neuron, current, mem)
    assert spikes_some(values[0].detach())
    leaves = [current, mem, *parameters(neuron)]
    return [*values, *gradients(lambda: leaky_sequence(neuron, current, mem), weights, leaves)]


@on_every_backend
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_all_backends_give_the_same_bits(backend: str, reset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over samples and steps included: they are torch's in every backend."""
    use("eager", monkeypatch)
    expected = results(reset)
    use(backend, monkeypatch)
    assert all(torch.equal(one, other) for one, other in zip(expected, results(reset), strict=True))
    assert all(torch.equal(one, other) for one, other in zip(results(reset), results(reset), strict=True))


def test_numba_is_chosen_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(backends.VARIABLE, raising=False)
    from training.sequence import eager, kernels

    assert backends.available(CPU)[0] == "numba" and backends.choose_loops(CPU) is kernels
    use("eager", monkeypatch)
    assert backends.choose_loops(CPU) is eager


@pytest.mark.parametrize(("installed", "names"), [(object(), ("compiled", "eager")), (None, ("eager",))])
def test_gpus_compile_where_triton_is(
    installed: object, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: installed if name == "triton" else None)
    assert backends.available(torch.device("cuda")) == names


def test_a_backend_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    use("abacus", monkeypatch)
    with pytest.raises(TrainingError, match="AXONPORT_LIF_BACKEND is 'abacus', available on cpu are numba,"):
        leaky_sequence(snn.Leaky(0.9), torch.ones(2, 1, 3))


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import torch
from tests.training.sequence.test_backends import results
from training.sequence import backends
assert "numba" not in backends.available(torch.device("cpu")), backends.available(torch.device("cpu"))
torch.save(results("subtract"), sys.argv[1])
"""


def test_without_numba_results_are_the_same(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != backends.VARIABLE}
    saved = tmp_path / "results.pt"
    command = [sys.executable, "-c", WITHOUT_NUMBA, str(saved)]
    subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[3], timeout=120)
    for here, there in zip(results("subtract"), torch.load(saved, weights_only=True), strict=True):
        assert torch.equal(here, there)
