"""A `.nir` file as flat units and edges: subgraphs dissolved, types and versions checked, nothing interpreted yet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nir
import nir.serialization
import numpy as np

from ..errors import NirFileError
from ..hdf5_guard import open_checked
from . import extension as nir_extension
from .builder import NAMED_PORTS, NOTES

READABLE_VERSION = re.compile(r"1\.0(\.[0-8])?((\.dev|\.post|\+|a|b|rc).*)?")
"""Files carry the version of the nir package. Up to 1.0.5 they have no v_reset: it is 0, as nir itself reads them."""
nir_extension.register_extensions()
READABLE_TYPES = tuple(sorted(vars(nir.ir)["__all_ir"]))
MAX_NOTE_BYTES = 1 << 20


@dataclass(eq=False)
class Unit:
    """One NIR node.

    Attributes:
        nir: the node as the nir package builds it.
        notes: what only Axonport wrote, see `nir_builder.NOTES`.
        membrane: the LI or CubaLI before a Threshold that together with it is one neuron.
    """

    nir: Any
    notes: Mapping[str, Any] = field(default_factory=dict)
    membrane: Any = None

    @property
    def kind(self) -> str:
        """The NIR type."""
        return type(self.nir).__name__


Wire = tuple[str, str, str]
"""Source unit, target unit, port."""


@dataclass(eq=False)
class Parsed:
    """Units by name, edges in the file's order, joints that only pass on (with their delay), graph metadata.

    `recurrent` holds the ends of the edges that arrive at port `recurrent`.
    """

    units: dict[str, Unit] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    joints: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    recurrent: set[tuple[str, str]] = field(default_factory=set)


def parse(path: Path) -> Parsed:
    """Read a file's NIR nodes.

    Raises:
        NirFileError: unknown version or node type, damaged or hostile file.
    """
    with open_checked(path) as file:
        version = text(file["version"][()]) if "version" in file else "none"
        if not READABLE_VERSION.fullmatch(version):
            raise NirFileError(f"{path}: NIR version {version}, allowed are 1.0.0 to 1.0.8; write it with nir 1.0.8")
        root = file.get("node")
        if not isinstance(root, h5py.Group) or not isinstance(root.get("nodes"), h5py.Group):
            raise NirFileError(f"{path}: holds no NIR graph; export it again")
        tree = nir.serialization.hdf2dict(root)
    parsed = Parsed(metadata=dict(tree.get("metadata") or {}))
    _dissolve(tree, "", parsed)
    parsed.wires = [
        (source, target, "recurrent" if port == "input" and (source, target) in parsed.recurrent else port)
        for source, target, port in parsed.wires
    ]
    return parsed


def text(value: Any) -> str:
    """Return text that may be stored as bytes, or inside an array."""
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"text is {type(value).__name__}")
    return value.decode("utf8") if isinstance(value, bytes) else value


def _dissolve(tree: Mapping[str, Any], prefix: str, parsed: Parsed) -> None:
    """Add a graph's nodes; a subgraph's Input and Output become joints between inside and outside."""
    nodes: Mapping[str, Any] = tree["nodes"]
    ends: dict[str, tuple[str, str]] = {}
    for name, fields in nodes.items():
        full = prefix + name
        ends[name] = full, full
        kind = text(fields["type"]) if "type" in fields else "none"
        if kind not in READABLE_TYPES:
            raise NirFileError(f"node {full} is {kind}, allowed are {', '.join(READABLE_TYPES)}")
        if kind == "NIRGraph":
            ends[name] = _dissolve_subgraph(fields, full, parsed)
        elif prefix and kind in ("Input", "Output"):
            parsed.joints[full] = 0
        else:
            parsed.units[full] = _unit(fields, kind, full)
    for pair in tree["edges"]:
        source, target = (text(end) for end in pair)
        for end in (source, target):
            if end not in ends:
                raise NirFileError(f"edge {source} -> {target}: no node '{end}'")
        parsed.wires.append((ends[source][1], ends[target][0], "input"))
    _name_ports(prefix, nodes, parsed)


def _dissolve_subgraph(fields: Mapping[str, Any], full: str, parsed: Parsed) -> tuple[str, str]:
    inside = {
        kind: [name for name, node in fields["nodes"].items() if text(node.get("type", "")) == kind]
        for kind in ("Input", "Output")
    }
    if any(len(names) != 1 for names in inside.values()):
        raise NirFileError(f"node {full}: a subgraph with {inside}, allowed are one Input and one Output")
    if "dt" in (fields.get("metadata") or {}):
        raise NirFileError(f"node {full}: a subgraph with a time step of its own, allowed is one dt for all")
    _dissolve(fields, f"{full}.", parsed)
    return f"{full}.{inside['Input'][0]}", f"{full}.{inside['Output'][0]}"


def _unit(fields: Mapping[str, Any], kind: str, name: str) -> Unit:
    values = {**({"input_shape": None} if kind in ("Conv1d", "Conv2d") else {}), **fields, "type": kind}
    metadata = values.pop("metadata", {})
    if not isinstance(metadata, dict):
        raise NirFileError(f"node {name}: metadata is an array, allowed is a group")
    try:
        node = nir.ir.dict2NIRNode(values)
    except (AssertionError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NirFileError(f"node {name}: nir cannot read it ({reason}); export it again") from error
    node.metadata = metadata
    return Unit(nir=node, notes=_notes(metadata.get(NOTES, "{}"), name))


def _notes(value: Any, name: str) -> dict[str, Any]:
    content = text(value)
    notes = json.loads(content) if len(content) <= MAX_NOTE_BYTES else None
    if not isinstance(notes, dict):
        raise NirFileError(f"node {name}: damaged notes; write the file again")
    return notes


def _name_ports(prefix: str, names: Iterable[str], parsed: Parsed) -> None:
    """Turn what units say of their ports into wires."""
    for name in names:
        unit = parsed.units.get(prefix + name)
        if unit is None:
            continue
        sources = [*unit.notes.get("recurrent", ()), getattr(unit.nir, "recurrent_source", "")]
        parsed.recurrent |= {(prefix + text(source), prefix + name) for source in sources if source}
        for port in NAMED_PORTS:
            source = getattr(unit.nir, f"{port}_source", "")
            if source and prefix + source not in parsed.units:
                raise NirFileError(f"node {prefix + name}: no node '{source}' for its port {port}")
            if source:
                parsed.wires.append((prefix + source, prefix + name, port))
