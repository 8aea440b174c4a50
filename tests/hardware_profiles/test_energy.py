from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.energy import EnergyReport, price
from hardware_profiles.energy_items import BADGES, CHIP
from hardware_profiles.errors import ArtifactError, ProfileError
from hardware_profiles.profile import load_profile

from .toy import layer, toy_activity, toy_profile


def energy_of(report: EnergyReport, layer_name: str, component: str) -> tuple[float, float, float]:
    (item,) = [i for i in report.items if (i.layer, i.component) == (layer_name, component)]
    assert item.energy_j is not None
    return item.energy_j.low, item.energy_j.mid, item.energy_j.high


def test_every_row_by_hand(tmp_path: Path) -> None:
    """Two samples, so every count is halved."""
    report = price(toy_activity(), toy_profile(tmp_path))
    picojoules = {
        ("events", "spike routing within tile"): (20, 20, 40),  # 20 spikes × 1, 1, 2
        ("events", "spike routing across tiles"): (0, 120, 400),  # 20 × (0 × 3, 2 × 3, 5 × 4)
        ("hidden", "synaptic operations"): (400, 800, 1600),  # 400 × 1, 2, 4
        ("hidden", "neuron updates, spiking"): (300, 600, 900),  # 30 × 10, 20, 30
        ("hidden", "neuron updates, silent"): (350, 700, 1050),  # 70 × 5, 10, 15
        ("hidden", "spike routing within tile"): (30, 30, 60),
        ("hidden", "spike routing across tiles"): (0, 180, 600),
        ("hidden.threshold", "threshold controller"): (250, 500, 1000),  # 5 thresholds × 50, 100, 200
        ("hidden.threshold", "threshold delivery"): (0, 100, 300),  # 5 thresholds × 20 neurons of hidden × 0, 1, 3
        ("hidden.threshold", "synaptic operations"): (20, 40, 80),  # 20 counted spikes × 1, 2, 4
        ("hidden.threshold", "neuron updates, silent"): (50, 100, 150),  # 10 counter updates × 5, 10, 15
        ("hidden.threshold", "spike routing within tile"): (8, 8, 16),  # 8 graded messages
        ("hidden.threshold", "spike routing across tiles"): (0, 48, 160),
        ("out", "synaptic operations"): (120, 240, 480),
        ("out", "neuron updates, spiking"): (50, 100, 150),
        ("out", "neuron updates, silent"): (75, 150, 225),
        ("out", "spike routing within tile"): (5, 5, 10),
        ("out", "spike routing across tiles"): (0, 30, 100),
    }
    for (name, component), expected in picojoules.items():
        assert energy_of(report, name, component) == pytest.approx([figure * 1e-12 for figure in expected])
    dynamic = [(item.layer, item.component) for item in report.items if item.layer != CHIP]
    assert set(dynamic) == set(picojoules), "no other dynamic row"
    assert report.dynamic_j is not None
    assert report.dynamic_j.mid == pytest.approx(3771e-12)
    assert report.dynamic_j.low == pytest.approx(1678e-12)
    assert report.dynamic_j.high == pytest.approx(7321e-12)


def test_static_and_host_are_always_in_the_total(tmp_path: Path) -> None:
    report = price(toy_activity(), toy_profile(tmp_path))
    seconds = 6 * 380e-9
    assert report.static_j is not None
    assert report.host_j is not None
    assert report.static_j.mid == pytest.approx(0.1 * seconds)
    assert report.host_j.mid == pytest.approx(0.05 * seconds)
    assert report.total_j.mid == pytest.approx(3771e-12 + 0.15 * seconds)
    # low end of static: 3 of 20 cores (26 neurons of 10 a core), on the shortest time
    assert report.cores.num_cores == 3
    assert report.static_j.low == pytest.approx(0.1 * 3 / 20 * 6 * 240e-9)
    assert report.static_j.high == pytest.approx(0.2 * 6 * 720e-9)
    assert report.edp_js is not None
    assert report.edp_js.mid == pytest.approx(report.total_j.mid * seconds)


