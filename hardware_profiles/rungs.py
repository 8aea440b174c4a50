"""The rungs of the parity ladder: what a comparison found, on disk and for a person.

* `exact`: spikes (and membranes and thresholds, where both worlds keep them in one format) are equal arrays.
* `bounded`: float worlds that round differently; every deviation from the yardstick (float64, fed with that
  world's own spike history) lies within the derived rounding bound.
* `quantised`: float against integers; differences are expected and stated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .artifact import read_json, write_json
from .config import from_mapping
from .errors import ArtifactError, ConfigError

PARITY_FILE = "parity.json"
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
    membrane_mismatches: int | None = None
    unexplained: int | None = None
    spikes: int
    silent_neurons: int
    num_neurons: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A comparison of two worlds, and the class of equality that it claims."""

    name: str
    left: str
    right: str
    exactness: Exactness
    layers: tuple[LayerParity, ...]

    @property
    def compared(self) -> int:
        """Neuron-steps compared, all layers."""
        return sum(layer.compared for layer in self.layers)

    @property
    def spikes(self) -> int:
        """Spikes in the left world, all layers; a silent comparison proves nothing."""
        return sum(layer.spikes for layer in self.layers)

    @property
    def differences(self) -> int:
        """Neuron-steps whose spikes or membranes differ, each counted where it was found."""
        return sum(layer.mismatches + (layer.membrane_mismatches or 0) for layer in self.layers)

    @property
    def holds(self) -> bool:
        """True if the claim of this class of equality is met in every layer."""
        if self.exactness == "exact":
            return not self.differences
        return all(not layer.unexplained for layer in self.layers)

    @property
    def verdict(self) -> Literal["holds", "broken", "differs", "vacuous"]:
        """`differs` is expected and stated, `vacuous` means that nothing spiked or nothing was compared."""
        if not self.holds:
            return "broken"
        if not self.compared or not self.spikes:
            return "vacuous"
        return "differs" if self.exactness == "quantised" and self.differences else "holds"


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
        raise ArtifactError(f"{path}: not a file of format '{FORMAT}'; run its stage again")
    rows = values.get("rungs")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ArtifactError(
            f"{path}: 'rungs' is {type(rows).__name__}, allowed is a list of tables; run its stage again"
        )
    try:
        return tuple(from_mapping(Rung, _fields(row), str(path)) for row in rows)
    except ConfigError as error:
        raise ArtifactError(f"{error}; run its stage again") from error


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """Rename `class`, which is no field name in Python, and leave out what follows from the rest."""
    fields = {key: value for key, value in row.items() if key not in ("class", "holds")}
    return {**fields, "exactness": row.get("class")}


def print_rungs(rungs: Sequence[Rung]) -> None:
    """Print the ladder for a person: one line per rung, and one per layer that breaks it or has a note."""
    for rung in rungs:
        known = [layer.membrane_mismatches for layer in rung.layers if layer.membrane_mismatches is not None]
        states = f", {sum(known)} membranes" if known else ""
        silent, neurons = (
            sum(getattr(layer, what) for layer in rung.layers) for what in ("silent_neurons", "num_neurons")
        )
        print(
            f"{rung.name}  [{rung.exactness}: {_VERDICTS[rung.verdict]}]\n"
            f"  {sum(layer.mismatches for layer in rung.layers)} of {rung.compared} spikes differ{states}; "
            f"{len(rung.layers)} layers, {rung.spikes} spikes, {silent} of {neurons} neurons silent"
        )
        for layer in rung.layers if rung.exactness != "quantised" else ():
            if layer.mismatches or layer.membrane_mismatches or layer.unexplained or layer.note:
                print(f"    {layer.name}: {_told(layer)}")


_VERDICTS = {
    "holds": "holds",
    "broken": "DOES NOT HOLD",
    "differs": "differs",
    "vacuous": "SAYS NOTHING, for nothing spiked",
}


def _told(layer: LayerParity) -> str:
    words = [f"{layer.mismatches} of {layer.compared} spikes differ"]
    if layer.membrane_mismatches is not None:
        words.append(f"{layer.membrane_mismatches} membranes")
    if layer.unexplained is not None:
        words.append(f"{layer.unexplained} beyond rounding")
    return ", ".join(words) + (f"; {layer.note}" if layer.note else "")
