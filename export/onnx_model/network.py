"""A whole float network as one ONNX model: a `Scan` over time whose body is one step of the graph.

Written from the graph and not with `torch.onnx`, because the graph is what is proven equal to snnTorch. (Tracing a
module fixes time or batch size, bakes in hidden membranes, and refuses `reset_delay=False`.)

Inputs and outputs are float32 `[T, B, *shape]` under the names of the graph's nodes, with T and B free; membranes and
delayed signals start at zero. With `record`, every neuron also gives `<name>/spikes`, `<name>/membranes` and, where a
controller moves it, `<name>/thresholds` (int64 mantissas `[T, B]`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hardware_profiles.artifact import atomic_file

from ..errors import ExportError
from ..graph import Edge, Graph
from ..nodes import NEURONS, Input, Output, Shape, WindowSum
from ..trace import Array
from ..verify import verify
from .body import BATCH_AXIS, FLOAT, INT64, ScanBody, tensor_info
from .clock import Clock
from .neurons import Records, write_neuron
from .steps import write_step

OPSET = 26
"""The newest that ONNX Runtime 1.31 runs."""
IR_VERSION = 13
TIME_AXIS = "T"
MAX_INLINE_BYTES = 1 << 30
"""Weights beyond this go into a file beside the model; a protobuf message ends at 2 GiB."""


def write_onnx(graph: Graph, path: Path, *, record: bool = False, max_inline_bytes: int = MAX_INLINE_BYTES) -> None:
    """Write a float graph as one ONNX model.

    Args:
        graph: float dialect, model timing.
        path: the `.onnx` file; large weights go to `<path>.data` beside it.
        record: also give every neuron's spikes and membranes.
        max_inline_bytes: size of all weights from which they get their own file.

    Raises:
        ExportError: the graph is not a valid float graph in model timing, or has no input or output.
    """
    verify(graph, "float")
    if graph.timing != "model":
        raise ExportError(
            f"graph: is in timing '{graph.timing}', allowed in ONNX is 'model'; write it before balancing"
        )
    for kind in (Input, Output):
        if not graph.of_type(kind):
            raise ExportError(f"graph: has no {kind.__name__} node; ONNX needs at least one of each")
    body = ScanBody()
    outgoing = _write_body(graph, body, record)
    outer = ScanBody(scope="start", constants=body.constants, num_names=body.num_names)
    _write_scan(graph, body, outgoing, outer)
    beside = path.with_name(path.name + ".data")
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(atomic_file(path))
        weights = _initializers(outer.constants, beside, max_inline_bytes, stack)
        work.write_bytes(_model(graph, outgoing, outer, weights).SerializeToString())
    if not any(tensor.external_data for tensor in weights):
        beside.unlink(missing_ok=True)  # of an earlier model of this name


def _write_body(graph: Graph, body: ScanBody, record: bool) -> dict[str, onnx.ValueInfoProto]:
    """Write one step; returns the Scan's outputs by name, as they look inside the body."""
    clock, lines = Clock(graph, body), _DelayLines(graph, body)
    sent: dict[str, str] = {}
    outgoing: dict[str, onnx.ValueInfoProto] = {}
    for name in graph.order:
        node = graph.nodes[name]
        body.scope, body.tick = name, None
        if isinstance(node, Input):
            sent[name] = _step_of(name)
            continue
        ports = {
            port: _sum(body, [lines.arriving(edge, sent) for edge in graph.incoming(name, port)])
            for port in node.ports
            if graph.incoming(name, port)
        }
        if isinstance(node, WindowSum):
            sent[name] = clock.write_window(name, node, ports["input"])
            continue
        body.tick = clock.tick(graph.period[name])
        if isinstance(node, NEURONS):
            records = write_neuron(node, body, ports)
            sent[name] = records.s
            if record:
                outgoing.update(_record(body, name, node.shape, records))
        else:
            sent[name] = body.on_tick(write_step(node, body, ports))
        if isinstance(node, Output):
            body.rename(sent[name], _step_of(name))
            outgoing[name] = tensor_info(_step_of(name), node.shape, BATCH_AXIS)
    body.tick = None
    lines.close(sent)
    return outgoing


def _record(body: ScanBody, name: str, shape: Shape, records: Records) -> dict[str, onnx.ValueInfoProto]:
    shown = {
        f"{name}/spikes": (records.s, shape, FLOAT),
        f"{name}/membranes": (records.v, shape, FLOAT),
        f"{name}/thresholds": (records.theta, (), INT64),
    }
    described = {}
    for output, (value, of_shape, kind) in shown.items():
        if value is not None:
            body.rename(value, _step_of(output))
            described[output] = tensor_info(_step_of(output), of_shape, BATCH_AXIS, kind=kind)
    return described


