"""One NIR node to nodes of the graph: forward Euler at the file's dt, parameters broadcast to the layer's shape.

With β = 1 − dt/tau a neuron's update is v' = β v + g X, g = r dt/tau. Where g is not 1, a `Scale` before the neuron
multiplies its input by g. A CubaLIF's gains, w_in dt/tau_syn before the synaptic current and r dt/tau_mem behind it,
act as their product before it, since the current is linear in its input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from hardware_profiles.arithmetic import ThresholdController

from .errors import NirFileError
from .nir_folding import folded
from .nir_parse import Unit, text
from .nir_write import CONTROLLER_FIELDS
from .nodes import (
    LI,
    LIF,
    AlphaLIF,
    Conv,
    Convolution,
    CubaLIF,
    DynamicThresholdLIF,
    Float,
    Input,
    Linear,
    MatMul,
    Node,
    Output,
    Pool,
    Product,
    Reshape,
    Scale,
    Shape,
    Threshold,
)

Double = npt.NDArray[np.float64]
Chain = list[tuple[str, Node]]
"""Nodes in a row; what arrives at other ports than `input` goes to the one that keeps the unit's name."""

DECAY_TOLERANCE = 1e-6
"""A decay from metadata and 1 − dt/tau may differ by this much: float64 round trips stay below 1e-12, edits do not."""
GAIN_TOLERANCE = 1e-12
"""A gain this close to 1 is 1 after a round trip through tau and r in double precision."""
MAX_VALUES = 64 << 20
"""Most values that scalar parameters may be broadcast to, over the whole file."""


@dataclass(eq=False)
class Context:
    """What converting a file's units shares.

    Attributes:
        dt_s: time step.
        embeddings: embedding that a convolution needs before it, by the convolution's name.
        num_values: values broadcast so far.
    """

    dt_s: float
    embeddings: dict[str, Conv] = field(default_factory=dict)
    num_values: int = 0

    def broadcast(self, name: str, values: Any, shape: Shape) -> Double:
        """Return a parameter in the layer's shape; scalars serve all neurons."""
        array = np.asarray(values, dtype=np.float64)
        self.num_values += prod(shape)
        if self.num_values > MAX_VALUES:
            raise NirFileError(f"node {name}: layers of more than {MAX_VALUES} values; too large to read")
        array = array.reshape(()) if array.size == 1 else array
        if array.ndim not in (0, len(shape)):
            raise NirFileError(f"node {name}: a parameter has shape {array.shape}, its input {shape}; make them equal")
        return np.broadcast_to(array, shape)


def shape_of_parameters(unit: Unit) -> Shape | None:
    """Return the shape that a unit's parameters give it, or None for scalars and units without any."""
    node = unit.nir
    names = ("tau", "r", "v_threshold", "threshold", "tau_mem", "scale", "beta")
    shapes = [np.shape(getattr(node, name)) for name in names if np.size(getattr(node, name, 0)) > 1]
    return np.broadcast_shapes(*shapes) if shapes else None


def convert(unit: Unit, name: str, shape: Shape, context: Context) -> Chain:
    """Return the graph nodes of one unit that receives values of `shape`.

    Raises:
        NirFileError: parameters that the graph cannot carry.
    """
    node = unit.nir
    match unit.kind:
        case "Input":
            return [(name, _input(unit, name, shape))]
        case "Output":
            return _output(unit, name, shape)
        case "Linear" | "Affine" | "Conv1d" | "Conv2d":
            return _weighted(unit, name, shape, context)
        case "SumPool2d" | "AvgPool2d":
            kernel, stride, padding = (_pair(getattr(node, key), 2) for key in ("kernel_size", "stride", "padding"))
            kind: Any = "sum" if unit.kind == "SumPool2d" else "average"
            return [(name, Pool(input_shape=shape, kernel=kernel, stride=stride, padding=padding, kind=kind))]
        case "Flatten":
            return [(name, Reshape(input_shape=shape, shape=_flattened(node, shape)))]
        case "Scale":
            return [(name, Scale(weight=_float(context.broadcast(name, node.scale, shape)), shape=shape))]
        case "Threshold" if unit.membrane is None:
            return [(name, Threshold(threshold=_float(context.broadcast(name, node.threshold, shape))))]
        case "Product":
            return [(name, Product(shape=shape))]
        case "MatMul":
            product = MatMul(shape_a=_lengths(node.shape_a), shape_b=_lengths(node.shape_b))
            return [(name, product), (f"{name}.flat", Reshape(input_shape=product.shape, shape=(product.size,)))]
        case "SnnTorchLeaky" | "SnnTorchSynaptic" | "SnnTorchAlpha":
            return [(name, _snntorch(unit, name, shape, context))]
        case "DynamicThresholdLIF":
            return [(name, _dynamic(unit, name, shape, context))]
        case _:
            return _neuron(unit, name, shape, context)


