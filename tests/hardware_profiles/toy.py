"""A chip with round numbers and a run on it whose bill can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hardware_profiles.activity import FORMAT, Activity, LayerActivity
from hardware_profiles.profile import Profile, read_profile


def coefficient(name: str, low: float, value: float, high: float, unit: str, kind: str = "simulated") -> str:
    return (
        f"[coefficients.{name}]\nvalue = {value}\nlow = {low}\nhigh = {high}\nunit = '{unit}'\n"
        f"covers = 'one {name}'\nsource = 'toy table, row {name}'\nkind = '{kind}'\n"
    )


COEFFICIENTS = {
    "synop_energy": (1e-12, 2e-12, 4e-12, "J"),
    "neuron_update_active_energy": (10e-12, 20e-12, 30e-12, "J"),
    "neuron_update_inactive_energy": (5e-12, 10e-12, 15e-12, "J"),
    "spike_within_tile_energy": (1e-12, 1e-12, 2e-12, "J"),
    "spike_hop_energy": (3e-12, 3e-12, 4e-12, "J"),
    "hops_per_spike": (0.0, 2.0, 5.0, "1", "assumed"),
    "threshold_controller_energy": (50e-12, 100e-12, 200e-12, "J", "assumed"),
    "threshold_delivery_energy": (0.0, 1e-12, 3e-12, "J", "assumed"),
    "static_power": (0.1, 0.1, 0.2, "W", "measured"),
    "host_power": (0.0, 0.05, 0.1, "W", "measured"),
    "synop_time": (1e-9, 2e-9, 3e-9, "s"),
    "neuron_update_time": (10e-9, 10e-9, 20e-9, "s"),
    "barrier_time": (100e-9, 200e-9, 400e-9, "s"),
}

HEADER = "format = 'axonport-profile-1'\nname = 'toy'\ntitle = 'Toy chip'\nfamily = 'neuromorphic'\nnotes = ['a toy']\n"

LIMITS = """
[limits.neurons_per_core]
value = 10
source = 'toy'
[limits.synaptic_memory_bits_per_core]
value = 800
source = 'toy'
[limits.input_axons_per_core]
value = 40
source = 'toy'
[limits.cores_per_chip]
value = 20
source = 'toy'
"""

CAPABILITIES = """
[capabilities]
binary_spikes = { supported = true, source = 'toy' }
graded_spikes = { supported = false, source = 'toy' }
dynamic_threshold = { supported = false, source = 'toy' }
hard_reset = { supported = true, source = 'toy' }
subtract_reset = { supported = true, compartments_per_neuron = 2, source = 'toy' }
no_reset = { supported = true, source = 'toy' }
held_state = { supported = false, source = 'toy' }

[integer_format]
weight_bits = 8
decay_bits = 12
state_bits = 24
threshold_bits = 17
state_shift = 6
bias_mantissa_bits = 13
bias_exponent_bits = 3
"""


def profile_toml(**changed: Any) -> str:
    """The toy's file; `name=None` leaves a coefficient out, `name=(low, value, high, unit[, kind])` changes it."""
    figures = {**COEFFICIENTS, **changed}
    tables = [coefficient(name, *entry) for name, entry in figures.items() if entry is not None]
    return HEADER + "".join(tables) + LIMITS + CAPABILITIES


def toy_profile(folder: Path, **changed: Any) -> Profile:
    path = folder / "toy.toml"
    path.write_text(profile_toml(**changed))
    return read_profile(path)


def layer(name: str, kind: str, **counts: int) -> LayerActivity:
    names = (
        "num_neurons",
        "num_synapses",
        "fan_in",
        "spikes",
        "graded_messages",
        "synops",
        "dense_synops",
        "updates",
        "controller_updates",
        "saturations",
    )
    return LayerActivity(name=name, kind=kind, **{field: counts.get(field, 0) for field in names})


def toy_activity(requires: tuple[str, ...] = ("binary_spikes", "hard_reset"), **changed: Any) -> Activity:
    """Two samples of five steps: 8 inputs, a dynamic layer of 20 neurons and its controller, a read-out of 4."""
    layers = (
        layer("events", "input", num_neurons=8, spikes=40),
        layer(
            "hidden",
            "dynamic_threshold_lif",
            num_neurons=20,
            num_synapses=160,
            fan_in=8,
            spikes=60,
            synops=800,
            dense_synops=1000,
            updates=200,
        ),
        layer(
            "hidden.threshold",
            "threshold_controller",
            num_neurons=2,
            num_synapses=8,
            fan_in=8,
            graded_messages=16,
            synops=40,
            updates=20,
            controller_updates=10,
        ),
        layer("out", "lif", num_neurons=4, num_synapses=80, fan_in=20, spikes=10, synops=240, updates=40),
    )
    values: dict[str, Any] = {
        "format": FORMAT,
        "number_format": "fixed_pt",
        "granularity": "fused",
        "num_samples": 2,
        "num_steps": 5,
        "latency_steps": 1,
        "requires": requires,
        "layers": layers,
    }
    return Activity(**{**values, **changed})
