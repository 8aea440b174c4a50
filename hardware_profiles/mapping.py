"""How many cores a network needs at least, and which published limit says so.

Every figure here is a lower bound: packing, index bits, duplicated axons and relay neurons come on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .activity import Activity, LayerActivity
from .errors import ProfileError
from .profile import Profile

CAVEAT = "lower bound: packing and index overhead are not modelled yet"


@dataclass(frozen=True, kw_only=True)
class LayerCores:
    """Cores that one layer needs at least when it shares them with no other layer.

    Attributes:
        layer: its name.
        num_cores: at least so many.
        binding_limit: the profile's limit that asks for them.
        utilization: for each limit, demand over what one core offers.
    """

    layer: str
    num_cores: int
    binding_limit: str
    utilization: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class CoreBound:
    """Cores and chips that a network needs at least.

    Attributes:
        layers: one entry per layer that lives on the chip.
        num_cores: for all layers together, cores shared freely, so it can be below the sum of `layers`.
        num_chips: chips that hold `num_cores`.
        binding_limit: the limit that decides `num_cores`.
        caveat: what the bound leaves out.
    """

    layers: tuple[LayerCores, ...]
    num_cores: int
    num_chips: int
    binding_limit: str
    caveat: str = CAVEAT


def core_bound(activity: Activity, profile: Profile) -> CoreBound:
    """Return the least number of cores under the profile's limits.

    Per limit: neurons · compartments per neuron / neurons_per_core; non-zero synapses · weight_bits /
    synaptic_memory_bits_per_core; presynaptic neurons / input_axons_per_core. Layers together: the first two
    demands add up; axons do not, since layers on one core can share a source, so the largest layer counts.

    Raises:
        ProfileError: the profile is no neuromorphic chip, or the run has no layer for it.
    """
    if profile.family != "neuromorphic" or profile.integers is None:
        raise ProfileError(f"profile {profile.name}: is a {profile.family}; cores are counted on a chip, say loihi2")
    demands = {
        layer.name: _demand(layer, compartments_per_neuron(layer, activity, profile), profile.integers.weight_bits)
        for layer in activity.layers
        if layer.kind != "input"
    }
    if not demands:
        raise ProfileError(
            "activity: has only input layers, so nothing runs on a chip; simulate a network with neurons"
        )
    layers = tuple(_layer_cores(name, demand, profile) for name, demand in demands.items())
    together = {
        "neurons_per_core": sum(demand["neurons_per_core"] for demand in demands.values()),
        "synaptic_memory_bits_per_core": sum(d["synaptic_memory_bits_per_core"] for d in demands.values()),
        "input_axons_per_core": max(demand["input_axons_per_core"] for demand in demands.values()),
    }
    whole = _layer_cores("all", together, profile)
    cores_per_chip = profile.require_limit("cores_per_chip").value
    return CoreBound(
        layers=layers,
        num_cores=whole.num_cores,
        num_chips=-(-whole.num_cores // cores_per_chip),
        binding_limit=whole.binding_limit,
    )


def compartments_per_neuron(layer: LayerActivity, activity: Activity, profile: Profile) -> int:
    """Return how many hardware compartments one neuron of `layer` occupies.

    Only plain LIF layers can have a costly reset; the run does not say which of them, so all are charged.
    """
    return profile.compartments_per_neuron(activity.requires) if layer.kind == "lif" else 1


def _demand(layer: LayerActivity, compartments: int, weight_bits: int) -> dict[str, int]:
    return {
        "neurons_per_core": layer.num_neurons * compartments,
        "synaptic_memory_bits_per_core": layer.num_synapses * weight_bits,
        "input_axons_per_core": layer.fan_in,
    }


def _layer_cores(name: str, demand: Mapping[str, int], profile: Profile) -> LayerCores:
    """Divide each demand by its limit; the largest quotient binds."""
    offered = {limit.name: limit.value for limit in profile.limits if limit.name in demand}
    binding = max(offered, key=lambda limit: demand[limit] / offered[limit])
    return LayerCores(
        layer=name,
        num_cores=max(1, -(-demand[binding] // offered[binding])),
        binding_limit=binding,
        utilization={limit: demand[limit] / offered[limit] for limit in offered},
    )
