"""Float graph to NIR graph: one function per node, one builder that keeps names, layouts and edges in order."""

from __future__ import annotations

import json
from functools import singledispatch
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from . import nir_extension
from .errors import ExportError, NirFileError
from .graph import Edge, Graph
from .nir_forms import dense_form, node_fields, pool_as_conv, shift_form, square_form
from .nir_layout import SHAPED_PORTS, shaped_nodes
from .nodes import (
    LI,
    LIF,
    AlphaLIF,
    Conv,
    CubaLIF,
    DynamicThresholdLIF,
    Float,
    Gather,
    Input,
    Linear,
    MatMul,
    Node,
    Output,
    Pool,
    Product,
    Reduce,
    Reshape,
    Scale,
    Shape,
    Threshold,
)
from .passes.balance_latency import balance_latency

Double = npt.NDArray[np.float64]

NO_LEAK = 2.0**60
"""tau/dt of a decay of 1 beside leaking neurons: 1 − 2^-60 is 1 in every float, and r = tau/dt undoes it exactly."""
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
NOTES = "axonport"
"""Metadata key of a JSON text with what NIR has no field for; other readers need none of it."""
NAMED_PORTS = ("threshold", "population", "context", "a", "b")
"""Ports that the receiving node names itself, since a NIR edge would add to its input."""


def to_nir_graph(graph: Graph) -> Any:
    """Return the `nir.NIRGraph` of a float graph.

    Raises:
        NirFileError: a name or an array that a file cannot hold.
    """
    builder = Builder(graph)
    for name, node in graph.nodes.items():
        if "/" in name or name in ("", "."):
            raise NirFileError(f"node {name!r}: its name cannot be stored; use letters, digits, dots and underscores")
        _write(node, name, builder)
    for name in graph.nodes:
        builder.name_sources(name)
    for edge in graph.edges:
        builder.connect(edge)
    metadata: dict[str, Any] = {"dt": graph.dt_s, "writer": "axonport"}
    latency = _lava_latency(graph)
    if latency is not None:
        metadata["lava_latency"] = latency
    # types are checked when the file is read; checking here would add an Output behind each context input
    return nir.NIRGraph(builder.nodes, list(builder.edges), metadata=metadata, type_check=False)


def _lava_latency(graph: Graph) -> int | None:
    """Steps by which stock Lava's output lags; None for a loop that its one-step synapses cannot run."""
    try:
        return balance_latency(graph).total_latency
    except ExportError:
        return None


