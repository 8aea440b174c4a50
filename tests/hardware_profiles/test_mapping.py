from __future__ import annotations

from pathlib import Path

import pytest

from hardware_profiles.errors import ProfileError
from hardware_profiles.mapping import CAVEAT, core_bound
from hardware_profiles.profile import load_profile

from .toy import layer, toy_activity, toy_profile


def test_the_binding_limit_decides(tmp_path: Path) -> None:
    """Per core 10 neurons, 100 synapses of 8 bits, 40 axons."""
    layers = (
        layer("events", "input", num_neurons=500),
        layer("many_neurons", "lif", num_neurons=31, num_synapses=31, fan_in=1),
        layer("many_synapses", "lif", num_neurons=5, num_synapses=250, fan_in=40),
        layer("many_axons", "lif", num_neurons=1, num_synapses=90, fan_in=120),
        layer("small", "lif", num_neurons=1, num_synapses=1, fan_in=1),
    )
    cores = core_bound(toy_activity(layers=layers), toy_profile(tmp_path))
    assert {entry.layer: (entry.num_cores, entry.binding_limit) for entry in cores.layers} == {
        "many_neurons": (4, "neurons_per_core"),
        "many_synapses": (3, "synaptic_memory_bits_per_core"),
        "many_axons": (3, "input_axons_per_core"),
        "small": (1, "neurons_per_core"),
    }
    # together: 38 neurons -> 3.8 cores, 372 synapses -> 3.72 cores, 120 axons -> 3 (162 would be 4.05)
    assert (cores.num_cores, cores.binding_limit, cores.num_chips) == (4, "neurons_per_core", 1)
    assert cores.caveat == CAVEAT


def test_the_whole_is_never_above_the_sum_of_its_layers(tmp_path: Path) -> None:
    layers = tuple(layer(f"layer{i}", "lif", num_neurons=1, num_synapses=1, fan_in=1) for i in range(10))
    cores = core_bound(toy_activity(layers=layers), toy_profile(tmp_path))
    assert sum(entry.num_cores for entry in cores.layers) == 10
    assert cores.num_cores == 1


def test_more_cores_than_a_chip_has_means_more_chips(tmp_path: Path) -> None:
    layers = (layer("wide", "lif", num_neurons=201, num_synapses=1, fan_in=1),)
    cores = core_bound(toy_activity(layers=layers), toy_profile(tmp_path))
    assert (cores.num_cores, cores.num_chips) == (21, 2)


def test_subtract_reset_takes_two_compartments(tmp_path: Path) -> None:
    layers = (layer("wide", "lif", num_neurons=20, num_synapses=1, fan_in=1),)
    profile = toy_profile(tmp_path)
    assert core_bound(toy_activity(layers=layers), profile).num_cores == 2
    assert core_bound(toy_activity(("subtract_reset",), layers=layers), profile).num_cores == 4


def test_a_processor_has_no_cores_of_this_kind(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="profile gpu-h200: is a processor"):
        core_bound(toy_activity(), load_profile("gpu-h200"))


def test_inputs_alone_are_not_a_network(tmp_path: Path) -> None:
    layers = (layer("events", "input", num_neurons=8, spikes=1),)
    with pytest.raises(ProfileError, match="only input layers"):
        core_bound(toy_activity(layers=layers), toy_profile(tmp_path))
