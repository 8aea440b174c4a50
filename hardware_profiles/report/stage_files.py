"""What earlier stages left behind, as the report reads it: every file is optional, every absence is stated.

Keys that the report does not know are skipped, so that a stage may write more; what it does know is checked.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..artifact import read_json
from ..config import from_mapping
from ..errors import ArtifactError, ConfigError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class AccuracyRow:
    """Accuracy of one world: S seen, U unseen, HM their harmonic mean, ZSL unseen classes only."""

    world: str
    S: float | None = None
    U: float | None = None
    HM: float | None = None
    ZSL: float | None = None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """All worlds, and what guessing or the context alone would give."""

    rows: tuple[AccuracyRow, ...]
    chance: AccuracyRow | None = None
    context_only: AccuracyRow | None = None
    notes: tuple[str, ...] = ()

    @property
    def baselines(self) -> tuple[AccuracyRow, ...]:
        """What a network has to beat before its accuracy means anything."""
        return tuple(row for row in (self.context_only, self.chance) if row)

    @property
    def scale(self) -> float:
        """Factor to percent: files hold fractions, or percent if any figure is above 1."""
        figures = [row_figure for row in self.rows for row_figure in (row.S, row.U, row.HM, row.ZSL)]
        return 1.0 if any(figure is not None and figure > 1.0 for figure in figures) else 100.0


@dataclass(frozen=True, kw_only=True)
class ExportedModule:
    """How one module of the user's network was carried."""

    module: str
    type: str
    nodes: tuple[str, ...] = ()
    exactness: str = ""
    parameters: int = 0


@dataclass(frozen=True, kw_only=True)
class LayerQuantization:
    """What integers did to one layer; `suggestion` says what helps where spikes differ."""

    layer: str
    weight_exp: int
    scale_bits: float
    weight_error_max: float
    spike_rate_float: float
    spike_rate_integer: float
    saturations: int = 0
    share_differ: float = 0.0
    suggestion: str = ""


@dataclass(frozen=True, kw_only=True)
class HostSegment:
    """A part of the network that runs on the host, as ONNX."""

    name: str
    file: str = ""
    flop: int = 0


@dataclass(frozen=True, kw_only=True)
class NetworkInput:
    """An input of the chip part; `kind` is `spike` or `graded`."""

    name: str
    size: int
    kind: str


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What the export stage says about its result; `dt_s` is the time of the world that one step stands for."""

    modules: tuple[ExportedModule, ...] = ()
    inputs: tuple[NetworkInput, ...] = ()
    quantization: tuple[LayerQuantization, ...] = ()
    latency_steps: int = 0
    dt_s: float | None = None
    chip_parameters: int = 0
    host_segments: tuple[HostSegment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch of training; `val_hm` is the harmonic mean on the validation classes, in percent."""

    epoch: int
    loss: float
    val_hm: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingHistory:
    """How training went."""

    history: tuple[Epoch, ...]


@dataclass(frozen=True, kw_only=True)
class LayerThresholds:
    """Threshold mantissas of one layer over time, across the samples of the run."""

    name: str
    fraction_bits: int
    min: tuple[float, ...]
    median: tuple[float, ...]
    max: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.min) == len(self.median) == len(self.max) >= 1:
            raise ConfigError(f"layer '{self.name}': min, median and max differ in length or are empty")
        if not 0 <= self.fraction_bits <= 32:
            raise ConfigError(f"layer '{self.name}': fraction_bits is {self.fraction_bits}, allowed is 0..32")


@dataclass(frozen=True, kw_only=True)
class _Thresholds:
    layers: tuple[LayerThresholds, ...]


def read_accuracy(path: Path) -> Accuracy:
    """Read scores (`axonport-accuracy-1`)."""
    values = _read(path, "axonport-accuracy-1")
    for key, world in (("chance", "chance"), ("context_only", "context only, no spikes")):
        if isinstance(values.get(key), dict):
            values[key] = {**values[key], "world": world} if values[key] else None
    return _build(Accuracy, values, path)


def read_training(path: Path) -> TrainingHistory:
    """Read the history of training (`axonport-training-1`)."""
    return _build(TrainingHistory, _read(path, "axonport-training-1"), path)


def read_export(path: Path) -> ExportSummary:
    """Read the export stage's summary."""
    return _build(ExportSummary, _read(path, None), path)


def read_thresholds(path: Path) -> tuple[LayerThresholds, ...]:
    """Read thresholds over time."""
    return _build(_Thresholds, _read(path, None), path).layers


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a stage's manifest."""
    return _read(path, None)


def _read(path: Path, file_format: str | None) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict) or (file_format is not None and values.get("format") != file_format):
        raise ArtifactError(f"{path}: not a file of format '{file_format or 'JSON object'}'; run its stage again")
    if not all(math.isfinite(number) for number in _numbers(values)):
        raise ArtifactError(f"{path}: holds NaN or infinity; allowed are finite numbers, run its stage again")
    return values


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from _numbers(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _numbers(entry)
    elif isinstance(value, float):
        yield value


def _build(cls: type[T], values: dict[str, Any], path: Path) -> T:
    try:
        return from_mapping(cls, _known(cls, values), str(path))
    except ConfigError as error:
        raise ArtifactError(str(error)) from error


def _known(hint: Any, value: Any) -> Any:
    """Drop, at every depth, the keys that the report has no field for."""
    if isinstance(hint, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        return {key: _known(hints[key], entry) for key, entry in value.items() if key in hints}
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return [_known(typing.get_args(hint)[0], entry) for entry in value]
    return value