def _input(unit: Unit, name: str, shape: Shape) -> Input:
    kind = text(unit.nir.metadata.get("kind", "spike"))
    if kind not in ("spike", "graded"):
        raise NirFileError(f"node {name}: input kind '{kind}', allowed are spike, graded")
    return Input(shape=shape, kind="graded" if kind == "graded" else "spike")


def _output(unit: Unit, name: str, shape: Shape) -> Chain:
    written = tuple(int(length) for length in unit.notes.get("shape", shape))
    if written == shape:
        return [(name, Output(shape=shape))]
    return [(f"{name}.shaped", Reshape(input_shape=shape, shape=written)), (name, Output(shape=written))]


def output_shape(unit: Unit, shape: Shape) -> Shape:
    """Return the shape that a unit sends when it receives `shape`."""
    node = unit.nir
    match unit.kind:
        case "Linear" | "Affine":
            return (int(np.shape(node.weight)[0]),)
        case "Conv1d" | "Conv2d":
            return _convolution(unit, shape).shape
        case "SumPool2d" | "AvgPool2d":
            kernel, stride, padding = (_pair(getattr(node, key), 2) for key in ("kernel_size", "stride", "padding"))
            return Pool(input_shape=shape, kernel=kernel, stride=stride, padding=padding).shape
        case "Flatten":
            return _flattened(node, shape)
        case "MatMul":
            return (MatMul(shape_a=_lengths(node.shape_a), shape_b=_lengths(node.shape_b)).size,)
        case _:
            return shape


def _weighted(unit: Unit, name: str, shape: Shape, context: Context) -> Chain:
    plain: Linear | Conv
    if unit.kind in ("Linear", "Affine"):
        weight = _float(unit.nir.weight)
        if weight.ndim != 2:
            raise NirFileError(f"node {name}: a weight of shape {weight.shape}, allowed is [out, in]")
        plain = Linear(weight=weight, bias=_float(unit.nir.bias) if unit.kind == "Affine" else None)
    else:
        plain = _convolution(unit, shape)
    if unit.notes.get("type") in (None, "Embedding"):
        return [(name, plain)]
    node, embedding = folded(plain, unit.notes, name)
    if embedding is not None:
        context.embeddings[name] = embedding
        shape = embedding.geometry.input_shape
    chain: Chain = [(name, node)]
    (port,) = node.ports.values()
    if port != shape:
        chain.insert(0, (f"{name}.shaped", Reshape(input_shape=shape, shape=port)))
    if isinstance(plain, Linear) and len(node.shape) > 1:
        chain.append((f"{name}.flat", Reshape(input_shape=node.shape, shape=(node.size,))))
    return chain


def _convolution(unit: Unit, shape: Shape) -> Conv:
    node, num_axes = unit.nir, 1 if unit.kind == "Conv1d" else 2
    weight = _float(node.weight)
    if weight.ndim != num_axes + 2 or len(shape) != num_axes + 1:
        raise ValueError(f"{unit.kind} with a weight of shape {weight.shape} on an input of shape {shape}")
    stride, dilation = _pair(node.stride, num_axes), _pair(node.dilation, num_axes)
    padding_given = node.padding
    if isinstance(padding_given, (str, bytes)):
        weight, dilation, padding = _padded(weight, dilation, text(padding_given))
    else:
        padding = _pair(padding_given, num_axes)
    geometry = Convolution(
        input_shape=shape, stride=stride, padding=padding, dilation=dilation, groups=int(np.asarray(node.groups).item())
    )
    bias = _float(node.bias) if node.bias is not None and unit.notes.get("bias", True) else None
    return Conv(weight=weight, bias=bias, geometry=geometry)


