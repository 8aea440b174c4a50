"""The parity ladder: two worlds compared per layer and per step, and the class of equality each rung claims.

* `exact`: spikes (and membranes and thresholds, where both worlds keep them in one format) are equal arrays.
* `bounded`: float worlds that round differently; every deviation from the yardstick (float64, fed with that
  world's own spike history) lies within the derived rounding bound.
* `quantised`: float against integers; differences are expected and stated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hardware_profiles.artifact import read_json, write_json
from hardware_profiles.config import from_mapping
from hardware_profiles.errors import ArtifactError, ConfigError

from .float_interpreter import run_float
from .graph import Graph
from .trace import Array, LayerTrace, Trace

FORMAT = "axonport-parity-1"
Exactness = Literal["exact", "bounded", "quantised"]


@dataclass(frozen=True, kw_only=True)
class LayerParity:
    """One layer of one rung.

    Attributes:
        name: neuron node.
        compared: neuron-steps compared.
        mismatches: neuron-steps whose spikes differ.
        membrane_mismatches: neuron-steps whose membranes differ and steps whose thresholds differ; None where
            neither was compared: the number formats differ, or nothing was recorded.
        unexplained: deviations beyond the rounding bound; None unless the rung is `bounded`.
        spikes: spikes in the left world; silence would make equality worthless.
        silent_neurons: neurons that never spike in the left world.
        num_neurons: neurons of the layer.
        note: what a reader should know, such as the spike-rate change.
    """

    name: str
    compared: int
    mismatches: int
    membrane_mismatches: int | None
    unexplained: int | None
    spikes: int
    silent_neurons: int
    num_neurons: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A comparison of two worlds; `holds` says whether its claim is true."""

    name: str
    left: str
    right: str
    exactness: Exactness
    layers: tuple[LayerParity, ...]

    @property
    def holds(self) -> bool:
        """True if the claim of this class of equality is met in every layer."""
        if self.exactness == "exact":
            return all(not layer.mismatches and not layer.membrane_mismatches for layer in self.layers)
        return all(not layer.unexplained for layer in self.layers)


def compare_exact(name: str, left: str, right: str, left_trace: Trace, right_trace: Trace) -> Rung:
    """Compare two worlds that must be equal: spikes, membranes and thresholds."""
    layers = tuple(
        _layer_parity(node, left_trace[node], right_trace[node], membranes=True)
        for node in _common(left_trace, right_trace)
    )
    return Rung(name=name, left=left, right=right, exactness="exact", layers=layers)


def compare_bounded(
    name: str, left: str, right: str, left_trace: Trace, right_trace: Trace, graph: Graph, inputs: Mapping[str, Array]
) -> Rung:
    """Compare two float worlds of `graph` that may round differently.

    Each world's decisions are checked against the yardstick under its own spike history.
    """
    unexplained = [count_unexplained(graph, inputs, trace) for trace in (left_trace, right_trace)]
    layers = tuple(
        dataclasses.replace(
            _layer_parity(node, left_trace[node], right_trace[node], membranes=False),
            unexplained=sum(counts[node] for counts in unexplained),
        )
        for node in _common(left_trace, right_trace)
    )
    return Rung(name=name, left=left, right=right, exactness="bounded", layers=layers)


def compare_quantised(name: str, left: str, right: str, left_trace: Trace, right_trace: Trace) -> Rung:
    """State how far an integer world departs from a float world: spikes that differ and rates."""
    layers = []
    for node in _common(left_trace, right_trace):
        parity = _layer_parity(node, left_trace[node], right_trace[node], membranes=False)
        left_rate, right_rate = left_trace[node].s.mean(), right_trace[node].s.mean()
        note = f"rate {left_rate:.4f} → {right_rate:.4f} spikes per neuron and step"
        layers.append(dataclasses.replace(parity, note=note))
    return Rung(name=name, left=left, right=right, exactness="quantised", layers=tuple(layers))


def count_unexplained(graph: Graph, inputs: Mapping[str, Array], trace: Trace) -> dict[str, int]:
    """Count, per layer, decisions that rounding cannot explain.

    A decision of `trace` may differ from the float64 yardstick under the same history only where
    |U − θ| is at most the rounding bound of that neuron and step.
    """
    run = run_float(graph, inputs, dtype=torch.float64, forced=trace, with_bound=True)
    return {
        node: int(((run.trace[node].s != trace[node].s) & (np.abs(run.margin[node]) > run.rounding_bound[node])).sum())
        for node in trace
    }


def write_parity(path: Path, rungs: Sequence[Rung]) -> None:
    """Write the ladder as JSON."""
    rows: list[dict[str, Any]] = []
    for rung in rungs:
        row = dataclasses.asdict(rung)
        row["class"] = row.pop("exactness")
        rows.append({**row, "holds": rung.holds})
    write_json(path, {"format": FORMAT, "rungs": rows})


def read_parity(path: Path) -> tuple[Rung, ...]:
    """Read the ladder that a stage wrote.

    Raises:
        ArtifactError: missing, foreign or damaged file.
    """
    values: Any = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ArtifactError(f"{path}: not a parity file; allowed is format '{FORMAT}', run the stage again")
    try:
        rows = [{**row, "exactness": row["class"]} for row in values["rungs"]]
        fields = [{key: value for key, value in row.items() if key not in ("class", "holds")} for row in rows]
        return tuple(from_mapping(Rung, field, str(path)) for field in fields)
    except (KeyError, TypeError, ConfigError) as error:
        raise ArtifactError(
            f"{path}: damaged parity file ({error}); remove its folder and run the stage again"
        ) from error


def print_rungs(rungs: Sequence[Rung]) -> None:
    """Print the ladder for a person, one line per layer."""
    for rung in rungs:
        print(f"{rung.name}  [{rung.exactness}{'' if rung.holds else ': DOES NOT HOLD'}]")
        for layer in rung.layers:
            states = "" if layer.membrane_mismatches is None else f", membranes {layer.membrane_mismatches}"
            silent = f"{layer.silent_neurons}/{layer.num_neurons} neurons silent"
            print(
                f"  {layer.name:<22} {layer.mismatches} of {layer.compared} spikes differ{states}; "
                f"{layer.spikes} spikes, {silent} {layer.note}"
            )


def _common(left: Trace, right: Trace) -> list[str]:
    assert set(left) == set(right), "worlds of one graph have the same neuron nodes"
    return list(left)


def _layer_parity(name: str, left: LayerTrace, right: LayerTrace, membranes: bool) -> LayerParity:
    assert left.s.shape == right.s.shape, f"{name}: {left.s.shape} against {right.s.shape}"
    spikes_per_neuron = left.s.sum(axis=(0, 1), dtype=np.int64)
    return LayerParity(
        name=name,
        compared=int(left.s.size),
        mismatches=int((left.s != right.s).sum()),
        membrane_mismatches=_state_mismatches(left, right) if membranes else None,
        unexplained=None,
        spikes=int(spikes_per_neuron.sum()),
        silent_neurons=int((spikes_per_neuron == 0).sum()),
        num_neurons=int(left.s.shape[2]),
    )


def _state_mismatches(left: LayerTrace, right: LayerTrace) -> int | None:
    counts = []
    for a, b in ((left.v, right.v), (left.theta, right.theta)):
        assert (a is None) == (b is None), "both worlds record the same states"
        if a is not None and b is not None:
            counts.append(int((a != b).sum()))
    return sum(counts) if counts else None
