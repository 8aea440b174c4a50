"""Networks that `onnx_network` wrote, run by ONNX Runtime on one thread of the CPU, in batches of bounded size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..errors import ExportError, InputDataError
from ..graph import Graph
from ..nodes import NEURONS
from ..trace import Array, LayerTrace, Trace

MAX_RUN_BYTES = 256 << 20
"""Inputs and outputs of one call of ONNX Runtime; larger batches are cut."""


def run_onnx(path: Path, inputs: Mapping[str, Array], *, max_bytes: int = MAX_RUN_BYTES) -> dict[str, Array]:
    """Run a model that `write_onnx` wrote, in ONNX Runtime on one thread of the CPU.

    Args:
        path: the model.
        inputs: name to `[T, B, *shape]` or `[T, B, size]`.
        max_bytes: bound on inputs and outputs of one call; the batch is cut accordingly.

    Returns:
        name to array, first axes `[T, B]`.

    Raises:
        InputDataError: names or shapes do not fit the model.
        ExportError: the file is missing or damaged, or ONNX Runtime cannot run it.
    """
    session = open_session(path)
    arrays = {entry.name: _fitted(entry, inputs) for entry in session.get_inputs()}
    extents = {array.shape[:2] for array in arrays.values()}
    if len(extents) != 1 or set(inputs) != set(arrays) or 0 in next(iter(extents)):
        raise InputDataError(
            f"inputs: are {sorted(inputs)} with [T, B] {sorted(extents)}, allowed are exactly {sorted(arrays)} "
            "with one T ≥ 1 and one B ≥ 1"
        )
    num_steps, batch = next(iter(extents))
    values = sum(_values(entry) for entry in (*session.get_inputs(), *session.get_outputs()))
    part = max(1, max_bytes // (4 * num_steps * values))
    names = [entry.name for entry in session.get_outputs()]
    parts = list(_run_parts(session, path, arrays, batch, part))
    return {name: np.concatenate(column, axis=1) for name, column in zip(names, zip(*parts, strict=True), strict=True)}


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open a model for one thread of the CPU, its operations performed as they are written.

    ONNX Runtime's own optimisers add membranes inside of matrix products and multiply constants into kernels: other
    roundings than the graph's, for a tenth of the time at best.

    Raises:
        ExportError: missing or damaged file.
    """
    if not path.is_file():
        raise ExportError(f"{path}: no such file; write it with write_onnx, or check the name")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    with _one_line(path, "not an ONNX model that ONNX Runtime opens"):
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run_parts(
    session: onnxruntime.InferenceSession, path: Path, arrays: Mapping[str, Array], batch: int, part: int
) -> Iterator[list[Array]]:
    for start in range(0, batch, part):
        fed = {name: np.ascontiguousarray(array[:, start : start + part]) for name, array in arrays.items()}
        with _one_line(path, "ONNX Runtime cannot run it"):
            yield session.run(None, fed)


@contextlib.contextmanager
def _one_line(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime's errors share no base class below Exception
        raise ExportError(f"{path}: {what} ({str(error).splitlines()[0]}); write it again") from error


def _fitted(entry: Any, inputs: Mapping[str, Array]) -> Array:
    """Return one input as float32 `[T, B, *shape]`."""
    shape = tuple(entry.shape[2:])
    if entry.name not in inputs:
        raise InputDataError(f"input {entry.name}: missing, there are {', '.join(sorted(inputs))}; rename the array")
    array = inputs[entry.name]
    if array.ndim < 3 or array.shape[2:] not in (shape, (_values(entry),)):
        allowed = ", ".join(map(str, shape))
        raise InputDataError(f"input {entry.name}: shape {array.shape}, allowed is [T, B, {allowed}]")
    return array.astype(np.float32).reshape(*array.shape[:2], *shape)


def _values(entry: Any) -> int:
    return int(np.prod(entry.shape[2:]))


def onnx_trace(graph: Graph, outputs: Mapping[str, Array]) -> Trace:
    """Sort the outputs of a model written with `record` into a trace, neurons in C order."""
    trace: Trace = {}
    for name in graph.of_type(NEURONS):
        spikes, membranes = outputs[f"{name}/spikes"], outputs.get(f"{name}/membranes")
        extent = (*spikes.shape[:2], -1)
        trace[name] = LayerTrace(
            s=spikes.astype(np.uint8).reshape(extent),
            v=None if membranes is None else membranes.reshape(extent),
            theta=outputs.get(f"{name}/thresholds"),
        )
    return trace
