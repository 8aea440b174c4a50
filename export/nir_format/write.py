"""Float graph to NIR graph: one function per node."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import nir
import numpy as np

from ..errors import NirFileError
from ..graph import Graph
from ..graph_file import total_latency_steps
from ..nodes import (
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
    Threshold,
    WindowSum,
)
from ..passes.standardize_concatenation import Columns
from . import extension as nir_extension
from .builder import Builder, Double, noted
from .forms import dense_form, is_own_shift, node_fields, pool_as_conv, shift_form, square_form

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


def to_nir_graph(graph: Graph, columns: Mapping[str, Columns]) -> Any:
    """Return the `nir.NIRGraph` of a float graph.

    Args:
        graph: float dialect, "model" timing.
        columns: layers that are parts of larger ones.

    Raises:
        NirFileError: a name or an array that a file cannot hold.
    """
    builder = Builder(graph)
    for name, node in graph.nodes.items():
        if "/" in name or name in ("", "."):
            raise NirFileError(f"node {name!r}: its name cannot be stored; use letters, digits, dots and underscores")
        _write(node, name, builder)
    for name, column in columns.items():
        noted(builder.nodes[name], column.fields)
    for name in graph.nodes:
        builder.name_sources(name)
    for edge in graph.edges:
        builder.connect(edge)
    metadata: dict[str, Any] = {"dt": graph.dt_s, "writer": "axonport"}
    latency = total_latency_steps(graph)
    if latency is not None:
        metadata["lava_latency"] = latency
    # types are checked when the file is read; checking here would add an Output behind each context input
    return nir.NIRGraph(builder.nodes, list(builder.edges), metadata=metadata, type_check=False)


@singledispatch
def _write(node: object, name: str, builder: Builder) -> None:
    raise NirFileError(f"node {name}: {type(node).__name__} has no form in NIR; run passes.fold_norm before writing")


@_write.register
def _(node: Input, name: str, builder: Builder) -> None:
    metadata = {"kind": node.kind, **({"period": node.period} if node.period > 1 else {})}
    builder.add(name, nir.Input(input_type={"input": np.array(node.shape)}, metadata=metadata))


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
        noted(builder.nodes[name], node_fields(node))


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
        noted = [node_fields(node) if is_own_shift(part) else {} for part in parts]
        builder.add_parallel(name, list(zip(map(_convolution, parts), noted, strict=True)))


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
    return exact, time_constant(exact["beta"], builder.step_s(name)), np.zeros(builder.shape(name))


@_write.register
def _(node: LIF, name: str, builder: Builder) -> None:
    if node.threshold is None or node.inhibition or not _resets_at_once(node):
        builder.add(name, _snntorch(nir_extension.SnnTorchLeaky, node, name, builder))
        return
    dt_s, theta = builder.step_s(name), builder.laid_out(name, node.threshold)
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
    dt_s, theta = builder.step_s(name), builder.laid_out(name, node.threshold)
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
    builder.add(name, _integrator(builder.laid_out(name, node.beta), builder.step_s(name)))


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


@_write.register
def _(node: WindowSum, name: str, builder: Builder) -> None:
    shape = np.array(builder.shape(name))
    builder.add(name, nir_extension.WindowSum(shape=shape, weight=node.weight.astype(np.float64)))