def _padded(weight: Float, dilation: Shape, padding: str) -> tuple[Float, Shape, Shape]:
    """Resolve padding "same" and "valid"; where "same" needs one zero more at the end, the kernel gets it in front."""
    num_axes = len(dilation)
    if padding == "valid":
        return weight, dilation, (0,) * num_axes
    if padding != "same":
        raise ValueError(f"padding {padding!r}, allowed are numbers, same, valid")
    spans = [step * (length - 1) for step, length in zip(dilation, weight.shape[2:], strict=True)]
    if all(span % 2 == 0 for span in spans):
        return weight, dilation, tuple(span // 2 for span in spans)
    if max(spans) > 4096:
        raise ValueError(f"a kernel that spans {max(spans)} pixels")
    sides = [span + 1 + span % 2 for span in spans]
    full = np.zeros((*weight.shape[:2], *sides), dtype=np.float32)
    at = [
        span % 2 + step * np.arange(length)
        for span, step, length in zip(spans, dilation, weight.shape[2:], strict=True)
    ]
    full[(slice(None), slice(None), *np.ix_(*at))] = weight
    return full, (1,) * num_axes, tuple(side // 2 for side in sides)


def _flattened(node: Any, shape: Shape) -> Shape:
    start, end = int(np.asarray(node.start_dim).item()), int(np.asarray(node.end_dim).item())
    first, last = start % max(len(shape), 1), end % max(len(shape), 1)
    if not (-len(shape) <= start < len(shape) and -len(shape) <= end < len(shape) and first <= last):
        raise ValueError(f"Flatten from axis {start} to {end} of an input of shape {shape}")
    return (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])


def _neuron(unit: Unit, name: str, shape: Shape, context: Context) -> Chain:
    """I, IF, LI, LIF, CubaLI, CubaLIF, and a Threshold with its membrane."""
    node = unit.nir if unit.membrane is None else unit.membrane
    kind = type(node).__name__
    for potential in ("v_reset", "v_leak"):
        if np.any(np.asarray(getattr(node, potential, 0)) != 0):
            raise NirFileError(f"node {name}: {potential} is not 0, allowed is 0; shift the potentials")
    if kind in ("I", "IF"):
        beta, gain = np.ones(shape), context.broadcast(name, node.r, shape) * context.dt_s
    else:
        tau = node.tau_mem if kind.startswith("Cuba") else node.tau
        beta, gain = _decay(tau, node.r, "beta", node, name, shape, context)
    layer: Node
    alpha = None
    if kind.startswith("Cuba"):
        alpha, gain_before = _decay(node.tau_syn, node.w_in, "alpha", node, name, shape, context)
        gain = gain * gain_before
    chain: Chain = []
    if np.any(np.abs(gain - 1) > GAIN_TOLERANCE):
        if unit.notes.get("recurrent"):
            raise NirFileError(f"node {name}: its notes name recurrent sources, its r is not tau/dt; write it again")
        chain.append((f"{name}.gain", Scale(weight=_float(gain), shape=shape)))
    theta = unit.nir.threshold if unit.membrane is not None else getattr(node, "v_threshold", None)
    if theta is None:
        chain += [] if alpha is None else [(f"{name}.current", LI(beta=_float(alpha)))]
        layer = LI(beta=_float(beta))
    else:
        layer = _spiking(unit, _float(beta), alpha, _float(context.broadcast(name, theta, shape)))
    return [*chain, (name, layer)]


def _spiking(unit: Unit, beta: Float, alpha: Double | None, theta: Float) -> LIF | CubaLIF:
    if alpha is not None:
        reset: Any = "clear" if unit.membrane is None else "none"
        return CubaLIF(
            alpha=_float(alpha), beta=beta, threshold=theta, reset=reset, reset_delay=unit.membrane is not None
        )
    if unit.membrane is not None:
        return LIF(beta=beta, threshold=theta, reset="none")
    reset = unit.notes.get("reset", "zero")
    delay = bool(unit.notes.get("reset_delay", False))
    if (reset, delay) not in (("zero", False), ("zero", True), ("clear", False)):
        raise ValueError(f"notes of reset {reset}")
    return LIF(beta=beta, threshold=theta, reset=reset, reset_delay=delay)


def _decay(
    tau: Any, resistance: Any, exact_name: str, node: Any, name: str, shape: Shape, context: Context
) -> tuple[Double, Double]:
    """Return (decay, gain) of tau x' = −x + resistance · X, by forward Euler."""
    rate = context.dt_s / context.broadcast(name, tau, shape)
    decay, gain = 1 - rate, context.broadcast(name, resistance, shape) * rate
    exact = node.metadata.get(exact_name)
    if exact is not None:
        if np.shape(exact) != decay.shape or not bool((np.abs(exact - decay) <= DECAY_TOLERANCE).all()):
            raise NirFileError(f"node {name}: metadata {exact_name} contradicts tau; write the file again")
        decay = np.asarray(exact, dtype=np.float64)
    if not bool((decay >= 0).all()):
        raise NirFileError(
            f"node {name}: tau down to {np.min(context.dt_s / rate):g} s is shorter than dt = {context.dt_s:g} s, "
            "allowed is dt or more; give the dt for which the file was made"
        )
    return decay, gain


def _snntorch(unit: Unit, name: str, shape: Shape, context: Context) -> LIF | CubaLIF | AlphaLIF:
    node = unit.nir
    threshold = None
    if not node.threshold_source:
        threshold = _float(context.broadcast(name, node.v_threshold, shape))
    shared: dict[str, Any] = {
        "beta": _float(context.broadcast(name, node.beta, shape)),
        "threshold": threshold,
        "reset": node.reset,
        "reset_delay": bool(node.reset_delay),
        "inhibition": bool(node.inhibition),
    }
    if node.reset not in ("zero", "subtract", "none", "clear"):
        raise NirFileError(f"node {name}: reset '{node.reset}', allowed are zero, subtract, none, clear")
    if unit.kind == "SnnTorchLeaky":
        return LIF(**shared)
    alpha = _float(context.broadcast(name, node.alpha, shape))
    if unit.kind == "SnnTorchSynaptic":
        return CubaLIF(alpha=alpha, **shared)
    return AlphaLIF(alpha=alpha, tau=_float(context.broadcast(name, node.tau, shape)), **shared)


def _dynamic(unit: Unit, name: str, shape: Shape, context: Context) -> DynamicThresholdLIF:
    values = dict(zip(CONTROLLER_FIELDS, (int(value) for value in unit.nir.controller), strict=True))
    context_weights = tuple(int(weight) for weight in np.atleast_1d(unit.nir.weight_context))
    controller = ThresholdController(**values, weight_context=context_weights)
    return DynamicThresholdLIF(beta=_float(context.broadcast(name, unit.nir.beta, shape)), controller=controller)


def _pair(value: Any, num_axes: int) -> Shape:
    numbers = tuple(int(number) for number in np.ravel(np.asarray(value)))
    numbers = numbers * num_axes if len(numbers) == 1 else numbers
    if len(numbers) != num_axes or not all(0 <= number < 1 << 31 for number in numbers):
        raise ValueError(f"{value} for {num_axes} axes")
    return numbers


def _lengths(values: Any) -> Shape:
    lengths = tuple(int(length) for length in np.ravel(values))
    if not all(0 < length < 1 << 31 for length in lengths) or len(lengths) > 8:
        raise ValueError(f"shape {lengths}")
    return lengths


def _float(array: Any) -> Float:
    with np.errstate(over="ignore"):  # what overflows is infinite, which verify refuses by name
        values: Float = np.asarray(array).astype(np.float32)
    return values
