from __future__ import annotations

from pathlib import Path

import pytest

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.coefficient import COEFFICIENT_UNITS, KINDS
from hardware_profiles.errors import ProfileError
from hardware_profiles.profile import CAPABILITIES, integer_format, load_profile, profile_names, read_profile

from .toy import profile_toml, toy_profile


def test_the_built_in_profiles_are_those_of_the_readme() -> None:
    assert profile_names() == ("cpu-generic", "gpu-h200", "loihi1", "loihi2")


@pytest.mark.parametrize("name", profile_names())
def test_every_built_in_figure_has_range_source_and_kind(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert len(profile.coefficients) >= 3
    for entry in profile.coefficients:
        assert entry.low <= entry.value <= entry.high
        assert entry.unit == COEFFICIENT_UNITS[entry.name]
        assert entry.kind in KINDS
        assert len(entry.source) > 10, entry.name
    assert all(limit.source for limit in profile.limits)
    assert all(capability.source for capability in profile.capabilities)


@pytest.mark.parametrize("name", ["loihi1", "loihi2"])
def test_chips_state_every_capability_and_their_integers(name: str) -> None:
    profile = load_profile(name)
    assert {entry.name for entry in profile.capabilities} == set(CAPABILITIES)
    assert integer_format(name) == IntegerFormat(
        weight_bits=8,
        decay_bits=12,
        state_bits=24,
        threshold_bits=17,
        state_shift=6,
        bias_mantissa_bits=13,
        bias_exponent_bits=3,
    )


def test_the_published_loihi1_figures() -> None:
    """Davies et al. 2018, Table 2 and text."""
    loihi1 = load_profile("loihi1")
    assert loihi1.coefficient("synop_energy").value == 23.6e-12
    assert loihi1.coefficient("neuron_update_active_energy").value == 81e-12
    assert loihi1.coefficient("neuron_update_inactive_energy").value == 52e-12
    assert loihi1.require_limit("neurons_per_core").value == 1024
    assert loihi1.require_limit("synaptic_memory_bits_per_core").value == 128 * 1024 * 8


def test_loihi2_is_provisional_and_spans_the_published_systems() -> None:
    loihi2 = load_profile("loihi2")
    synop = loihi2.coefficient("synop_energy")
    assert loihi2.provisional
    assert (synop.low, synop.high) == (6.8e-12, 30e-12)
    assert loihi2.coefficient("synop_time").kind == "inferred"


def test_missing_capabilities_are_named_in_order() -> None:
    requires = ("hard_reset", "graded_spikes", "dynamic_threshold")
    assert load_profile("loihi1").missing_capabilities(requires) == ("dynamic_threshold", "graded_spikes")
    assert load_profile("loihi2").missing_capabilities(requires) == ()


def test_an_unknown_requirement_is_an_error() -> None:
    with pytest.raises(ProfileError, match="'telepathy': unknown; allowed are binary_spikes"):
        load_profile("loihi1").missing_capabilities(("telepathy",))


def test_a_reset_can_cost_more_compartments(tmp_path: Path) -> None:
    profile = toy_profile(tmp_path)
    assert profile.compartments_per_neuron(("hard_reset",)) == 1
    assert profile.compartments_per_neuron(("hard_reset", "subtract_reset")) == 2


def test_a_users_file_loads_by_path(tmp_path: Path) -> None:
    toy_profile(tmp_path)
    profile = load_profile(str(tmp_path / "toy.toml"))
    assert (profile.name, profile.notes) == ("toy", ("a toy",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low = 1e-12\nhigh = 4e-12", "low = 3e-12\nhigh = 4e-12", "0 ≤ low ≤ value ≤ high"),
        ("value = 2e-12", "value = nan", "finite"),
        ("value = 2e-12", "value = 'two'", "allowed is float"),
        ("unit = 'J'", "unit = 'pJ'", "unit is 'pJ', allowed is 'J'"),
        ("kind = 'simulated'", "kind = 'guessed'", "kind is 'guessed', allowed are measured"),
        ("source = 'toy table, row synop_energy'", "source = ' '", "source is empty"),
        ("[coefficients.synop_energy]", "[coefficients.synop_heat]", "unknown coefficient 'synop_heat'"),
        ("covers = 'one synop_energy'", "covers = 'x'\nvoltage = 1", "unknown key 'voltage'"),
        ("covers = 'one synop_energy'\n", "", "key 'covers' is missing"),
        ("[limits.cores_per_chip]", "[limits.cores_per_wafer]", "unknown limit 'cores_per_wafer'"),
        ("value = 20", "value = 0", "value is 0, allowed is at least 1"),
        ("no_reset = { supported = true, source = 'toy' }", "", r"\[capabilities.no_reset\] is missing"),
        ("no_reset = {", "levitation = {", "unknown capability 'levitation'"),
        ("supported = false", "supported = 'no'", "allowed is bool"),
        ("graded_spikes = { supported = false, source = 'toy' }", "graded_spikes = false", "allowed is a table"),
        ("weight_bits = 8", "weight_bits = 99", "allowed are 1..32 bits"),
        ("state_shift = 6\n", "", "key 'state_shift' is missing"),
        ("axonport-profile-1", "axonport-profile-9", "allowed is 'axonport-profile-1'"),
        ("'neuromorphic'", "'abacus'", "family is 'abacus'"),
        ("title = 'Toy chip'", "title = 'Toy chip'\ncolour = 'red'", "unknown key 'colour'"),
        ("title = 'Toy chip'", "title = ", "not valid TOML"),
    ],
)
def test_a_malformed_profile_is_one_line_that_names_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = profile_toml()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ProfileError, match=message) as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_a_chip_needs_a_synop_energy(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"\[coefficients.synop_energy\] is missing"):
        toy_profile(tmp_path, synop_energy=None)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(ProfileError, match="allowed are cpu-generic, gpu-h200, loihi1, loihi2 or the path"):
        load_profile("loihi7")
    with pytest.raises(ProfileError, match="no such file"):
        load_profile("nowhere.toml")
    with pytest.raises(ProfileError, match=r"has no \[integer_format\]"):
        integer_format("gpu-h200")
