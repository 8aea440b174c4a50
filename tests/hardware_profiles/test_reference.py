from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.errors import ArtifactError, ConfigError, ProfileError
from hardware_profiles.profile import Profile, load_profile, read_profile
from hardware_profiles.reference import Bench, bound_reference, measure_reference
from hardware_profiles.reference_file import ReferenceMeasurement, read_reference, write_reference

from .toy import coefficient

PROCESSOR = (
    "format = 'axonport-profile-1'\nname = 'cpu'\ntitle = 'Toy CPU'\nfamily = 'processor'\nnotes = ['toy note']\n"
    + coefficient("tdp_power", 50.0, 100.0, 200.0, "W", "assumed")
    + coefficient("idle_power", 5.0, 10.0, 20.0, "W", "assumed")
    + coefficient("peak_flop_rate", 1e9, 2e9, 5e9, "FLOP/s", "assumed")
)


@pytest.fixture
def cpu(tmp_path: Path) -> Profile:
    path = tmp_path / "cpu.toml"
    path.write_text(PROCESSOR)
    return read_profile(path)


class FakeMachine:
    """A machine whose clock and energy counter move only when something runs: 10 W idle, 30 W busy by default."""

    name = "fake counter"
    covers = "everything"

    def __init__(self, run_s: float = 0.1, idle_w: float = 10.0, busy_w: float = 30.0, update_s: float = 0.0) -> None:
        self.run_s, self.idle_w, self.busy_w, self.update_interval_s = run_s, idle_w, busy_w, update_s
        self.now_s, self.energy_j, self.num_runs = 0.0, 1000.0, 0

    def clock(self) -> float:
        return self.now_s

    def read_j(self) -> float:
        return self.energy_j

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.energy_j += self.idle_w * seconds

    def run(self) -> None:
        self.num_runs += 1
        self.now_s += self.run_s
        self.energy_j += self.busy_w * self.run_s

    def measure(self, profile: Profile, metered: bool, run: Callable[[], None] | None = None) -> ReferenceMeasurement:
        return measure_reference(
            run or self.run,
            flop_per_run=1_000_000,
            num_samples_per_run=4,
            batch=2,
            device_name="fake",
            workload="toy network",
            meter=self if metered else None,
            profile=profile,
            bench=Bench(window_s=2.0, num_windows=3, clock=self.clock, sleep=self.sleep),
        )


def test_a_metered_run_by_hand(cpu: Profile) -> None:
    machine = FakeMachine()
    result = machine.measure(cpu, metered=True)
    assert result.badge == "measured"
    # 30 W × 0.1 s over 4 inferences, of which 10 W are there anyway
    assert result.energy_mid_j == pytest.approx(0.75)
    assert result.energy_low_j == pytest.approx(0.75)
    assert result.energy_high_j == pytest.approx(0.75)
    assert result.dynamic_j == pytest.approx(0.5)
    assert result.idle_power_w == pytest.approx(10.0)
    assert result.latency_s == pytest.approx(0.1)
    assert (result.meter, result.num_windows, result.batch) == ("fake counter", 3, 2)
    assert any("covers everything" in note for note in result.notes)


def test_windows_that_differ_give_the_range_and_its_error(cpu: Profile) -> None:
    machine = FakeMachine()

    def run() -> None:
        # three warm-up runs, then about 20 a window: each window costs more than the one before
        machine.busy_w = 20.0 + 10.0 * ((machine.num_runs - 3) // 20)
        machine.run()

    result = machine.measure(cpu, metered=True, run=run)
    assert result.energy_mid_j is not None
    assert result.energy_high_j is not None
    assert result.standard_error_j is not None
    assert result.energy_low_j < result.energy_mid_j < result.energy_high_j
    assert result.standard_error_j > 0.0


def test_dynamic_energy_below_the_noise_is_refused(cpu: Profile) -> None:
    result = FakeMachine(busy_w=10.5, update_s=0.1).measure(cpu, metered=True)
    assert result.dynamic_j is None
    assert result.energy_mid_j == pytest.approx(10.5 * 0.1 / 4)
    assert any("dynamic energy refused" in note for note in result.notes)


def test_dynamic_energy_below_idle_is_refused(cpu: Profile) -> None:
    """PilotNet SDNN's published dynamic power is negative: such a value must never be shown."""
    assert FakeMachine(busy_w=9.0).measure(cpu, metered=True).dynamic_j is None


def test_without_a_meter_the_bracket_is_analytic(cpu: Profile) -> None:
    result = FakeMachine().measure(cpu, metered=False)
    assert result.badge == "bound"
    assert result.energy_low_j == pytest.approx(1e6 * 50.0 / 5e9 / 4)
    assert result.energy_high_j == pytest.approx(0.1 * 200.0 / 4)
    assert result.energy_mid_j is None
    assert result.dynamic_j is None
    assert result.meter is None
    assert "not measured" in result.notes[0]
    assert "toy note" in result.notes


def test_the_bracket_holds_what_a_meter_would_read(cpu: Profile) -> None:
    """On a machine within its own profile, the bound must contain the measurement."""
    metered, bound = (FakeMachine(busy_w=120.0).measure(cpu, metered=flag) for flag in (True, False))
    assert metered.energy_mid_j is not None
    assert bound.energy_high_j is not None
    assert bound.energy_low_j <= metered.energy_mid_j <= bound.energy_high_j


def test_a_slow_run_still_gets_its_least_number_of_repeats(cpu: Profile) -> None:
    result = FakeMachine(run_s=10.0).measure(cpu, metered=False)
    assert result.num_runs == 15


def test_a_device_that_is_not_here_has_only_a_lower_bound() -> None:
    result = bound_reference(
        flop_per_run=10**12,
        num_samples_per_run=1,
        batch=1,
        device_name="H200",
        workload="toy",
        profile=load_profile("gpu-h200"),
    )
    assert result.badge == "bound"
    assert result.energy_low_j == pytest.approx(700 / 989.5)
    assert result.energy_high_j is None
    assert result.latency_s is None
    assert "nothing ran" in result.notes[0]


def test_wrong_use_is_one_line(cpu: Profile) -> None:
    arguments: dict[str, Any] = {"num_samples_per_run": 1, "batch": 1, "device_name": "d", "workload": "w"}
    with pytest.raises(ConfigError, match="0 FLOP"):
        bound_reference(flop_per_run=0, profile=cpu, **arguments)
    with pytest.raises(ProfileError, match="is no processor"):
        bound_reference(flop_per_run=1, profile=load_profile("loihi1"), **arguments)
    with pytest.raises(ConfigError, match="num_windows 1"):
        Bench(num_windows=1)


def test_the_file_gives_back_what_was_written(cpu: Profile, tmp_path: Path) -> None:
    measurements = [FakeMachine().measure(cpu, metered=flag) for flag in (True, False)]
    path = tmp_path / "reference.json"
    write_reference(path, measurements)
    assert json.loads(path.read_text())["format"] == "axonport-reference-1"
    assert read_reference(path) == tuple(measurements)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not a reference file"),
        ('{"format": "axonport-reference-1", "measurements": 3}', "not a reference file"),
        ('{"format": "axonport-reference-1", "measurements": [{"batch": 1}]}', "is missing"),
        ('{"format": "axonport-reference-1", "measurements": [7]}', "allowed is a table"),
        ("[", "not valid JSON"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "reference.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=message) as caught:
        read_reference(path)
    assert "\n" not in str(caught.value)
