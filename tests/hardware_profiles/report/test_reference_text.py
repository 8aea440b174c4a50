from __future__ import annotations

import dataclasses

from hardware_profiles.profile import load_profile
from hardware_profiles.reference import Bench, bound_reference, measure_reference
from hardware_profiles.reference_file import ReferenceMeasurement
from hardware_profiles.report.reference_text import bound_reasons, reference_energy, reference_notes


def bound(batch: int = 1) -> ReferenceMeasurement:
    return bound_reference(
        flop_per_run=10**6 * batch,
        num_samples_per_run=batch,
        batch=batch,
        device_name="Toy GPU",
        workload="the network",
        profile=load_profile("gpu-h200"),
    )


def bracket() -> ReferenceMeasurement:
    return measure_reference(
        lambda: None,
        flop_per_run=10**6,
        num_samples_per_run=1,
        batch=1,
        device_name="Toy CPU",
        workload="the network",
        profile=load_profile("cpu-generic"),
        meter=None,
        bench=Bench(window_s=1e-3, num_windows=2, min_runs=1),
    )


def measured() -> ReferenceMeasurement:
    return dataclasses.replace(
        bracket(),
        badge="measured",
        energy_low_j=1e-3,
        energy_mid_j=2e-3,
        energy_high_j=3e-3,
        meter="toy meter",
        window_s=3.0,
        num_windows=3,
        standard_error_j=1e-4,
        notes=("covers the package",),
    )


def test_a_bound_says_why_it_is_one() -> None:
    nothing_ran, ran = bound_reasons([bound()]), bound_reasons([bracket()])
    assert "no upper one" in nothing_ran[-1]
    assert not any("meter" in line for line in nothing_ran)
    assert "No energy meter was found" in ran[-1]
    assert bound_reasons([measured()]) == ("Workload: the network.",)
    assert bound_reasons([]) == ()


def test_energies_read_as_what_they_are() -> None:
    assert reference_energy(bound()).startswith("at least ")
    assert " to " in reference_energy(bracket())
    assert reference_energy(measured()) == "2.00 mJ (1.00 mJ to 3.00 mJ)"


def test_equal_notes_are_said_once_and_meters_are_named() -> None:
    assert len(reference_notes([bound(1), bound(32)])) == 1
    (line,) = reference_notes([measured()])
    assert "toy meter, 3 windows of 3.00 s, standard error 100 µJ; covers the package" in line
