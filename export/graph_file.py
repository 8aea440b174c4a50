"""The integer model as HDF5: every field of every node, without loss.

Layout: root attributes `format`, `dt_s`, `integer_format` (JSON), and `total_latency_steps`, the steps by which the
last output lags on one-step synapses (absent where a loop cannot run on them); group `nodes/<index>` with attributes
`name`, `type` and `settings` (JSON, all fields that are no arrays), one array per array field, in the narrowest
integers that hold it; array `edges` of (source, target, port) and array `delays`, in steps. All text is UTF-8 of fixed
length: HDF5 keeps other text in heaps, which make a damaged file hard to read safely.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.artifact import atomic_file
from hardware_profiles.config import from_mapping
from hardware_profiles.errors import ConfigError

from .errors import ExportError, NirFileError
from .graph import Edge, Graph
from .hdf5_guard import open_checked
from .nodes import Int, Int8, Node, UInt8
from .passes.balance_latency import balance_latency
from .trace import Array
from .verify import ALLOWED, verify

FORMAT = "axonport-integer-graph-2"
NODE_TYPES: dict[str, type] = {kind.__name__: kind for kind in ALLOWED["integer"]}
MAX_VALUES = 1 << 29
"""Integers in all arrays together, and values that one node may send: 4 GiB as int64."""
VALUES_AT_ONCE = 1 << 20
"""Values that are written together."""
WIDTHS = (np.int8, np.int16, np.int32, np.int64)
ARRAYS: dict[Any, type[np.integer[Any]]] = {Int: np.int64, Int8: np.int8, UInt8: np.uint8, Int | None: np.int64}
"""Type of an array field to the integers that it holds."""


def save_graph(graph: Graph, path: Path) -> None:
    """Write an integer graph in "model" timing, atomically."""
    verify(graph, "integer")
    assert graph.fmt is not None and graph.timing == "model"
    with atomic_file(path) as work, h5py.File(work, "w") as file:
        file.attrs["format"] = np.bytes_(FORMAT)
        file.attrs["dt_s"] = graph.dt_s
        file.attrs["integer_format"] = np.bytes_(json.dumps(dataclasses.asdict(graph.fmt)))
        latency = total_latency_steps(graph)
        if latency is not None:
            file.attrs["total_latency_steps"] = latency
        for index, (name, node) in enumerate(graph.nodes.items()):
            _save_node(file.create_group(f"nodes/{index}"), name, node)
        ends = [[part.encode() for part in (edge.source, edge.target, edge.port)] for edge in graph.edges]
        file.create_dataset("edges", data=np.array(ends, dtype=np.bytes_).reshape(-1, 3))
        file.create_dataset("delays", data=np.array([edge.delay for edge in graph.edges], dtype=np.int64))


def total_latency_steps(graph: Graph) -> int | None:
    """Return the latency on Lava's one-step synapses; None where a loop holds more synapses than delays."""
    try:
        return balance_latency(graph).total_latency
    except ExportError:
        return None


