from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hardware_profiles.report.contents import Report, gather
from hardware_profiles.report.real_time import in_real_time
from hardware_profiles.report.render import render_html

from ..toy import toy_profile
from .stages import write_stages


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return gather(write_stages(tmp_path), [toy_profile(tmp_path)])


def with_dt(report: Report, dt_s: float | None) -> Report:
    assert report.export is not None
    return dataclasses.replace(report, export=dataclasses.replace(report.export, dt_s=dt_s))


def test_waiting_costs_static_power_times_the_duration_of_the_sample(report: Report) -> None:
    energy = report.energies[0]
    waiting = in_real_time(report, energy)
    assert waiting is not None
    assert waiting.duration_s == 5 * 0.25
    chips = energy.cores.num_chips
    assert waiting.static_j.mid == pytest.approx(0.1 * 1.25 * chips)
    assert waiting.static_j.high == pytest.approx(0.2 * 1.25 * chips)
    assert waiting.static_j.low <= waiting.static_j.mid
    assert "Fed in real time, a sample lasts 1.25 s" in render_html(report)


@pytest.mark.parametrize("dt_s", [None, 1e-9])
def test_nothing_is_said_without_a_step_or_where_the_chip_is_slower(report: Report, dt_s: float | None) -> None:
    changed = with_dt(report, dt_s)
    assert in_real_time(changed, changed.energies[0]) is None


def test_nothing_is_said_without_static_power(tmp_path: Path) -> None:
    report = gather(write_stages(tmp_path), [toy_profile(tmp_path, static_power=None)])
    assert in_real_time(report, report.energies[0]) is None
