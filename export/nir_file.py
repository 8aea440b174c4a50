r"""Float graph ↔ `.nir` file: the one table of names and units between our discrete time and NIR's continuous.

| graph                    | NIR 1.0.8                                                                    |
|--------------------------|------------------------------------------------------------------------------|
| `Input`, `Output`        | `Input`, `Output`                                                            |
| `Linear`                 | `Linear`, or `Affine` with a bias                                            |
| `LIF` reset zero, β < 1  | `LIF`: tau = dt/(1−β) [s], r = tau/dt, v_leak = 0, v_threshold = θ, v_reset = 0 |
| `LIF` reset zero, β = 1  | `IF`: r = 1/dt, v_threshold = θ, v_reset = 0                                 |
| `LIF` subtract, none     | extension `SnnTorchLeaky`                                                    |
| `DynamicThresholdLIF`    | extension `DynamicThresholdLIF`                                              |

Forward Euler at the graph's dt turns NIR's equations back into ours. β is also stored exactly, as metadata, because
1 − dt/tau need not return the same float; it must agree with tau or the file is refused.
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

import nir
import numpy as np

from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.artifact import atomic_file

from . import nir_extension
from .errors import NirFileError
from .graph import Edge, Graph
from .hdf5_guard import open_checked
from .nodes import LIF, DynamicThresholdLIF, Float, Input, Linear, Node, Output, Reset
from .verify import verify

READABLE_VERSIONS = ("1.0.6", "1.0.7", "1.0.8")
"""NIR files carry the version of the nir package; 1.0.6 introduced v_reset, without which a reset is ambiguous."""
READABLE_TYPES = {"Input", "Output", "Linear", "Affine", "LIF", "IF"} | {
    kind.__name__ for kind in nir_extension.EXTENSIONS
}
CONTROLLER_FIELDS = (
    "population",
    "num_groups",
    "weight_count",
    "weight_deviation",
    "bias",
    "theta_0",
    "amplitude",
    "fraction_bits",
)
BETA_TOLERANCE = 1e-6
"""β from metadata and 1 − dt/tau may differ by this much: float64 round trips stay below 1e-12, edits do not."""

nir_extension.register_extensions()


def write_nir(graph: Graph, path: Path) -> None:
    """Write a float graph as NIR.

    Raises:
        NirFileError: a layer mixes β = 1 with β < 1, which no NIR node says.
    """
    verify(graph, "float")
    nodes = {name: _to_nir(node, name, graph) for name, node in graph.nodes.items()}
    edges = [(edge.source, edge.target) for edge in graph.edges if edge.port == "input"]
    # types are checked when the file is read; checking here would add an Output behind each context input
    nir_graph = nir.NIRGraph(nodes, edges, metadata={"dt": graph.dt_s, "writer": "axonport"}, type_check=False)
    with atomic_file(path) as work:
        nir.write(str(work), nir_graph)


@singledispatch
def _to_nir(node: object, name: str, graph: Graph) -> Any:
    raise AssertionError(f"verify admits no {type(node).__name__}")


@_to_nir.register
def _(node: Input, name: str, graph: Graph) -> Any:
    return nir.Input(input_type={"input": np.array([node.size])}, metadata={"kind": node.kind})


@_to_nir.register
def _(node: Output, name: str, graph: Graph) -> Any:
    return nir.Output(output_type={"output": np.array([node.size])})


@_to_nir.register
def _(node: Linear, name: str, graph: Graph) -> Any:
    return nir.Linear(weight=node.weight) if node.bias is None else nir.Affine(weight=node.weight, bias=node.bias)


@_to_nir.register
def _(node: LIF, name: str, graph: Graph) -> Any:
    beta, threshold = node.beta.astype(np.float64), node.threshold.astype(np.float64)
    if node.reset != "zero":
        return nir_extension.SnnTorchLeaky(beta=beta, v_threshold=threshold, reset=node.reset)
    zeros = np.zeros(node.size)
    if (beta == 1).all():
        return nir.IF(r=np.full(node.size, 1 / graph.dt_s), v_threshold=threshold, v_reset=zeros)
    if (beta == 1).any():
        raise NirFileError(f"node {name}: mixes beta = 1 with beta < 1, which no NIR node says; use beta = 0.9999")
    tau = graph.dt_s / (1 - beta)
    metadata = {"beta": beta}
    return nir.LIF(tau=tau, r=tau / graph.dt_s, v_leak=zeros, v_threshold=threshold, v_reset=zeros, metadata=metadata)


@_to_nir.register
def _(node: DynamicThresholdLIF, name: str, graph: Graph) -> Any:
    return nir_extension.DynamicThresholdLIF(
        beta=node.beta.astype(np.float64),
        controller=np.array([getattr(node.controller, field) for field in CONTROLLER_FIELDS], dtype=np.int64),
        weight_context=np.array(node.controller.weight_context, dtype=np.int64),
        population_source=graph.sources(name, "population")[0],
        context_source=next(iter(graph.sources(name, "context")), ""),
    )


def read_nir(path: Path) -> Graph:
    """Read a `.nir` file whose discrete time step is known.

    Raises:
        NirFileError: unknown version, no dt, unknown or inexact nodes, damaged or hostile file.
        ExportError: the graph in it is not allowed, see `verify`.
    """
    with open_checked(path) as file:
        version = file["version"][()].decode() if "version" in file else "none"
        if version not in READABLE_VERSIONS:
            allowed = ", ".join(READABLE_VERSIONS)
            raise NirFileError(f"{path}: NIR version {version}, allowed are {allowed}; write it with nir 1.0.8")
        _check_types(file, path)
    try:
        nir_graph = nir.read(str(path))
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError, IndexError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NirFileError(f"{path}: nir cannot read it ({reason}); export it again") from error
    graph = _from_nir_graph(nir_graph, path)
    verify(graph, "float")
    return graph


def _check_types(file: Any, path: Path) -> None:
    nodes = file.get("node/nodes")
    if nodes is None:
        raise NirFileError(f"{path}: holds no NIR graph; export it again")
    for name, group in nodes.items():
        kind = group["type"][()].decode() if "type" in group else "none"
        if kind not in READABLE_TYPES:
            raise NirFileError(f"{path}: node {name} is {kind}, allowed are {', '.join(sorted(READABLE_TYPES))}")


def _from_nir_graph(nir_graph: Any, path: Path) -> Graph:
    dt_s = nir_graph.metadata.get("dt")
    if dt_s is None:
        raise NirFileError(f"{path}: no time step (metadata dt) in the file; NIR is continuous, write dt into it")
    try:
        nodes = {name: _from_nir(node, name, float(dt_s)) for name, node in nir_graph.nodes.items()}
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, NirFileError):
            raise NirFileError(f"{path}: {error}") from error
        raise NirFileError(f"{path}: damaged NIR node ({error}); export it again") from error
    added = {target for source, target in nir_graph.edges if _is_context(nodes[source])}
    nodes = {name: node for name, node in nodes.items() if name not in added}
    edges = [Edge(str(source), str(target)) for source, target in nir_graph.edges if target not in added]
    for name, node in nir_graph.nodes.items():
        if isinstance(node, nir_extension.DynamicThresholdLIF):
            edges.append(Edge(node.population_source, name, "population"))
            edges += [Edge(node.context_source, name, "context")] if node.context_source else []
    return Graph(nodes=nodes, edges=tuple(edges), dialect="float", dt_s=float(dt_s))


def _is_context(node: Node) -> bool:
    """Tell context inputs: nir puts an Output behind them on reading, since their edge is a name in our extension."""
    return isinstance(node, Input) and node.kind == "graded"


def _from_nir(node: Any, name: str, dt_s: float) -> Node:
    match type(node).__name__:
        case "Input":
            kind = nir.ir.utils.ensure_str(node.metadata.get("kind", "spike"))
            if kind not in ("spike", "graded"):
                raise NirFileError(f"node {name}: input kind '{kind}', allowed are spike, graded")
            return Input(size=_size(node.input_type["input"], name), kind="graded" if kind == "graded" else "spike")
        case "Output":
            return Output(size=_size(node.output_type["output"], name))
        case "Linear" | "Affine":
            bias = _float(node.bias) if hasattr(node, "bias") else None
            return Linear(weight=_float(node.weight), bias=bias)
        case "LIF" | "IF":
            return _from_lif(node, name, dt_s)
        case "SnnTorchLeaky":
            if node.reset not in ("subtract", "none"):
                raise NirFileError(f"node {name}: reset '{node.reset}', allowed are subtract, none")
            reset: Reset = "subtract" if node.reset == "subtract" else "none"
            return LIF(beta=_float(node.beta), threshold=_float(node.v_threshold), reset=reset)
        case _:
            values = dict(zip(CONTROLLER_FIELDS, (int(value) for value in node.controller), strict=True))
            context = tuple(int(weight) for weight in np.atleast_1d(node.weight_context))
            controller = ThresholdController(**values, weight_context=context)
            return DynamicThresholdLIF(beta=_float(node.beta), controller=controller)


def _from_lif(node: Any, name: str, dt_s: float) -> LIF:
    """Discretise by forward Euler; refuse what would need rescaled inputs or another reset."""
    threshold = _float(node.v_threshold)
    if np.any(node.v_reset != 0) or np.any(getattr(node, "v_leak", 0) != 0):
        raise NirFileError(f"node {name}: v_reset or v_leak is not 0, allowed is 0; shift the potentials")
    if type(node).__name__ == "IF":
        beta, gain = np.ones(threshold.shape), node.r * dt_s
    else:
        beta, gain = 1 - dt_s / np.asarray(node.tau), node.r * dt_s / np.asarray(node.tau)
        exact = node.metadata.get("beta")
        if exact is not None:
            if np.shape(exact) != beta.shape or np.any(np.abs(exact - beta) > BETA_TOLERANCE):
                raise NirFileError(f"node {name}: metadata beta contradicts tau; write the file again")
            beta = np.asarray(exact)
    if np.any(np.abs(gain - 1) > BETA_TOLERANCE):
        raise NirFileError(f"node {name}: r is not tau/dt, so inputs are rescaled; fold r into the weights")
    return LIF(beta=_float(beta), threshold=threshold, reset="zero")


def _float(array: Any) -> Float:
    values: Float = np.asarray(array, dtype=np.float32)
    return values


def _size(shape: Any, name: str) -> int:
    if np.size(shape) != 1:
        raise NirFileError(f"node {name}: shape {tuple(shape)}, allowed is one dimension; flatten it")
    return int(np.ravel(shape)[0])
