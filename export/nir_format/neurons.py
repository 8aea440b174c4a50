"""NIR neurons to ours: forward Euler at the file's dt, parameters broadcast to the layer's shape.

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

from ..errors import NirFileError
from ..nodes import LI, LIF, AlphaLIF, Conv, CubaLIF, DynamicThresholdLIF, Float, Node, Scale, Shape
from ..passes.standardize_concatenation import Columns
from .parse import Unit
from .write import CONTROLLER_FIELDS

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
        dt_s: time step in seconds of what ticks in every step.
        periods: unit to the steps between its ticks.
        embeddings: embedding that a convolution needs before it, by the convolution's name.
        columns: layers that are parts of larger ones, see `passes.standardize_concatenation`.
        num_values: values broadcast so far.
    """

    dt_s: float
    periods: dict[str, int] = field(default_factory=dict)
    embeddings: dict[str, Conv] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)
    num_values: int = 0

    def step_s(self, name: str) -> float:
        """Return a unit's own time step in seconds."""
        return self.dt_s * self.periods[name]

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


def neuron(unit: Unit, name: str, shape: Shape, context: Context) -> Chain:
    """Read I, IF, LI, LIF, CubaLI, CubaLIF, or a Threshold with its membrane."""
    node = unit.nir if unit.membrane is None else unit.membrane
    kind = type(node).__name__
    for potential in ("v_reset", "v_leak"):
        if np.any(np.asarray(getattr(node, potential, 0)) != 0):
            raise NirFileError(f"node {name}: {potential} is not 0, allowed is 0; shift the potentials")
    if kind in ("I", "IF"):
        beta, gain = np.ones(shape), context.broadcast(name, node.r, shape) * context.step_s(name)
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
        chain.append((f"{name}.gain", Scale(weight=to_float(gain), shape=shape)))
    theta = unit.nir.threshold if unit.membrane is not None else getattr(node, "v_threshold", None)
    if theta is None:
        chain += [] if alpha is None else [(f"{name}.current", LI(beta=to_float(alpha)))]
        layer = LI(beta=to_float(beta))
    else:
        layer = _spiking(unit, to_float(beta), alpha, to_float(context.broadcast(name, theta, shape)))
    return [*chain, (name, layer)]


def _spiking(unit: Unit, beta: Float, alpha: Double | None, theta: Float) -> LIF | CubaLIF:
    if alpha is not None:
        reset: Any = "clear" if unit.membrane is None else "none"
        return CubaLIF(
            alpha=to_float(alpha), beta=beta, threshold=theta, reset=reset, reset_delay=unit.membrane is not None
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
    dt_s = context.step_s(name)
    rate = dt_s / context.broadcast(name, tau, shape)
    decay, gain = 1 - rate, context.broadcast(name, resistance, shape) * rate
    exact = node.metadata.get(exact_name)
    if exact is not None:
        if np.shape(exact) != decay.shape or not bool((np.abs(exact - decay) <= DECAY_TOLERANCE).all()):
            raise NirFileError(f"node {name}: metadata {exact_name} contradicts tau; write the file again")
        decay = np.asarray(exact, dtype=np.float64)
    if not bool((decay >= 0).all()):
        raise NirFileError(
            f"node {name}: tau down to {np.min(dt_s / rate):g} s is shorter than dt = {dt_s:g} s, "
            "allowed is dt or more; give the dt for which the file was made"
        )
    return decay, gain


def snntorch(unit: Unit, name: str, shape: Shape, context: Context) -> LIF | CubaLIF | AlphaLIF:
    """Read one of our extensions for snnTorch's neurons."""
    node = unit.nir
    threshold = None
    if not node.threshold_source:
        threshold = to_float(context.broadcast(name, node.v_threshold, shape))
    shared: dict[str, Any] = {
        "beta": to_float(context.broadcast(name, node.beta, shape)),
        "threshold": threshold,
        "reset": node.reset,
        "reset_delay": bool(node.reset_delay),
        "inhibition": bool(node.inhibition),
    }
    if node.reset not in ("zero", "subtract", "none", "clear"):
        raise NirFileError(f"node {name}: reset '{node.reset}', allowed are zero, subtract, none, clear")
    if unit.kind == "SnnTorchLeaky":
        return LIF(**shared)
    alpha = to_float(context.broadcast(name, node.alpha, shape))
    if unit.kind == "SnnTorchSynaptic":
        return CubaLIF(alpha=alpha, **shared)
    return AlphaLIF(alpha=alpha, tau=to_float(context.broadcast(name, node.tau, shape)), **shared)


def dynamic(unit: Unit, name: str, shape: Shape, context: Context) -> DynamicThresholdLIF:
    """Read our extension for a threshold that a controller moves."""
    values = dict(zip(CONTROLLER_FIELDS, (int(value) for value in unit.nir.controller), strict=True))
    context_weights = tuple(int(weight) for weight in np.atleast_1d(unit.nir.weight_context))
    controller = ThresholdController(**values, weight_context=context_weights)
    return DynamicThresholdLIF(beta=to_float(context.broadcast(name, unit.nir.beta, shape)), controller=controller)


def to_float(array: Any) -> Float:
    """Round to float32."""
    with np.errstate(over="ignore"):  # what overflows is infinite, which verify refuses by name
        values: Float = np.asarray(array).astype(np.float32)
    return values
