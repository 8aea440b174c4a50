"""One network in several worlds (snnTorch, graph as read, `.nir` file, ONNX, integers), each compared with the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hardware_profiles.rungs import Rung

from .graph import Graph
from .interpreters.float_interpreter import run_float
from .interpreters.integer_interpreter import run_integer
from .onnx_model.network import write_onnx
from .onnx_model.run import onnx_trace, run_onnx
from .parity import compare_bounded, compare_exact, compare_quantised
from .trace import Array, Trace, first_samples

WORLD_TORCH = "snnTorch float32"
WORLD_READ = "graph as read, float32"
WORLD_FLOAT = "IR float32 (from the .nir file)"
WORLD_INTEGER = "NumPy integer interpreter"
WORLD_ONNX = "ONNX Runtime float32"


@dataclass(frozen=True, eq=False, kw_only=True)
class Models:
    """The graphs of one export.

    Attributes:
        as_read: of the network, or of a foreign `.nir` file.
        float_graph: what `model.nir` holds, neurons that standard nodes spell out put together again.
        integer_graph: what the chip computes.
        carried: how `as_read` became `float_graph`: "as_is", "rewritten" (folded or spelled out, so it may round
            differently), or "frozen" (thresholds that moved stand still, so spikes differ).
    """

    as_read: Graph
    float_graph: Graph
    integer_graph: Graph
    carried: Literal["as_is", "rewritten", "frozen"]

    def on_chip(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the inputs that `float_graph` still has: those that only moved frozen thresholds are gone."""
        return {name: array for name, array in inputs.items() if name in self.float_graph.nodes}


@dataclass(frozen=True, eq=False, kw_only=True)
class Climbed:
    """What the worlds did, compared.

    Attributes:
        rungs: each world with the next.
        float_trace: of `float_graph`.
        integer_trace: of `integer_graph`.
    """

    rungs: list[Rung]
    float_trace: Trace
    integer_trace: Trace


def climb(models: Models, inputs: Mapping[str, Array], torch_trace: Trace | None) -> Climbed:
    """Run the graphs and compare each world with the next.

    Args:
        models: the graphs.
        inputs: name to `[T, N, *shape]`.
        torch_trace: of the network itself; None for a `.nir` file.
    """
    float_trace = run_float(models.float_graph, models.on_chip(inputs)).trace
    integer_trace = run_integer(models.integer_graph, models.on_chip(inputs))
    rungs = []
    if torch_trace is not None and models.carried == "as_is":
        rungs.append(_exact(WORLD_TORCH, WORLD_FLOAT, torch_trace, float_trace))
    else:
        read_trace = run_float(models.as_read, inputs).trace
        if torch_trace is not None:
            rungs.append(_exact(WORLD_TORCH, WORLD_READ, torch_trace, read_trace))
        rungs.append(_read_with_file(models, inputs, read_trace, float_trace))
    name = f"{WORLD_FLOAT} → {WORLD_INTEGER}"
    rungs.append(compare_quantised(name, WORLD_FLOAT, WORLD_INTEGER, float_trace, integer_trace))
    return Climbed(rungs=rungs, float_trace=float_trace, integer_trace=integer_trace)


def compare_onnx(models: Models, inputs: Mapping[str, Array], num_samples: int, path: Path) -> Rung:
    """Write the ONNX file, first with all layers' spikes as outputs to compare them, then as it is kept."""
    write_onnx(models.float_graph, path, record=True)
    first = first_samples(models.on_chip(inputs), num_samples)
    trace = onnx_trace(models.float_graph, run_onnx(path, first))
    reference = run_float(models.float_graph, first).trace
    name = f"{WORLD_FLOAT} ≈ {WORLD_ONNX}"
    rung = compare_bounded(name, WORLD_FLOAT, WORLD_ONNX, reference, trace, models.float_graph, first)
    write_onnx(models.float_graph, path)
    return rung


def _exact(left: str, right: str, left_trace: Trace, right_trace: Trace) -> Rung:
    return compare_exact(f"{left} = {right}", left, right, left_trace, right_trace)


def _read_with_file(models: Models, inputs: Mapping[str, Array], read_trace: Trace, float_trace: Trace) -> Rung:
    pair = (WORLD_READ, WORLD_FLOAT, read_trace, float_trace)
    if models.carried == "frozen":
        return compare_quantised(f"{WORLD_READ} → {WORLD_FLOAT}, thresholds frozen", *pair)
    if models.carried == "rewritten":
        return compare_bounded(f"{WORLD_READ} ≈ {WORLD_FLOAT}", *pair, models.as_read, inputs)
    return _exact(*pair)
