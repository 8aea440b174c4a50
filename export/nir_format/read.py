"""NIR units and edges to a float graph: shapes carried from the inputs, neurons put together, ports told apart."""

from __future__ import annotations

import itertools
import math
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from hardware_profiles.errors import AxonportError

from ..errors import NirFileError
from ..graph import Edge, Graph
from ..nodes import Conv, Node, Reshape, Shape
from ..passes.standardize_concatenation import join_concatenations
from ..periods import derive_periods
from ..verify import verify
from .neurons import Chain, Context
from .parse import Parsed, Unit, parse
from .units import convert, input_period, output_shape, shape_of_parameters
from .wiring import DelayedWire, close_loops, contract

COMMON_STEPS = "snnTorch and SpikingJelly 1e-4, Norse 1e-3, Spyx 1"
STATEFUL = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Threshold")
"""NIR's own neurons; our extensions never stand in a loop without a Delay."""
DAMAGED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    AssertionError,
    NotImplementedError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""What nir, numpy and we raise on nonsense."""


def read_graph(path: Path, dt_s: float | None) -> Graph:
    """Read a file into a verified float graph.

    Raises:
        NirFileError: no time step, unknown or inexact nodes, damaged or hostile file.
        ExportError: the graph in it is not allowed, see `verify`.
    """
    try:
        parsed = parse(path)
        context = Context(dt_s=_time_step(parsed.metadata, dt_s))
        graph = _graph(parsed, context)
        verify(graph, "float")
        return graph
    except NirFileError as error:
        raise error if str(error).startswith(str(path)) else NirFileError(f"{path}: {error}") from error
    except AxonportError:
        raise
    except DAMAGED as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise NirFileError(f"{path}: damaged NIR node ({reason}); export it again") from error


def _time_step(metadata: dict[str, Any], given: float | None) -> float:
    value = metadata.get("dt", given)
    if value is None:
        raise NirFileError(
            "no time step in the file (metadata dt), and NIR is continuous; give dt_s (--dt), common are "
            f"{COMMON_STEPS}"
        )
    dt_s = float(np.asarray(value).item())
    if not (math.isfinite(dt_s) and dt_s > 0):
        raise NirFileError(f"a time step of {dt_s} s, allowed is above 0")
    return dt_s


def _graph(parsed: Parsed, context: Context) -> Graph:
    _take_joints(parsed, context.dt_s)
    _join_membranes(parsed)
    wires = contract(parsed.wires, parsed.joints)
    inputs = [name for name, unit in parsed.units.items() if unit.kind == "Input"]
    neurons = {name for name, unit in parsed.units.items() if unit.kind in STATEFUL}
    wires = close_loops(wires, inputs, neurons)
    shapes = _shapes(parsed, wires)
    context.periods = _periods(parsed, wires)
    chains = {name: convert(unit, name, shapes[name], context) for name, unit in parsed.units.items()}
    wires = _without_embeddings(wires, chains, context)
    nodes = {name: node for chain in chains.values() for name, node in chain}
    if len(nodes) < sum(map(len, chains.values())):
        raise NirFileError("two nodes of one name; rename them")
    inner = [Edge(first, second) for chain in chains.values() for (first, _), (second, _) in itertools.pairwise(chain)]
    edges = [edge for wire in wires for edge in _edges(wire, chains, nodes)]
    graph = Graph(nodes=nodes, edges=(*inner, *edges), dialect="float", dt_s=context.dt_s)
    return join_concatenations(graph, context.columns)


def _periods(parsed: Parsed, wires: list[DelayedWire]) -> dict[str, int]:
    """Return the steps between two ticks of each unit: its parameters belong to a time step so many times as long."""
    given = {name: input_period(unit) for name, unit in parsed.units.items() if unit.kind == "Input"}
    ratios = {name: np.size(unit.nir.weight) for name, unit in parsed.units.items() if unit.kind == "WindowSum"}
    links = [(source, target) for source, target, port, _ in wires if port != "context"]
    return derive_periods(given, parsed.units, links, ratios)


def _take_joints(parsed: Parsed, dt_s: float) -> None:
    """Turn Delay nodes, and copies that NIR's edges asked for, into joints."""
    for name, unit in list(parsed.units.items()):
        if unit.kind == "Scale" and unit.notes.get("type") == "Copy" and bool((unit.nir.scale == 1).all()):
            parsed.joints[name] = 0
            del parsed.units[name]
        if unit.kind != "Delay":
            continue
        steps = np.unique(np.asarray(unit.nir.delay, dtype=np.float64) / dt_s)
        if len(steps) != 1 or not np.isfinite(steps).all():
            raise NirFileError(f"node {name}: delays differ between neurons, allowed is one for the layer")
        nearest = round(float(steps[0]))
        if nearest < 0 or abs(float(steps[0]) - nearest) > 1e-6 * max(1, nearest):
            raise NirFileError(
                f"node {name}: a delay of {steps[0]:g} steps, allowed are whole steps of dt = {dt_s:g} s"
            )
        parsed.joints[name] = nearest
        del parsed.units[name]