def test_what_has_no_published_cost_is_named(tmp_path: Path) -> None:
    report = price(toy_activity(), toy_profile(tmp_path, spike_hop_energy=None, host_power=None))
    text = "\n".join(report.unpriced)
    for component in ("barrier", "input and output", "host segment", "spike routing across tiles", "x86 cores"):
        assert component in text
    assert "toy has no published spike_hop_energy" in text
    assert report.host_j is None, "unpriced is not zero"
    assert report.total_label == "part of the total, without host energy"
    assert price(toy_activity(), toy_profile(tmp_path)).total_label == "total"
    assert len(report.unpriced) == len(set(report.unpriced))


def test_without_step_time_static_is_unpriced_not_zero(tmp_path: Path) -> None:
    report = price(toy_activity(), toy_profile(tmp_path, synop_time=None))
    assert report.timing is None
    assert report.edp_js is None
    assert any(line.startswith("static power: toy has no published synop_time") for line in report.unpriced)


def test_several_chips_multiply_static_power_and_name_their_links(tmp_path: Path) -> None:
    layers = (layer("wide", "lif", num_neurons=201, num_synapses=1, fan_in=1, updates=402, synops=2),)
    report = price(toy_activity(layers=layers), toy_profile(tmp_path))
    assert report.timing is not None
    assert report.static_j is not None
    assert report.static_j.mid == pytest.approx(2 * 0.1 * report.timing.inference_s.mid)
    assert any(line.startswith("links between chips: 2 chips") for line in report.unpriced)


def test_a_missing_capability_is_stated_and_makes_the_total_assumed(tmp_path: Path) -> None:
    requires = ("binary_spikes", "graded_spikes", "dynamic_threshold", "hard_reset")
    report = price(toy_activity(requires), load_profile("loihi1"))
    assert report.missing == ("dynamic_threshold", "graded_spikes")
    assert report.statement == (
        "not deployable on loihi1: dynamic_threshold, graded_spikes; coefficients borrowed for comparison"
    )
    assert report.badge == "assumed"
    deployable = price(toy_activity(requires), load_profile("loihi2"))
    assert deployable.missing == ()
    assert "provisional" in deployable.statement


def test_the_total_is_modelled_only_while_published_figures_carry_it(tmp_path: Path) -> None:
    assert price(toy_activity(), toy_profile(tmp_path)).badge == "modelled"
    guessed = toy_profile(tmp_path, static_power=(0.1, 10.0, 20.0, "W", "assumed"))
    report = price(toy_activity(), guessed)
    assert report.assumed_share > 0.5
    assert report.badge == "assumed"


def test_assumed_coefficients_mark_their_rows(tmp_path: Path) -> None:
    report = price(toy_activity(), toy_profile(tmp_path))
    badges = {item.component: item.badge for item in report.items}
    assert badges["threshold controller"] == "assumed"
    assert badges["spike routing across tiles"] == "assumed"
    assert badges["synaptic operations"] == "modelled"
    assert badges["barrier"] == "unpriced"
    assert set(badges.values()) <= set(BADGES)
    assert all(item.source and item.rule for item in report.items)


def test_two_compartments_double_the_updates(tmp_path: Path) -> None:
    profile = toy_profile(tmp_path)
    single, double = (price(toy_activity((reset,)), profile) for reset in ("hard_reset", "subtract_reset"))
    # out: 20 updates a sample, 5 spiking; with two compartments 40, 5 spiking
    assert energy_of(single, "out", "neuron updates, silent")[1] == pytest.approx(15 * 10e-12)
    assert energy_of(double, "out", "neuron updates, silent")[1] == pytest.approx(35 * 10e-12)
    assert any("more than one compartment" in note for note in double.notes)


