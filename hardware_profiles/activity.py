"""Event counts of a run: the vocabulary in which runtimes speak and energies are priced."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifact import read_json, write_json
from .config import from_mapping
from .errors import ArtifactError, ConfigError

FORMAT = "axonport-activity-1"


@dataclass(frozen=True, kw_only=True)
class LayerActivity:
    """What one layer did, summed over all samples and time steps of a run.

    Attributes:
        name: node name in the exported graph.
        kind: `input`, `lif`, `dynamic_threshold_lif` or `threshold_controller`.
        num_neurons: compartments.
        num_synapses: non-zero weights into this layer.
        fan_in: presynaptic neurons.
        spikes: binary spikes that the layer emitted.
        graded_messages: graded (multi-bit) messages that it emitted, zeros not counted.
        synops: synaptic operations into this layer on non-zero weights: Σ over incoming spikes of the
            non-zero weights in that spike's column.
        dense_synops: the same on all weights, zero or not.
        updates: neuron updates (neurons × steps × samples).
        controller_updates: threshold computations (steps × samples), 0 where the threshold is constant.
        saturations: membranes clipped at ±(2^23 − 1).
    """

    name: str
    kind: str
    num_neurons: int
    num_synapses: int
    fan_in: int
    spikes: int
    graded_messages: int
    synops: int
    dense_synops: int
    updates: int
    controller_updates: int
    saturations: int


COUNTS = ("spikes", "graded_messages", "synops", "dense_synops", "updates", "controller_updates", "saturations")
"""The fields of `LayerActivity` that grow with samples and steps; the others describe the layer."""


def add_layers(parts: Iterable[Sequence[LayerActivity]]) -> tuple[LayerActivity, ...]:
    """Add up what the same layers did on different samples.

    Args:
        parts: at least one; the layers of each in the same order.
    """
    return tuple(
        dataclasses.replace(same[0], **{field: sum(getattr(layer, field) for layer in same) for field in COUNTS})
        for same in zip(*parts, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Event counts of one run over a data set.

    Attributes:
        format: `axonport-activity-1`.
        number_format: `fixed_pt` or `floating_pt`.
        granularity: `fused`, `processes` or `interpreter`.
        num_samples: samples run.
        num_steps: time steps per sample, without latency.
        latency_steps: steps that the deepest path adds on Lava.
        requires: capabilities that the model needs of a chip, see `profile.CAPABILITIES`.
        layers: one entry per layer, inputs first.
    """

    format: str
    number_format: str
    granularity: str
    num_samples: int
    num_steps: int
    latency_steps: int
    requires: tuple[str, ...]
    layers: tuple[LayerActivity, ...]

    def layer(self, name: str) -> LayerActivity:
        """Return the layer called `name`."""
        return next(layer for layer in self.layers if layer.name == name)


def write_activity(path: Path, activity: Activity) -> None:
    """Write event counts as JSON."""
    write_json(path, dataclasses.asdict(activity))


def read_activity(path: Path) -> Activity:
    """Read event counts.

    Raises:
        ArtifactError: missing, foreign or damaged file, or negative counts.
    """
    values: Any = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ArtifactError(f"{path}: not an activity file; allowed is format '{FORMAT}', written by lava_runtime")
    try:
        activity = from_mapping(Activity, values, str(path))
    except ConfigError as error:
        raise ArtifactError(str(error)) from error
    for layer in activity.layers:
        if any(isinstance(value, int) and value < 0 for value in dataclasses.astuple(layer)):
            raise ArtifactError(f"{path}: layer '{layer.name}' has a negative count; run lava_runtime again")
    if activity.num_samples < 1 or activity.num_steps < 1:
        raise ArtifactError(f"{path}: {activity.num_samples} samples × {activity.num_steps} steps; at least 1 × 1")
    return activity
