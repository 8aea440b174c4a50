"""What the same work costs on a CPU or GPU: measured where a meter exists, else an analytic bracket, said so.

`docs/energy.md` gives the rule, `reference_file` the record.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import ConfigError, ProfileError
from .meters import Meter
from .profile import Profile
from .reference_file import ReferenceMeasurement

WARM_UP_RUNS = 3
NOISE_FACTOR = 2.0
"""A dynamic energy is reported only above this many times its own uncertainty."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How long and how often to measure.

    Attributes:
        window_s: least length of one window; several seconds on a real meter.
        num_windows: windows, for range and standard error.
        min_runs: least number of timed runs in a window.
        clock: monotonic seconds.
        sleep: waits, for the idle baseline.
    """

    window_s: float = 3.0
    num_windows: int = 3
    min_runs: int = 5
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not self.window_s > 0 or self.num_windows < 2 or self.min_runs < 1:
            raise ConfigError(
                f"bench: window_s {self.window_s}, num_windows {self.num_windows}, min_runs {self.min_runs}; "
                "allowed are > 0, at least 2, at least 1"
            )


@dataclass(frozen=True)
class _Window:
    durations_s: list[float]
    elapsed_s: float
    energy_j: float | None


def measure_reference(
    run: Callable[[], None],
    *,
    flop_per_run: int,
    num_samples_per_run: int,
    batch: int,
    device_name: str,
    workload: str,
    meter: Meter | None,
    profile: Profile,
    bench: Bench | None = None,
) -> ReferenceMeasurement:
    """Run `run` in windows and return its energy per inference.

    Metered: energy of a window / inferences in it, and above idle: that minus idle power × time, refused below
    twice its uncertainty. Without a meter: the bracket flop · TDP_low / peak_high … longest run · TDP_high.

    Args:
        run: one forward pass over `num_samples_per_run` inferences; must return only when the device is done.
        flop_per_run: its floating-point operations.
        num_samples_per_run: inferences per run.
        batch: samples per forward call.
        device_name: for the report.
        workload: what runs, for the report.
        meter: an energy counter, or None.
        profile: a processor profile.
        bench: window length and repeats.

    Raises:
        ProfileError: the profile is not a processor.
        ConfigError: counts below 1.
    """
    bench = bench or Bench()
    base = bound_reference(
        flop_per_run=flop_per_run,
        num_samples_per_run=num_samples_per_run,
        batch=batch,
        device_name=device_name,
        workload=workload,
        profile=profile,
    )
    for _ in range(WARM_UP_RUNS):
        run()
    idle_before = _idle_power(meter, bench)
    windows = [_run_window(run, meter, bench) for _ in range(bench.num_windows)]
    idle_after = _idle_power(meter, bench)
    timed = _timed(base, [duration for window in windows for duration in window.durations_s], profile)
    if meter is None or idle_before is None or idle_after is None:
        return timed
    return _metered(timed, meter, bench, windows, (idle_before, idle_after))


def bound_reference(
    *,
    flop_per_run: int,
    num_samples_per_run: int,
    batch: int,
    device_name: str,
    workload: str,
    profile: Profile,
) -> ReferenceMeasurement:
    """Return the least energy that a device which is not at hand can need: FLOPs × TDP_low / peak rate_high.

    Raises:
        ProfileError: the profile is not a processor.
        ConfigError: counts below 1.
    """
    if profile.family != "processor":
        raise ProfileError(f"profile {profile.name}: is no processor; allowed is one, for example cpu-generic")
    if min(flop_per_run, num_samples_per_run, batch) < 1:
        raise ConfigError(
            f"reference {workload}: {flop_per_run} FLOP, {num_samples_per_run} samples per run, batch {batch}; "
            "allowed is at least 1 each"
        )
    joule_per_flop = profile.coefficient("tdp_power").low / profile.coefficient("peak_flop_rate").high
    return ReferenceMeasurement(
        device_name=device_name,
        profile=profile.name,
        workload=workload,
        batch=batch,
        num_samples_per_run=num_samples_per_run,
        flop_per_run=flop_per_run,
        num_runs=0,
        latency_s=None,
        latency_low_s=None,
        latency_high_s=None,
        badge="bound",
        energy_low_j=flop_per_run * joule_per_flop / num_samples_per_run,
        energy_mid_j=None,
        energy_high_j=None,
        dynamic_j=None,
        idle_power_w=None,
        meter=None,
        window_s=None,
        num_windows=0,
        standard_error_j=None,
        notes=("lower bound only, nothing ran on this device: FLOPs × TDP / peak rate", *profile.notes),
    )


def _timed(base: ReferenceMeasurement, durations: list[float], profile: Profile) -> ReferenceMeasurement:
    """Close the bracket above: longest run × largest power."""
    return dataclasses.replace(
        base,
        num_runs=len(durations),
        latency_s=statistics.median(durations),
        latency_low_s=min(durations),
        latency_high_s=max(durations),
        energy_high_j=max(durations) * profile.coefficient("tdp_power").high / base.num_samples_per_run,
        notes=(
            "analytic bracket, not measured: least FLOPs × TDP / peak rate, most longest run × largest power",
            *profile.notes,
        ),
    )


def _run_window(run: Callable[[], None], meter: Meter | None, bench: Bench) -> _Window:
    durations: list[float] = []
    start_j = meter.read_j() if meter else None
    start_s = bench.clock()
    now_s = start_s
    while now_s - start_s < bench.window_s or len(durations) < bench.min_runs:
        run()
        done_s = bench.clock()
        durations.append(done_s - now_s)
        now_s = done_s
    energy_j = meter.read_j() - start_j if meter and start_j is not None else None
    return _Window(durations, now_s - start_s, energy_j)


def _idle_power(meter: Meter | None, bench: Bench) -> float | None:
    if meter is None:
        return None
    start_j, start_s = meter.read_j(), bench.clock()
    bench.sleep(bench.window_s)
    return (meter.read_j() - start_j) / (bench.clock() - start_s)


def _metered(
    timed: ReferenceMeasurement,
    meter: Meter,
    bench: Bench,
    windows: list[_Window],
    idle_w: tuple[float, float],
) -> ReferenceMeasurement:
    """Turn window energies into joules per inference, and above idle if that stands out from the noise."""
    inferences = [len(window.durations_s) * timed.num_samples_per_run for window in windows]
    energies = [(window.energy_j or 0.0) / count for window, count in zip(windows, inferences, strict=True)]
    mean_j = statistics.fmean(energies)
    standard_error_j = statistics.stdev(energies) / len(energies) ** 0.5
    seconds = sum(window.elapsed_s for window in windows) / sum(inferences)
    idle_power_w = statistics.fmean(idle_w)
    dynamic_j = mean_j - idle_power_w * seconds
    # three independent doubts: spread of windows, drift of the idle baseline, granularity of the counter
    drift_j = abs(idle_w[0] - idle_w[1]) / 2 * seconds
    granularity_j = mean_j * meter.update_interval_s / bench.window_s
    noise_j = (standard_error_j**2 + drift_j**2 + granularity_j**2) ** 0.5
    resolved = dynamic_j > NOISE_FACTOR * noise_j
    notes = [f"covers {meter.covers}", "energy includes idle power; dynamic is what lies above idle"]
    if not resolved:
        notes.append(
            f"dynamic energy refused: {dynamic_j:.3g} J is below {NOISE_FACTOR:g} × its noise of {noise_j:.3g} J"
        )
    return dataclasses.replace(
        timed,
        badge="measured",
        energy_low_j=min(energies),
        energy_mid_j=mean_j,
        energy_high_j=max(energies),
        dynamic_j=dynamic_j if resolved else None,
        idle_power_w=idle_power_w,
        meter=meter.name,
        window_s=bench.window_s,
        num_windows=len(windows),
        standard_error_j=standard_error_j,
        notes=tuple(notes),
    )