def test_a_controller_without_a_layer_is_an_error(tmp_path: Path) -> None:
    layers = (layer("lost", "threshold_controller", num_neurons=2, controller_updates=5),)
    with pytest.raises(ArtifactError, match="'lost': computes thresholds for no layer"):
        price(toy_activity(layers=layers), toy_profile(tmp_path))


def test_floating_point_counts_are_flagged(tmp_path: Path) -> None:
    report = price(toy_activity(number_format="floating_pt"), toy_profile(tmp_path))
    assert any("floating_pt" in note for note in report.notes)


def test_a_processor_is_no_chip() -> None:
    with pytest.raises(ProfileError, match="is a processor"):
        price(toy_activity(), load_profile("cpu-generic"))


def test_groupings_add_up_to_the_total(tmp_path: Path) -> None:
    report = price(toy_activity(), toy_profile(tmp_path))
    for grouped in (report.component_j(), report.layer_j()):
        assert sum(part.mid for part in grouped.values()) == pytest.approx(report.total_j.mid)
        assert sum(part.high for part in grouped.values()) == pytest.approx(report.total_j.high)
    assert list(report.layer_j()) == ["events", "hidden", "hidden.threshold", "out", CHIP]


def test_the_bill_is_plain_json(tmp_path: Path) -> None:
    report = price(toy_activity(), toy_profile(tmp_path))
    assert json.loads(json.dumps(dataclasses.asdict(report)))["total_j"]["mid"] == report.total_j.mid


@pytest.mark.parametrize(
    ("workload", "synops", "updates", "spikes", "measured_j", "error"),
    [
        # per query, 32 chips: the published counts allow 5.1e7 to 5.8e7 synops (Frady et al. 2020)
        ("kNN", 51_000_000, 4_600_000, 700, 1.33e-3, 0.085),
        # per step on one core: 1.583 mW × 16.65 µs (Rao et al. 2022); counts from an emulation
        ("sequential MNIST", 761, 350, 13, 26.36e-9, 0.39),
        # per step on Loihi 2: 0.447 W × 152.8 µs (lava-dl benchmark)
        ("PilotNet LIF", 2_260_000, 158_509, 34_600, 68.3e-6, -0.08),
    ],
)
def test_calibration_points_of_the_rule(
    workload: str, synops: int, updates: int, spikes: int, measured_j: float, error: float
) -> None:
    """The errors that docs/energy.md states; and the stated range holds the published measurement."""
    work = layer("all", "lif", num_neurons=1, num_synapses=1, fan_in=1, synops=synops, updates=updates, spikes=spikes)
    report = price(toy_activity(layers=(work,), num_samples=1, num_steps=1), load_profile("loihi1"))
    assert report.dynamic_j is not None
    assert report.dynamic_j.mid / measured_j - 1.0 == pytest.approx(error, abs=0.01)
    assert report.dynamic_j.low <= measured_j <= report.dynamic_j.high


counts = st.integers(min_value=0, max_value=10**12)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(spikes=counts, synops=counts, updates=counts, thresholds=counts, chip=st.sampled_from(["loihi1", "loihi2"]))
def test_ranges_keep_their_order_and_more_events_never_cost_less(
    spikes: int, synops: int, updates: int, thresholds: int, chip: str
) -> None:
    def bill(extra: int) -> EnergyReport:
        work = layer(
            "n",
            "dynamic_threshold_lif",
            num_neurons=100,
            num_synapses=100,
            fan_in=10,
            spikes=min(spikes, updates),
            synops=synops + extra,
            updates=updates,
            controller_updates=thresholds,
        )
        return price(toy_activity(layers=(work,)), load_profile(chip))

    report = bill(0)
    for span in (report.dynamic_j, report.static_j, report.host_j, report.total_j):
        assert span is not None
        assert 0.0 <= span.low <= span.mid <= span.high
    assert bill(1000).total_j.mid >= report.total_j.mid