class Builder:
    """The NIR graph so far.

    Attributes:
        graph: what is written.
        shaped: nodes whose values keep their axes, see `nir_layout`.
        nodes: NIR nodes by name.
        edges: NIR edges as keys, in the order in which they are summed.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shaped = graph, shaped_nodes(graph)
        self.nodes: dict[str, Any] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self._entries: dict[str, list[str]] = {}
        self._exits: dict[str, list[str]] = {}
        self._made: dict[str, str] = {}  # Flatten and Delay nodes, shared by all that want them
        self._taken = {name for name in graph.nodes if not self.is_alias(name)}

    def add(self, name: str, node: Any, **notes: object) -> None:
        """Add the one NIR node that stands for graph node `name`."""
        self.nodes[name] = _noted(node, notes)

    def add_chain(self, name: str, first: Any, last: Any, suffix: str, **notes: object) -> None:
        """Add two NIR nodes in a row; the last one keeps the name, the first one the notes."""
        before = self._extra(f"{name}.{suffix}", _noted(first, notes))
        self.nodes[name] = last
        self.edges[before, name] = None
        self._entries[name] = [before]

    def add_parallel(self, name: str, parts: list[Any], **notes: object) -> None:
        """Add NIR nodes side by side, whose outputs are summed by whoever receives them."""
        names = [name, *(self._extra(f"{name}.{k}", None) for k in range(1, len(parts)))]
        self.nodes |= {part: _noted(node, notes) for part, node in zip(names, parts, strict=True)}
        self._entries[name] = self._exits[name] = names

    def shape(self, name: str) -> Shape:
        """Return the shape in which a node's values travel."""
        node = self.graph.nodes[name]
        return node.shape if name in self.shaped else (node.size,)

    def laid_out(self, name: str, values: Float) -> Double:
        """Return per-neuron values in the node's layout."""
        full = np.broadcast_to(values.astype(np.float64), self.graph.nodes[name].shape)
        return np.ascontiguousarray(full.reshape(self.shape(name)))

    def connect(self, edge: Edge) -> None:
        """Write one edge of the graph, unless its target names its source itself."""
        if edge.port in NAMED_PORTS or self.is_alias(edge.target):
            return
        if edge.port == "recurrent" and isinstance(self.nodes[edge.target], nir_extension.EXTENSIONS):
            return  # written with the node, see `port_source`
        for entry in self._entries.get(edge.target, [edge.target]):
            for source in self._senders(edge, edge.target in self.shaped):
                sender = self._link(source, entry, self.shape(edge.source))
                if edge.port == "recurrent":
                    self._note_recurrent(entry, sender)

    def name_sources(self, name: str) -> None:
        """Tell an extension node the nodes that send to its ports; the recurrent one sends along an edge, too."""
        node = self.nodes.get(name)
        if not isinstance(node, nir_extension.EXTENSIONS):
            return
        for port in (*NAMED_PORTS, "recurrent"):
            if hasattr(node, f"{port}_source"):
                shaped = name in self.shaped and port in SHAPED_PORTS
                source = self._port_source(name, port, shaped=shaped)
                if source and port == "recurrent":
                    source = self._link(source, name, self.shape(name))
                setattr(node, f"{port}_source", source)

    def _port_source(self, name: str, port: str, *, shaped: bool) -> str:
        """Return the one NIR node that sends to a port; a sum gets a node of its own."""
        edges = self.graph.incoming(name, port)
        senders = [sender for edge in edges for sender in self._senders(edge, shaped)]
        if len(senders) <= 1:
            return senders[0] if senders else ""
        shape = self._sent_shape(edges[0].source, shaped)
        total = self._extra(f"{name}.{port}", _copy(shape))
        for sender in senders:
            self._link(sender, total, shape)
        return total

    def _senders(self, edge: Edge, shaped: bool) -> list[str]:
        senders = self._exit(edge.source, shaped)
        return [self._delayed(sender, edge, shaped) for sender in senders] if edge.delay else senders

    def _exit(self, name: str, shaped: bool) -> list[str]:
        """Return the NIR nodes that send a node's values, behind a Flatten if the receiver wants them flat."""
        if self.is_alias(name):
            return self._exit(self.graph.sources(name)[0], shaped)
        if shaped or name not in self.shaped:
            return self._exits.get(name, [name])
        flat = f"{name}.flat"
        if flat not in self._made:
            inner = self._exits.get(name, [name])
            made = self._extra(
                flat, nir.Flatten(input_type={"input": np.array(self.shape(name))}, start_dim=0, end_dim=-1)
            )
            self.edges |= {(sender, made): None for sender in inner}
            self._made[flat] = made
        return [self._made[flat]]

    def is_alias(self, name: str) -> bool:
        """Tell a Reshape that needs no node: its one source is sent on as it is."""
        edges = self.graph.incoming(name)
        return isinstance(self.graph.nodes[name], Reshape) and len(edges) == 1 and not edges[0].delay

    def _delayed(self, sender: str, edge: Edge, shaped: bool) -> str:
        key = f"{sender}.delay{edge.delay}"
        if key not in self._made:
            seconds = np.full(self._sent_shape(edge.source, shaped), edge.delay * self.graph.dt_s)
            self._made[key] = self._extra(key, nir.Delay(delay=seconds))
            self.edges[sender, self._made[key]] = None
        return self._made[key]

    def _sent_shape(self, name: str, shaped: bool) -> Shape:
        return self.graph.nodes[name].shape if shaped else (self.graph.nodes[name].size,)

    def _link(self, sender: str, receiver: str, shape: Shape) -> str:
        """Add an edge; NIR has no second one between the same nodes, so a copy of the sender stands in."""
        if (sender, receiver) in self.edges:
            copy = self._extra(f"{sender}.again", _copy(shape))
            self.edges[sender, copy] = None
            sender = copy
        self.edges[sender, receiver] = None
        return sender

    def _note_recurrent(self, entry: str, sender: str) -> None:
        notes = json.loads(self.nodes[entry].metadata.get(NOTES, "{}"))
        notes.setdefault("recurrent", []).append(sender)
        self.nodes[entry].metadata[NOTES] = json.dumps(notes)

    def _extra(self, wanted: str, node: Any) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}{count}"
        self._taken.add(name)
        self.nodes[name] = node
        return name


def _copy(shape: Shape) -> Any:
    """A node that only passes on, where NIR's edges do not suffice."""
    return _noted(nir.Scale(scale=np.ones(shape)), {"type": "Copy"})


def _noted(node: Any, notes: dict[str, object]) -> Any:
    if notes:
        node.metadata[NOTES] = json.dumps(notes)
    return node


