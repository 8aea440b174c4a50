from __future__ import annotations

from pathlib import Path

import pytest

from hardware_profiles.mapping import core_bound
from hardware_profiles.profile import load_profile
from hardware_profiles.step_time import time_inference

from .toy import layer, toy_activity, toy_profile


def test_the_busiest_core_and_the_barrier_make_the_step(tmp_path: Path) -> None:
    activity, profile = toy_activity(), toy_profile(tmp_path)
    timing = time_inference(activity, profile, core_bound(activity, profile))
    assert timing is not None
    # hidden: 800 synops / 10 steps run / 2 cores = 40 per core and step; 20 neurons / 2 cores = 10
    assert timing.busiest_layer == "hidden"
    assert timing.step_s.low == pytest.approx(40 * 1e-9 + 10 * 10e-9 + 100e-9)
    assert timing.step_s.mid == pytest.approx(40 * 2e-9 + 10 * 10e-9 + 200e-9)
    assert timing.step_s.high == pytest.approx(40 * 3e-9 + 10 * 20e-9 + 400e-9)
    # five steps and one of latency
    assert timing.num_steps == 6
    assert timing.inference_s.mid == pytest.approx(6 * 380e-9)
    assert timing.kind == "simulated"


def test_a_floor_holds_the_step_up(tmp_path: Path) -> None:
    activity = toy_activity()
    profile = toy_profile(tmp_path, step_time_floor=(5e-6, 8e-6, 13e-6, "s", "measured"))
    timing = time_inference(activity, profile, core_bound(activity, profile))
    assert timing is not None
    assert (timing.step_s.low, timing.step_s.mid, timing.step_s.high) == (5e-6, 8e-6, 13e-6)


def test_without_a_synop_time_there_is_no_step_time(tmp_path: Path) -> None:
    activity, profile = toy_activity(), toy_profile(tmp_path, synop_time=None)
    assert time_inference(activity, profile, core_bound(activity, profile)) is None


def test_loihi1_never_steps_faster_than_seen_in_practice() -> None:
    activity, profile = toy_activity(), load_profile("loihi1")
    timing = time_inference(activity, profile, core_bound(activity, profile))
    assert timing is not None
    assert (timing.step_s.low, timing.step_s.high) == (5.8e-6, 13e-6)


def test_loihi2_reproduces_the_pilotnet_scale() -> None:
    """PilotNet LIF, 152.8 µs measured: its conv1 core does 153 k synops in 107 to 125 µs (energy notes, section 0)."""
    layers = (layer("conv1", "lif", num_neurons=4096, num_synapses=1, fan_in=1, synops=153_000),)
    activity = toy_activity(layers=layers, num_samples=1, num_steps=1)
    profile = load_profile("loihi2")
    timing = time_inference(activity, profile, core_bound(activity, profile))
    assert timing is not None
    assert timing.step_s.low < 107e-6 < 125e-6 < timing.step_s.high
    assert timing.kind == "assumed"
