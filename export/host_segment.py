"""Host segments in ONNX: written from torch with a free batch size, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from hardware_profiles.arithmetic import CONTEXT_MAX, quantize_context
from hardware_profiles.artifact import atomic_file

from .deployment import HostSegment, Segment
from .errors import ExportError, InputDataError
from .graph import Graph
from .nodes import Gather, Output, Reshape, Scale
from .trace import Array, Trace
from .user_code import user_code

RATE_SUFFIX = "_rate"
BATCH = 64
"""Samples per call of ONNX Runtime, which bounds its memory."""


@dataclass(frozen=True, kw_only=True)
class HostFile:
    """A host segment on disk, as `deployment.json` lists it.

    Attributes:
        name: segment name.
        file: file name inside the export folder.
        when: before or after the chip.
        inputs: names of arrays, in the order of the ONNX inputs.
        outputs: names of arrays, in the order of the ONNX outputs.
        flop: floating-point operations per sample (2 per multiply-accumulate), counted on the torch module.
    """

    name: str
    file: str
    when: Literal["before", "after"]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    flop: int


def write_host_segment(
    segment: HostSegment, arrays: Mapping[str, Array], folder: Path
) -> tuple[HostFile, dict[str, Array]]:
    """Export one segment and run it in torch.

    Args:
        segment: the segment.
        arrays: at least the segment's inputs, `[N, ...]`, N ≥ 2.
        folder: where `host_<name>.onnx` is written.

    Returns:
        (description, outputs of the torch module on `arrays`).

    Raises:
        ExportError: torch cannot export the module.
    """
    missing = [name for name in segment.inputs if name not in arrays]
    if missing:
        raise ExportError(
            f"host segment {segment.name}: no array '{missing[0]}', there are {', '.join(sorted(arrays))}"
        )
    module = segment.module.eval()
    tensors = tuple(torch.as_tensor(np.asarray(arrays[name], dtype=np.float32)) for name in segment.inputs)
    with user_code(f"host segment {segment.name}", "mend its forward"), torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            module(*(tensor[:1] for tensor in tensors))
        outputs = module(*tensors)
    if not isinstance(outputs, tuple) or len(outputs) != len(segment.outputs):
        raise ExportError(
            f"host segment {segment.name}: returns {type(outputs).__name__}, allowed is a tuple of "
            f"{len(segment.outputs)} tensors"
        )
    file = f"host_{segment.name}.onnx"
    with atomic_file(folder / file) as work, _quiet_exporter():
        _export(module, tensors, segment, work)
    described = HostFile(
        name=segment.name,
        file=file,
        when=segment.when,
        inputs=segment.inputs,
        outputs=segment.outputs,
        flop=counter.get_total_flops(),
    )
    return described, {name: value.numpy() for name, value in zip(segment.outputs, outputs, strict=True)}


def _export(module: torch.nn.Module, tensors: Sequence[torch.Tensor], segment: HostSegment, path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    # two samples: torch.export would take a batch of one for a constant
    example = tuple(tensor[:2] if len(tensor) > 1 else tensor.repeat(2, *[1] * (tensor.ndim - 1)) for tensor in tensors)
    try:
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=list(segment.inputs),
            output_names=list(segment.outputs),
            dynamic_shapes=tuple({0: batch} for _ in example),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExportError(
            f"host segment {segment.name}: torch cannot export it ({str(error).splitlines()[0]})"
        ) from error


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter logs and warns about its own internals; none of it is for the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def run_host_segments(
    folder: Path, files: Sequence[HostFile], when: Literal["before", "after"], arrays: Mapping[str, Array]
) -> dict[str, Array]:
    """Run all segments of one side and return `arrays` with their outputs added.

    Raises:
        InputDataError: an input array is missing.
        ExportError: the ONNX file is missing, damaged, or does not fit the arrays.
    """
    known = dict(arrays)
    for file in files:
        if file.when != when:
            continue
        for name in file.inputs:
            if name not in known:
                raise InputDataError(
                    f"host segment {file.name}: no array '{name}', there are {', '.join(sorted(known))}"
                )
        outputs = _run_onnx(folder / file.file, [known[name] for name in file.inputs])
        known.update(zip(file.outputs, outputs, strict=True))
    return known


def _run_onnx(path: Path, arrays: Sequence[Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_inputs()]
        parts = [
            session.run(None, {name: _slice(array, start) for name, array in zip(names, arrays, strict=True)})
            for start in range(0, len(arrays[0]), BATCH)
        ]
    except Exception as error:  # onnxruntime's errors share no base class below Exception
        raise ExportError(f"host segment {path}: ONNX Runtime cannot run it ({str(error).splitlines()[0]})") from error
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _slice(array: Array, start: int) -> Array:
    return np.ascontiguousarray(array[start : start + BATCH], dtype=np.float32)


def chip_inputs(graph: Graph, arrays: Mapping[str, Array], made: Collection[str] = ()) -> dict[str, Array]:
    """Pick the graph's inputs from `arrays` and put time first; what the host made is quantised here, once.

    Args:
        graph: either dialect.
        arrays: `[N, T, *shape]` each.
        made: arrays that host segments made: statistics in floats, for graded inputs.

    Returns:
        name to `[T, N, *shape]`: uint8 spikes or int16 graded values.

    Raises:
        InputDataError: an input is missing, has another shape, or holds fractions that no host segment made.
    """
    inputs: dict[str, Array] = {}
    for name, node in graph.inputs().items():
        if name not in arrays:
            raise InputDataError(f"input {name}: missing, there are {', '.join(sorted(arrays))}; rename the array")
        array = np.asarray(arrays[name])
        if array.ndim < 3 or array.shape[2:] not in (node.shape, (node.size,)):
            allowed = ", ".join(map(str, node.shape))
            raise InputDataError(f"input {name}: shape {array.shape}, allowed is [N, T, {allowed}]")
        if node.kind == "graded":
            array = quantize_context(array) if name in made else _integers(name, array)
        inputs[name] = np.ascontiguousarray(array.swapaxes(0, 1))
    return inputs


def _integers(name: str, array: Array) -> Array:
    if not np.array_equal(array, np.round(array)) or np.abs(array).max(initial=0) > CONTEXT_MAX:
        raise InputDataError(f"input {name}: graded values are integers within ±{CONTEXT_MAX}; scale and round them")
    integers: Array = array.astype(np.int16)
    return integers


def made_by_hosts(hosts: Iterable[Segment]) -> set[str]:
    """Return the names of all arrays that host segments make."""
    return {name for host in hosts for name in host.outputs}


def output_rates(counts: Mapping[str, Array], num_steps: int) -> dict[str, Array]:
    """Turn spike counts per sample into the `<output>_rate` arrays that segments after the chip read."""
    return {name + RATE_SUFFIX: (count / np.float32(num_steps)).astype(np.float32) for name, count in counts.items()}


def output_counts(graph: Graph, trace: Trace) -> dict[str, Array]:
    """Sum each output over time: `[B, n]`, spikes times what they are worth."""
    return {name: _counts(graph, graph.sources(name)[0], trace) for name in graph.of_type(Output)}


def _counts(graph: Graph, name: str, trace: Trace) -> Array:
    """Sum a signal over time that is spikes, or spikes moved to other places, or scaled."""
    node = graph.nodes[name]
    if name in trace:
        counts: Array = trace[name].s.sum(axis=0, dtype=np.int64)
        return counts
    before: Array = np.sum([_counts(graph, source, trace) for source in graph.sources(name)], axis=0)
    if isinstance(node, Gather):
        padded = np.concatenate([before, np.zeros_like(before[:, :1])], axis=1)
        moved: Array = padded[:, node.index.reshape(-1)]
        return moved
    if isinstance(node, Scale):
        scaled: Array = before * np.broadcast_to(node.weight, node.shape).reshape(-1)
        return scaled
    assert isinstance(node, Reshape), f"an output shows {type(node).__name__}"
    return before