def _join_membranes(parsed: Parsed) -> None:
    """Make one neuron of an integrator and the Threshold that alone reads it: LIF without reset, said in two words."""
    targets: dict[str, list[tuple[str, str]]] = {}
    num_sources: dict[str, int] = {}
    for source, target, port in parsed.wires:
        targets.setdefault(source, []).append((target, port))
        num_sources[target] = num_sources.get(target, 0) + 1
    joined: dict[str, str] = {}
    for name, unit in parsed.units.items():
        readers = targets.get(name, [])
        if unit.kind not in ("I", "LI", "CubaLI") or len(readers) != 1:
            continue
        reader, port = readers[0]
        second = parsed.units.get(reader)
        if second is not None and second.kind == "Threshold" and num_sources[reader] == 1 and port == "input":
            joined[name] = reader
    for name, reader in joined.items():
        first = parsed.units.pop(name)
        parsed.units[reader] = Unit(nir=parsed.units[reader].nir, notes=first.notes, membrane=first.nir)
    parsed.wires = [
        (source, joined.get(target, target), port) for source, target, port in parsed.wires if source not in joined
    ]


def _shapes(parsed: Parsed, wires: list[DelayedWire]) -> dict[str, Shape]:
    """Return the shape that each unit receives at its input (an Input: sends)."""
    following: dict[str, list[str]] = {}
    for source, target, port, _ in wires:
        if port == "input":
            following.setdefault(source, []).append(target)
    known: dict[str, Shape] = {}
    for name, unit in parsed.units.items():
        own = _own_shape(unit)
        if own is not None and unit.kind == "Input":
            own = _without_batch(own, [parsed.units[target] for target in following.get(name, ())])
        if own is not None:
            known[name] = own
    pending = list(known)
    while pending:
        name = pending.pop()
        sent = output_shape(parsed.units[name], known[name])
        for target in following.get(name, ()):
            if target not in known:
                known[target] = sent
                pending.append(target)
    for name in parsed.units:
        if name not in known:
            raise NirFileError(f"node {name}: nothing tells its shape; connect it to an Input")
    return known


def _without_batch(shape: Shape, followers: list[Unit]) -> Shape:
    """Drop a leading 1 that cannot be an axis of the sample: Norse's exporter leaves its batch in the file."""
    for unit in followers:
        axes = {"Conv1d": 3, "Conv2d": 4}.get(unit.kind)
        if shape[:1] == (1,) and (len(shape) == axes or (axes is None and _own_shape(unit) == shape[1:])):
            return shape[1:]
    return shape


def _own_shape(unit: Unit) -> Shape | None:
    if unit.kind == "Input":
        return tuple(int(length) for length in np.ravel(unit.nir.input_type["input"]))
    if unit.kind in ("Linear", "Affine"):
        return (int(np.shape(unit.nir.weight)[-1]),)
    if unit.kind in ("Product", "MatMul", "WindowSum"):
        return tuple(int(length) for length in np.ravel(unit.nir.input_type["input"]))
    own = shape_of_parameters(unit)
    if own is not None and len(own) > 1 and 1 in own:
        return None  # such as one threshold per channel, (C, 1, 1): the input says the rest
    return own


def _without_embeddings(wires: list[DelayedWire], chains: dict[str, Chain], context: Context) -> list[DelayedWire]:
    """Drop the embeddings that stood before convolutions whose notes needed them."""
    sources: dict[str, list[str]] = {}
    for source, target, _, _ in wires:
        sources.setdefault(target, []).append(source)
    dropped: dict[str, int] = {}
    for name, embedding in context.embeddings.items():
        found = chains[sources[name][0]][-1][1] if len(sources.get(name, [])) == 1 else None
        if (
            not isinstance(found, Conv)
            or astuple(found.geometry) != astuple(embedding.geometry)
            or not np.array_equal(found.weight, embedding.weight)
        ):
            raise NirFileError(f"node {name}: its notes contradict its arrays; write the file again")
        dropped[sources[name][0]] = 0
    if any(wire[0] in dropped and wire[1] not in context.embeddings for wire in wires):
        raise NirFileError("an embedding feeds more than its convolution; write the file again")
    for name in dropped:
        del chains[name]
    if not dropped:
        return wires
    around: dict[str, list[DelayedWire]] = {}
    for wire in wires:
        around.setdefault(wire[1], []).append(wire)
    kept: list[DelayedWire] = []
    for source, target, port, delay in wires:
        if source in dropped:
            kept += [(wire[0], target, port, wire[3] + delay) for wire in around.get(source, [])]
        elif target not in dropped:
            kept.append((source, target, port, delay))
    return kept


def _edges(wire: DelayedWire, chains: dict[str, Chain], nodes: dict[str, Node]) -> list[Edge]:
    """Return the graph's edges for one wire; a factor of a matrix product gets its shape back first."""
    source, target, port, delay = wire
    sender = chains[source][-1][0]
    if port == "input":
        return [Edge(sender, chains[target][0][0], "input", delay)]
    expected = nodes[target].ports.get(port)
    if port not in ("a", "b") or expected is None or expected == nodes[sender].shape:
        return [Edge(sender, target, port, delay)]
    reshaped = f"{target}.{port}"
    if reshaped in nodes:
        raise NirFileError(f"two nodes named {reshaped}; rename them")
    nodes[reshaped] = Reshape(input_shape=nodes[sender].shape, shape=expected)
    return [Edge(sender, reshaped), Edge(reshaped, target, port, delay)]