@singledispatch
def _write(node: object, name: str, builder: Builder) -> None:
    raise NirFileError(f"node {name}: {type(node).__name__} has no form in NIR; run passes.fold_norm before writing")


@_write.register
def _(node: Input, name: str, builder: Builder) -> None:
    builder.add(name, nir.Input(input_type={"input": np.array(node.shape)}, metadata={"kind": node.kind}))


@_write.register
def _(node: Output, name: str, builder: Builder) -> None:
    notes = {} if builder.shape(name) == node.shape else {"shape": node.shape}
    builder.add(name, nir.Output(output_type={"output": np.array(builder.shape(name))}), **notes)


@_write.register
def _(node: Reshape, name: str, builder: Builder) -> None:
    if not builder.is_alias(name):
        builder.add(name, nir.Scale(scale=np.ones(node.size)))


@_write.register
def _(node: Linear, name: str, builder: Builder) -> None:
    if node.positions:
        _write_dense(node, name, builder)
    else:
        builder.add(name, _affine(node.weight, node.bias))


@_write.register
def _(node: Conv, name: str, builder: Builder) -> None:
    if name not in builder.shaped:
        _write_dense(node, name, builder)
        return
    embedding, square = square_form(node)
    if embedding is None:
        builder.add(name, _convolution(square), **node_fields(node))
    else:
        builder.add_chain(name, _convolution(embedding), _convolution(square), "padded", type="Embedding", of=name)
        _noted(builder.nodes[name], node_fields(node))


@_write.register
def _(node: Pool, name: str, builder: Builder) -> None:
    if name not in builder.shaped:
        _write_dense(node, name, builder)
    elif len(node.kernel) == 1:
        builder.add(name, _convolution(square_form(pool_as_conv(node))[1]), **node_fields(node))
    else:
        kind = nir.SumPool2d if node.kind == "sum" else nir.AvgPool2d
        window = {"kernel_size": node.kernel, "stride": node.stride, "padding": node.padding}
        builder.add(name, kind(**{key: np.array(value) for key, value in window.items()}))


@_write.register
def _(node: Gather, name: str, builder: Builder) -> None:
    parts = shift_form(node) if name in builder.shaped else None
    if parts is None:
        _write_dense(node, name, builder)
    else:
        builder.add_parallel(name, [_convolution(part) for part in parts], **node_fields(node))


@_write.register
def _(node: Reduce, name: str, builder: Builder) -> None:
    _write_dense(node, name, builder)


def _write_dense(node: Node, name: str, builder: Builder) -> None:
    builder.add(name, _affine(*dense_form(node, name)), **node_fields(node))


def _affine(weight: Float, bias: Float | None) -> Any:
    return nir.Linear(weight=weight) if bias is None else nir.Affine(weight=weight, bias=bias)


def _convolution(node: Conv) -> Any:
    """A convolution with one group; its kernel is square if it has two axes."""
    geometry = node.geometry
    values = {"stride": geometry.stride, "padding": geometry.padding, "dilation": geometry.dilation}
    bias = np.zeros(len(node.weight), dtype=np.float32) if node.bias is None else node.bias
    if len(geometry.input_shape) == 2:
        numbers = {key: value[0] for key, value in values.items()}
        return nir.Conv1d(input_shape=geometry.input_shape[1], weight=node.weight, groups=1, bias=bias, **numbers)
    return nir.Conv2d(input_shape=geometry.input_shape[1:], weight=node.weight, groups=1, bias=bias, **values)


@_write.register
def _(node: Scale, name: str, builder: Builder) -> None:
    builder.add(name, nir.Scale(scale=builder.laid_out(name, node.weight).astype(np.float32)))


def time_constant(decay: Double, dt_s: float) -> Double:
    """Return tau [s] with decay = 1 − dt/tau, forward Euler's."""
    return dt_s / np.where(decay == 1, 1 / NO_LEAK, 1 - decay)


def _neuron_shaped(name: str, builder: Builder, **decays: Float) -> tuple[dict[str, Double], Double, Double]:
    """Return decays, the membrane's tau and zeros, in the node's layout."""
    exact = {key: builder.laid_out(name, decay) for key, decay in decays.items()}
    return exact, time_constant(exact["beta"], builder.graph.dt_s), np.zeros(builder.shape(name))


