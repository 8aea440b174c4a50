"""The integer model as HDF5: every field of every node, without loss.

Layout: root attributes `format`, `dialect`, `dt_s`, `integer_format` (JSON); group `nodes/<index>` with
attributes `name`, `type` and the scalar fields, one array per array field; array `edges` of (source, target, port).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hardware_profiles.arithmetic import IntegerFormat, ThresholdController
from hardware_profiles.artifact import atomic_file
from hardware_profiles.config import from_mapping
from hardware_profiles.errors import ConfigError

from .errors import NirFileError
from .graph import Edge, Graph
from .hdf5_guard import open_checked
from .nodes import Input, IntegerDynamicThresholdLIF, IntegerLIF, IntegerLinear, Node, Output
from .verify import verify

FORMAT = "axonport-integer-graph-1"
NODE_TYPES: dict[str, type] = {
    kind.__name__: kind for kind in (Input, Output, IntegerLinear, IntegerLIF, IntegerDynamicThresholdLIF)
}


def save_graph(graph: Graph, path: Path) -> None:
    """Write an integer graph, atomically."""
    verify(graph, "integer")
    assert graph.fmt is not None
    with atomic_file(path) as work, h5py.File(work, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["dt_s"] = graph.dt_s
        file.attrs["integer_format"] = json.dumps(dataclasses.asdict(graph.fmt))
        for index, (name, node) in enumerate(graph.nodes.items()):
            _save_node(file.create_group(f"nodes/{index}"), name, node)
        edges = [(edge.source, edge.target, edge.port) for edge in graph.edges]
        file.create_dataset("edges", data=edges, dtype=h5py.string_dtype())


def _save_node(group: Any, name: str, node: Node) -> None:
    group.attrs["name"] = name
    group.attrs["type"] = type(node).__name__
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if isinstance(value, np.ndarray):
            group.create_dataset(field.name, data=value, compression="gzip", shuffle=True)
        elif isinstance(value, ThresholdController):
            group.attrs[field.name] = json.dumps(dataclasses.asdict(value))
        else:
            group.attrs[field.name] = value


def load_graph(path: Path) -> Graph:
    """Read and verify an integer graph.

    Raises:
        NirFileError: foreign, damaged or hostile file.
        ExportError: the graph in it is not allowed, see `verify`.
    """
    with open_checked(path) as file:
        if file.attrs.get("format") != FORMAT:
            raise NirFileError(f"{path}: format {file.attrs.get('format')!r}, allowed is '{FORMAT}'; export it again")
        try:
            groups = [file["nodes"][key] for key in sorted(file["nodes"], key=int)]
            nodes = {str(group.attrs["name"]): _load_node(group) for group in groups}
            edges = tuple(Edge(*(part.decode() for part in row)) for row in file["edges"][()])
            fmt = from_mapping(IntegerFormat, json.loads(file.attrs["integer_format"]), "integer_format")
            graph = Graph(nodes=nodes, edges=edges, dialect="integer", dt_s=float(file.attrs["dt_s"]), fmt=fmt)
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise NirFileError(f"{path}: damaged integer graph ({error}); export it again") from error
    verify(graph, "integer")
    return graph


def _load_node(group: Any) -> Node:
    kind = NODE_TYPES[str(group.attrs["type"])]
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in group:
            values[field.name] = group[field.name][()].astype(np.int64)
        elif field.name == "controller":
            mapping = json.loads(group.attrs["controller"])
            values["controller"] = from_mapping(ThresholdController, mapping, "controller")
        else:
            value = group.attrs[field.name]
            values[field.name] = int(value) if isinstance(value, np.integer) else str(value)
    node: Node = kind(**values)
    return node