def _save_node(group: Any, name: str, node: Node) -> None:
    group.attrs["name"] = np.bytes_(name.encode())
    group.attrs["type"] = np.bytes_(type(node).__name__)
    settings: dict[str, Any] = {}
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if isinstance(value, np.ndarray):
            _save_array(group, field.name, value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            settings[field.name] = dataclasses.asdict(value)
        elif value is not None:
            settings[field.name] = value
    group.attrs["settings"] = np.bytes_(json.dumps(settings))


def _save_array(group: Any, name: str, values: Array) -> None:
    """Write an array in the narrowest integers, some rows at a time: a large layer leaves no room for a copy."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    narrowest = next(width for width in WIDTHS if np.iinfo(width).min <= low and high <= np.iinfo(width).max)
    if not values.shape or not values.size:
        group.create_dataset(name, data=values.astype(narrowest))
        return
    num_rows = min(len(values), max(1, VALUES_AT_ONCE // values[0].size))
    dataset = group.create_dataset(
        name, values.shape, narrowest, chunks=(num_rows, *values.shape[1:]), compression="gzip", shuffle=True
    )
    for start in range(0, len(values), num_rows):
        dataset[start : start + num_rows] = values[start : start + num_rows]


def load_graph(path: Path) -> Graph:
    """Read and verify an integer graph.

    Raises:
        NirFileError: foreign, damaged or hostile file.
        ExportError: the graph in it is not allowed, see `verify`.
    """
    with open_checked(path) as file:
        try:
            found = _text(file.attrs.get("format", ""))
            if found != FORMAT:
                raise NirFileError(f"{path}: format '{found}', allowed is '{FORMAT}'; export it again")
            graph = _load(file)
        except NirFileError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise NirFileError(f"{path}: damaged integer graph ({reason}); export it again") from error
    verify(graph, "integer")
    return graph


def _text(value: Any) -> str:
    """Return an attribute's text; older files and other writers keep it as str."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _load(file: Any) -> Graph:
    if not isinstance(file["nodes"], h5py.Group):  # to look for a key in an array is to read it element by element
        raise ConfigError("nodes is an array, allowed is a group")
    groups = [file["nodes"][key] for key in sorted(file["nodes"], key=int)]
    num_values = sum(item.size for group in groups for item in group.values() if isinstance(item, h5py.Dataset))
    if num_values > MAX_VALUES:
        raise ConfigError(f"arrays of {num_values} values, allowed are {MAX_VALUES}")
    nodes = {_text(group.attrs["name"]): _load_node(group) for group in groups}
    if len(nodes) < len(groups):
        raise ConfigError("two nodes of one name")
    ends, delays = file["edges"][()], file["delays"][()]
    if len(ends) != len(delays) or delays.dtype.kind != "i":
        raise ConfigError("edges and delays differ in number")
    edges = tuple(
        Edge(source.decode(), target.decode(), port.decode(), int(delay))
        for (source, target, port), delay in zip(ends, delays, strict=True)
    )
    fmt = from_mapping(IntegerFormat, json.loads(_text(file.attrs["integer_format"])), "integer_format")
    return Graph(nodes=nodes, edges=edges, dialect="integer", dt_s=float(file.attrs["dt_s"]), fmt=fmt)


def _load_node(group: Any) -> Node:
    kind = NODE_TYPES[_text(group.attrs["type"])]
    hints = typing.get_type_hints(kind)
    plain: list[tuple[str, Any, Any]] = []
    arrays: dict[str, Array | None] = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if hint not in ARRAYS:
            plain.append((field.name, hint, field))
        elif field.name in group or hint != Int | None:
            arrays[field.name] = _load_array(group[field.name], ARRAYS[hint])
        else:
            arrays[field.name] = None
    described = dataclasses.make_dataclass(kind.__name__, plain, kw_only=True)
    settings: Any = from_mapping(
        described, json.loads(_text(group.attrs["settings"])), f"node {_text(group.attrs['name'])}"
    )
    node: Node = kind(**{name: getattr(settings, name) for name, _, _ in plain}, **arrays)
    _check_shapes(node)
    return node


def _load_array(dataset: Any, dtype: type[np.integer[Any]]) -> Array:
    if dataset.dtype.kind not in "iu":
        raise ConfigError(f"array {dataset.name} of type {dataset.dtype}, allowed are integers")
    stored: Array = dataset[()]
    values = stored.astype(dtype, copy=False)
    if dtype != np.int64 and stored.dtype != dtype and not np.array_equal(values, stored):
        raise ConfigError(f"array {dataset.name} spans {stored.min()}..{stored.max()}, allowed are 8 bits")
    return values


def _check_shapes(node: Node) -> None:
    """Bound what a node sends and receives, before anything is computed with its shapes."""
    for shape in (node.shape, *node.ports.values()):
        if min(shape, default=1) < 1 or math.prod(shape) > MAX_VALUES:
            raise ConfigError(f"a signal of shape {shape}, allowed are up to {MAX_VALUES} values")