@_write.register
def _(node: LIF, name: str, builder: Builder) -> None:
    if node.threshold is None or node.inhibition or not _resets_at_once(node):
        builder.add(name, _snntorch(nir_extension.SnnTorchLeaky, node, name, builder))
        return
    dt_s, theta = builder.graph.dt_s, builder.laid_out(name, node.threshold)
    exact, tau, zeros = _neuron_shaped(name, builder, beta=node.beta)
    if node.reset == "none":
        builder.add_chain(name, _integrator(exact["beta"], dt_s), nir.Threshold(threshold=theta), "membrane")
    elif (exact["beta"] == 1).all():
        builder.add(name, nir.IF(r=zeros + 1 / dt_s, v_threshold=theta, v_reset=zeros), **_reset_notes(node))
    else:
        unit = nir.LIF(tau=tau, r=tau / dt_s, v_leak=zeros, v_threshold=theta, v_reset=zeros, metadata=exact)
        builder.add(name, unit, **_reset_notes(node))


def _resets_at_once(node: LIF | CubaLIF) -> bool:
    """Tell whether NIR's neurons say the reset; a `zero` that waits a step erases the same membrane."""
    return node.reset in ("zero", "none") or (node.reset == "clear" and not node.reset_delay)


def _reset_notes(node: LIF) -> dict[str, object]:
    """What keeps the membrane's record as it was; the spikes are those of NIR's reset in any case."""
    if node.reset == "zero" and not node.reset_delay:
        return {}
    return {"reset": node.reset, "reset_delay": node.reset_delay}


@_write.register
def _(node: CubaLIF, name: str, builder: Builder) -> None:
    if node.threshold is None or node.inhibition or not _resets_at_once(node):
        builder.add(name, _snntorch(nir_extension.SnnTorchSynaptic, node, name, builder))
        return
    dt_s, theta = builder.graph.dt_s, builder.laid_out(name, node.threshold)
    exact, tau, zeros = _neuron_shaped(name, builder, beta=node.beta, alpha=node.alpha)
    tau_syn = time_constant(exact["alpha"], dt_s)
    shared = {
        "tau_syn": tau_syn,
        "tau_mem": tau,
        "r": tau / dt_s,
        "v_leak": zeros,
        "w_in": tau_syn / dt_s,
        "metadata": exact,
    }
    if node.reset == "none":
        builder.add_chain(name, nir.CubaLI(**shared), nir.Threshold(threshold=theta), "membrane")
    else:
        builder.add(name, nir.CubaLIF(v_threshold=theta, v_reset=zeros, **shared))


@_write.register
def _(node: AlphaLIF, name: str, builder: Builder) -> None:
    builder.add(name, _snntorch(nir_extension.SnnTorchAlpha, node, name, builder))


def _snntorch(kind: Any, node: LIF | CubaLIF | AlphaLIF, name: str, builder: Builder) -> Any:
    decays = {key: builder.laid_out(name, getattr(node, key)) for key in ("alpha", "beta", "tau") if hasattr(node, key)}
    theta = np.zeros(builder.shape(name)) if node.threshold is None else builder.laid_out(name, node.threshold)
    return kind(
        **decays,
        v_threshold=theta,
        reset=node.reset,
        reset_delay=int(node.reset_delay),
        inhibition=int(node.inhibition),
        threshold_source="",
        recurrent_source="",
    )


@_write.register
def _(node: LI, name: str, builder: Builder) -> None:
    builder.add(name, _integrator(builder.laid_out(name, node.beta), builder.graph.dt_s))


def _integrator(beta: Double, dt_s: float) -> Any:
    if (beta == 1).all():
        return nir.I(r=np.full(beta.shape, 1 / dt_s))
    tau = time_constant(beta, dt_s)
    return nir.LI(tau=tau, r=tau / dt_s, v_leak=np.zeros(beta.shape), metadata={"beta": beta})


@_write.register
def _(node: Threshold, name: str, builder: Builder) -> None:
    builder.add(name, nir.Threshold(threshold=builder.laid_out(name, node.threshold)))


@_write.register
def _(node: DynamicThresholdLIF, name: str, builder: Builder) -> None:
    unit = nir_extension.DynamicThresholdLIF(
        beta=builder.laid_out(name, node.beta),
        controller=np.array([getattr(node.controller, field) for field in CONTROLLER_FIELDS], dtype=np.int64),
        weight_context=np.array(node.controller.weight_context, dtype=np.int64),
        population_source="",
        context_source="",
    )
    builder.add(name, unit)


@_write.register
def _(node: Product, name: str, builder: Builder) -> None:
    builder.add(name, nir_extension.Product(shape=np.array([node.size]), a_source="", b_source=""))


@_write.register
def _(node: MatMul, name: str, builder: Builder) -> None:
    shapes = {"shape_a": np.array(node.shape_a), "shape_b": np.array(node.shape_b)}
    builder.add(name, nir_extension.MatMul(**shapes, a_source="", b_source=""))
