"""What a simulation runs, compares and writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from export.interpreters.integer_interpreter import run_integer
from export.package import Exported
from export.pipeline import lower
from export.reader import trace_network
from export.trace import Array
from hardware_profiles.activity import read_activity
from hardware_profiles.artifact import read_json
from hardware_profiles.profile import integer_format
from lava_runtime.config import SimulationConfig
from lava_runtime.counts import count_events
from lava_runtime.routing import is_stock_alone
from lava_runtime.simulation import Simulation

from ..networks import mixed_inputs, mixed_network

pytestmark = pytest.mark.lava
NUM_SAMPLES, NUM_STEPS = 5, 12
FUSED = "NumPy integer interpreter = Lava fixed_pt, fused"


def exported(network: nn.Module, folder: Path) -> Exported:
    graph = trace_network(network).graph
    integer = lower(graph, integer_format("loihi2"))
    return Exported(folder=folder, float_graph=graph, integer_graph=integer, hosts=(), factory="tests")


def sample_first(inputs: dict[str, Array]) -> dict[str, Array]:
    return {name: array.transpose(1, 0, 2) for name, array in inputs.items()}


def config(**changes: object) -> SimulationConfig:
    return dataclasses.replace(SimulationConfig(number_formats=("fixed_pt",), process_samples=0), **changes)


def simulate(network: nn.Module, folder: Path, **changes: object) -> tuple[Simulation, list[str]]:
    inputs = sample_first(mixed_inputs(num_steps=NUM_STEPS, batch=NUM_SAMPLES))
    package = exported(network, folder)
    arrays = {name: inputs[name] for name in package.float_graph.inputs()}
    simulation = Simulation(package, arrays, config(**changes), folder, progress=False)
    rungs = simulation.run()
    assert all(rung.holds for rung in rungs)
    return simulation, [rung.name for rung in rungs]


@pytest.fixture(scope="module")
def mixed() -> nn.Module:
    return mixed_network()


def hard_reset_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(32, 10), snn.Leaky(0.9, reset_mechanism="zero", init_hidden=True))
    with torch.no_grad():
        network[0].weight *= 3
    return network.eval()


class OneInput(nn.Module):
    """A hard-reset network that calls its input as the fixtures do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = hard_reset_network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.parametrize("parity_samples", [3, 1024])
def test_all_samples_are_counted_however_many_are_compared(
    mixed: nn.Module, tmp_path: Path, parity_samples: int
) -> None:
    simulation, _ = simulate(mixed, tmp_path, parity_samples=parity_samples, batch_size=2)
    compared = min(parity_samples, NUM_SAMPLES)
    graph = simulation.exported.integer_graph
    for layer in simulation.rungs[0].layers:
        assert layer.compared == compared * NUM_STEPS * layer.num_neurons and layer.spikes > 0
    trace = run_integer(graph, simulation.inputs)
    activity = read_activity(tmp_path / "activity.json")
    assert (activity.num_samples, activity.num_steps) == (NUM_SAMPLES, NUM_STEPS)
    assert activity.layers == count_events(graph, simulation.inputs, trace)
    with h5py.File(tmp_path / "outputs_fixed_pt.h5") as file:
        assert np.array_equal(file["output_0_count"][()], trace["lif4"].s.sum(axis=0))


def test_thresholds_are_summed_up_over_samples(mixed: nn.Module, tmp_path: Path) -> None:
    simulation, _ = simulate(mixed, tmp_path)
    theta = run_integer(simulation.exported.integer_graph, simulation.inputs)["lif1"].theta
    assert theta is not None and len(np.unique(theta)) > 10
    (row,) = read_json(tmp_path / "thresholds.json")["layers"]
    assert row == {
        "name": "lif1",
        "fraction_bits": 8,
        "min": theta.min(axis=1).tolist(),
        "median": np.median(theta, axis=1).tolist(),
        "max": theta.max(axis=1).tolist(),
    }


def test_inputs_are_kept_as_they_were_sent(mixed: nn.Module, tmp_path: Path) -> None:
    """Graded values come as integers out of the file, so that any replay starts from the same numbers."""
    inputs = sample_first(mixed_inputs(num_steps=NUM_STEPS, batch=NUM_SAMPLES))
    floats = inputs | {"context": inputs["context"].astype(np.float32)}
    Simulation(exported(mixed, tmp_path), floats, config(), tmp_path, progress=False)
    with h5py.File(tmp_path / "inputs.h5") as file:
        assert set(file) == {"x", "context"}
        for name, array in inputs.items():
            assert np.array_equal(file[name][()], array) and file[name].dtype == array.dtype


def test_a_network_that_stock_lava_cannot_express_is_not_called_stock(mixed: nn.Module, tmp_path: Path) -> None:
    _, names = simulate(mixed, tmp_path, process_samples=1)
    assert names == [FUSED, "NumPy integer interpreter = Lava fixed_pt, one Process per node"]
    assert not is_stock_alone(exported(mixed, tmp_path).integer_graph)


def test_a_network_that_stock_lava_expresses_is_its_own_witness(tmp_path: Path) -> None:
    simulation, names = simulate(OneInput().eval(), tmp_path, process_samples=2)
    assert names == [FUSED, "NumPy integer interpreter = Lava fixed_pt, one Process per node, all of them stock"]
    assert is_stock_alone(simulation.exported.integer_graph) and is_stock_alone(simulation.exported.float_graph)
    assert read_json(tmp_path / "thresholds.json") == {"layers": []}


class Moving(nn.Module):
    """Dynamic thresholds only: frozen, stock Lava expresses all of it."""

    def __init__(self) -> None:
        super().__init__()
        network = mixed_network()
        self.fc1, self.lif1 = network.fc1, network.lif1

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.lif1(self.fc1(x), population=x, context=context)


@pytest.mark.parametrize(("witness", "expected"), [(True, 3), (False, 2)])
def test_frozen_thresholds_bring_an_independent_witness(tmp_path: Path, witness: bool, expected: int) -> None:
    simulation, names = simulate(Moving().eval(), tmp_path, process_samples=2, witness=witness)
    assert len(names) == expected
    if witness:
        assert names[-1] == "NumPy integer interpreter = stock Lava Dense + LIFReset, thresholds frozen"
        (layer,) = simulation.rungs[-1].layers
        assert layer.mismatches == layer.membrane_mismatches == 0 < layer.spikes
        number, words = layer.note.split(maxsplit=1)
        assert int(number) > 0 and words == "spikes differ from moving θ"


def test_the_ladder_is_written(mixed: nn.Module, tmp_path: Path) -> None:
    formats = {"number_formats": ("floating_pt", "fixed_pt")}
    _, names = simulate(mixed, tmp_path, **formats)
    written = read_json(tmp_path / "parity.json")["rungs"]
    assert [rung["name"] for rung in written] == names == ["IR float32 interpreter ≈ Lava floating_pt, fused", FUSED]
    assert [rung["class"] for rung in written] == ["bounded", "exact"]
    assert read_activity(tmp_path / "activity.json").number_format == "floating_pt", (
        "the first format is what is priced"
    )
    assert {path.name for path in tmp_path.glob("outputs_*")} == {"outputs_fixed_pt.h5", "outputs_floating_pt.h5"}