def _sum(body: ScanBody, values: Sequence[str]) -> str:
    return reduce(lambda total, value: body.add("Add", total, value), values)


def _step_of(name: str) -> str:
    """Name inside the body of one step of what is called `name` outside."""
    return f"{name}/step"


class _DelayLines:
    """Chains of states that hold what a node sent in the last steps, as long as its slowest edge needs."""

    def __init__(self, graph: Graph, body: ScanBody) -> None:
        self.body = body
        self.lines: dict[str, list[str]] = {}
        for source in graph.nodes:
            body.scope = source
            length = max((edge.delay for edge in graph.outgoing(source)), default=0)
            shape = graph.nodes[source].shape
            self.lines[source] = [body.state(shape, f"sent_{age}_before") for age in range(1, length + 1)]

    def arriving(self, edge: Edge, sent: Mapping[str, str]) -> str:
        """Return the name of what an edge delivers now."""
        return self.lines[edge.source][edge.delay - 1] if edge.delay else sent[edge.source]

    def close(self, sent: Mapping[str, str]) -> None:
        """Move everything one place on."""
        for source, line in self.lines.items():
            for state, younger in zip(line, [sent[source], *line], strict=False):
                self.body.keep(state, younger)


def _write_scan(graph: Graph, body: ScanBody, outgoing: Mapping[str, onnx.ValueInfoProto], outer: ScanBody) -> None:
    """Wrap the body in a Scan, with zeros of the batch's size as initial states."""
    inputs = graph.inputs()
    step = helper.make_graph(
        body.operations,
        "step",
        [tensor_info(state.now, state.shape, BATCH_AXIS) for state in body.states]
        + [tensor_info(_step_of(name), node.shape, BATCH_AXIS) for name, node in inputs.items()],
        [tensor_info(state.following, state.shape, BATCH_AXIS) for state in body.states] + list(outgoing.values()),
    )
    batch = outer.add("Shape", next(iter(inputs)), start=1, end=2)
    initial = [_zeros(outer, batch, state.shape) for state in body.states]
    finals = [f"{state.now}/last" for state in body.states]
    scan = helper.make_node(
        "Scan", [*initial, *inputs], [*finals, *outgoing], name="time", num_scan_inputs=len(inputs), body=step
    )
    outer.operations.append(scan)


def _zeros(outer: ScanBody, batch: str, shape: Shape) -> str:
    extent = outer.add("Concat", batch, outer.constant(np.array(shape, dtype=np.int64), "shape"), axis=0)
    return outer.add("ConstantOfShape", extent, value=numpy_helper.from_array(np.zeros(1, dtype=np.float32)))


def _over_time(name: str, info: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    kind = info.type.tensor_type
    shape = tuple(axis.dim_value for axis in kind.shape.dim[1:])
    return tensor_info(name, shape, TIME_AXIS, BATCH_AXIS, kind=kind.elem_type)


def _initializers(
    constants: Mapping[str, Array], beside: Path, max_inline_bytes: int, stack: contextlib.ExitStack
) -> list[onnx.TensorProto]:
    """Return the constants as tensors, in the model or, beyond `max_inline_bytes`, in the file beside it."""
    if sum(array.nbytes for array in constants.values()) <= max_inline_bytes:
        return [numpy_helper.from_array(array, name) for name, array in constants.items()]
    with stack.enter_context(atomic_file(beside)).open("wb") as stream:
        return [_external(name, array, stream, beside.name) for name, array in constants.items()]


def _external(name: str, array: Array, stream: BinaryIO, location: str) -> onnx.TensorProto:
    """Append an array to `stream`; returns a tensor that refers to it there."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape, data_location=onnx.TensorProto.EXTERNAL)
    place = {"location": location, "offset": stream.tell(), "length": array.nbytes}
    tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in place.items())
    little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    stream.write(little_endian.data)
    return tensor


def _model(
    graph: Graph,
    outgoing: Mapping[str, onnx.ValueInfoProto],
    outer: ScanBody,
    weights: Sequence[onnx.TensorProto],
) -> onnx.ModelProto:
    inputs = [tensor_info(name, node.shape, TIME_AXIS, BATCH_AXIS) for name, node in graph.inputs().items()]
    outputs = [_over_time(name, info) for name, info in outgoing.items()]
    model = helper.make_model(
        helper.make_graph(outer.operations, "network", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="axonport",
    )
    helper.set_model_props(model, {"dt_s": repr(graph.dt_s)})
    return model
