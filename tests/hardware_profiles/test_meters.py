from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hardware_profiles.meters import find_nvml, find_rapl


def make_zone(root: Path, zone: str, name: str, energy_uj: int, range_uj: int = 999_999) -> Path:
    folder = root / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder


def test_rapl_adds_the_packages_and_nothing_inside_them(tmp_path: Path) -> None:
    first = make_zone(tmp_path, "intel-rapl:0", "package-0", 100)
    second = make_zone(tmp_path, "intel-rapl:1", "package-1", 5000)
    core = make_zone(tmp_path, "intel-rapl:0:0", "core", 7)
    psys = make_zone(tmp_path, "intel-rapl:2", "psys", 7)
    meter = find_rapl(tmp_path)
    assert meter is not None
    assert meter.read_j() == 0.0
    (first / "energy_uj").write_text("300100")
    (second / "energy_uj").write_text("205000")
    for inner in (core, psys):
        (inner / "energy_uj").write_text("900000")
    assert meter.read_j() == pytest.approx(0.5)


def test_rapl_undoes_every_wrap(tmp_path: Path) -> None:
    zone = make_zone(tmp_path, "intel-rapl:0", "package-0", 999_000)
    meter = find_rapl(tmp_path)
    assert meter is not None
    # 999 steps to the end, one to 0, 400 more
    (zone / "energy_uj").write_text("400")
    assert meter.read_j() == pytest.approx(1400e-6)
    (zone / "energy_uj").write_text("900400")
    assert meter.read_j() == pytest.approx(901_400e-6)
    (zone / "energy_uj").write_text("399")
    # 99 599 to the end, one to 0, 399 more
    assert meter.read_j() == pytest.approx((901_400 + 99_599 + 1 + 399) * 1e-6, rel=1e-12)


def test_no_rapl_is_none_not_an_error(tmp_path: Path) -> None:
    assert find_rapl(tmp_path / "absent") is None
    make_zone(tmp_path, "intel-rapl:0", "psys", 1)
    assert find_rapl(tmp_path) is None


def test_an_unreadable_counter_is_none(tmp_path: Path) -> None:
    zone = make_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").unlink()
    assert find_rapl(tmp_path) is None


class FakeNvml:
    """Stands in for pynvml: one GPU, millijoules given by the test."""

    class NVMLError(Exception):
        pass

    def __init__(self, energy_mj: int = 0, num_gpus: int = 1, name: Any = "Fake GPU", fails: str = "") -> None:
        self.energy_mj, self.num_gpus, self.name, self.fails = energy_mj, num_gpus, name, fails

    def _check(self, call: str) -> None:
        if call == self.fails:
            raise self.NVMLError(call)

    def nvmlInit(self) -> None:
        self._check("init")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        if index >= self.num_gpus:
            raise self.NVMLError("index")
        return SimpleNamespace(index=index)

    def nvmlDeviceGetName(self, handle: Any) -> Any:
        return self.name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:
        self._check("energy")
        return self.energy_mj


@pytest.mark.parametrize("name", ["Fake GPU", b"Fake GPU"])
def test_nvml_counts_in_joules(name: Any) -> None:
    nvml = FakeNvml(2500, name=name)
    meter = find_nvml(0, nvml)
    assert meter is not None
    assert meter.name == "NVML total energy, Fake GPU"
    assert meter.read_j() == pytest.approx(2.5)
    nvml.energy_mj = 4500
    assert meter.read_j() == pytest.approx(4.5)


def test_no_driver_no_gpu_or_no_counter_is_none() -> None:
    assert find_nvml(0, FakeNvml(fails="init")) is None
    assert find_nvml(1, FakeNvml()) is None
    assert find_nvml(0, FakeNvml(fails="energy")) is None
