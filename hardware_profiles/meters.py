"""Energy counters of this machine: RAPL for the CPU package, NVML for an NVIDIA GPU; absent ones are None.

Both are counters of energy, not of power, so a window is the difference of two readings. NVML's counter steps
about every 100 ms (Yang et al. SC24, arXiv 2312.02741): windows must last several seconds.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")


class Meter(Protocol):
    """An energy counter.

    Attributes:
        name: what it is, for the report.
        covers: which part of the machine it counts.
        update_interval_s: how often the counter moves; a reading is uncertain by power × this.
    """

    name: str
    covers: str
    update_interval_s: float

    def read_j(self) -> float:
        """Return joules since some fixed moment; never falls."""
        ...


@dataclass
class _Zone:
    """One RAPL package: its counter wraps at `range_uj`."""

    folder: Path
    range_uj: int
    last_uj: int
    counted_uj: int = 0

    def read_uj(self) -> int:
        """Return µJ since the meter was made; sound if read at least once per wrap (minutes)."""
        now_uj = int((self.folder / "energy_uj").read_text())
        step_uj = now_uj - self.last_uj
        # a counter that went backwards has wrapped once: after range_uj comes 0
        self.counted_uj += step_uj if step_uj >= 0 else step_uj + self.range_uj + 1
        self.last_uj = now_uj
        return self.counted_uj


@dataclass
class RaplMeter:
    """All CPU packages through Linux's powercap interface; excludes DRAM where that is its own zone."""

    zones: list[_Zone]
    name: str = "RAPL (powercap)"
    covers: str = "CPU packages; board, memory and power supply are not in it"
    update_interval_s: float = 1e-3

    def read_j(self) -> float:
        """Return joules of all packages since the meter was made, wraps undone."""
        return sum(zone.read_uj() for zone in self.zones) * 1e-6


@dataclass
class NvmlMeter:
    """One NVIDIA GPU's total-energy counter (Volta and later)."""

    nvml: Any = field(repr=False)
    handle: Any = field(repr=False)
    name: str
    covers: str = "GPU board with its memory; the host is not in it"
    update_interval_s: float = 0.1

    def read_j(self) -> float:
        """Return joules since the driver was loaded."""
        return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) * 1e-3


def find_rapl(powercap: Path = POWERCAP) -> RaplMeter | None:
    """Return the CPU's meter, or None where there is none or it may not be read (often root only)."""
    zones = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        try:
            # psys contains the packages, and core/uncore/dram are inside or beside them: packages only
            if not (folder / "name").read_text().startswith("package"):
                continue
            range_uj = int((folder / "max_energy_range_uj").read_text())
            zones.append(_Zone(folder, range_uj, int((folder / "energy_uj").read_text())))
        except (OSError, ValueError):
            return None
    return RaplMeter(zones) if zones else None


def find_nvml(index: int = 0, nvml: Any = None) -> NvmlMeter | None:
    """Return the meter of GPU `index`, or None without pynvml, driver, GPU or counter.

    Args:
        index: GPU number in NVML's (PCI) order.
        nvml: the `pynvml` module or one that behaves like it; imported by default.
    """
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(handle)
        meter = NvmlMeter(nvml, handle, f"NVML total energy, {name.decode() if isinstance(name, bytes) else name}")
        meter.read_j()
    except nvml.NVMLError:
        return None
    return meter
