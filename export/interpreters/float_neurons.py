"""One step of every float neuron, in snnTorch's order of evaluation, on tensors or on tracked numbers.

The equations are those of `nodes.neurons`; each function is one class of snnTorch 1.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch

import torch

from ..nodes import LIF, AlphaLIF, CubaLIF
from .tracked import Number, without

Snn = LIF | CubaLIF | AlphaLIF


@dataclass(frozen=True, eq=False)
class Parameters:
    """A neuron's arrays as tensors of the run's type; those that its class lacks are absent."""

    beta: torch.Tensor
    alpha: torch.Tensor | None = None
    tau: torch.Tensor | None = None

    @staticmethod
    def of(node: Snn, dtype: torch.dtype) -> Parameters:
        """Convert a node's arrays."""
        arrays = (getattr(node, name, None) for name in ("beta", "alpha", "tau"))
        beta, alpha, tau = (None if array is None else torch.as_tensor(array).to(dtype) for array in arrays)
        assert beta is not None
        return Parameters(beta, alpha, tau)


@dataclass
class State:
    """What a neuron keeps: the membrane, and the synaptic traces of the classes that have them."""

    u: Number
    traces: tuple[Number, ...] = field(default=())

    @staticmethod
    def at_rest(node: Snn, zero: Number) -> State:
        """Return zeros."""
        num_traces = {LIF: 0, CubaLIF: 1, AlphaLIF: 2}[type(node)]
        return State(zero, (zero,) * num_traces)


@singledispatch
def advance(
    node: object, p: Parameters, state: State, x: Number, z: Number | None, theta: Number, r: Number
) -> tuple[Number, tuple[Number, ...]]:
    """Return (U', new traces).

    Args:
        node: what kind of neuron.
        p: its parameters.
        state: before the step.
        x: current at port `input`.
        z: current at port `recurrent`, or None.
        theta: this step's threshold.
        r: the reset that is owed.
    """
    raise AssertionError(f"{type(node).__name__} is no snnTorch neuron")


@advance.register
def _(
    node: LIF, p: Parameters, state: State, x: Number, z: Number | None, theta: Number, r: Number
) -> tuple[Number, tuple[Number, ...]]:
    u = without(state.u, r) if node.reset == "zero" else state.u
    u = _with(p.beta * u + x, z)
    return _reset(node, u, theta, r), ()


@advance.register
def _(
    node: CubaLIF, p: Parameters, state: State, x: Number, z: Number | None, theta: Number, r: Number
) -> tuple[Number, tuple[Number, ...]]:
    assert p.alpha is not None
    current = _with(p.alpha * state.traces[0] + x, z)
    return _reset(node, p.beta * state.u + current, theta, r), (current,)


@advance.register
def _(
    node: AlphaLIF, p: Parameters, state: State, x: Number, z: Number | None, theta: Number, r: Number
) -> tuple[Number, tuple[Number, ...]]:
    assert p.alpha is not None and p.tau is not None
    x = _with(x, z)
    excitation, inhibition = state.traces
    e, i = p.alpha * excitation + x, p.beta * inhibition - x
    u = p.tau * (e + i)
    if node.reset == "subtract":
        return u - (-1 * inhibition) * r, (e - theta * r, without(i, r))
    if node.reset == "clear":
        return without(u, r), (without(e, r), without(i, r))
    return u, (e, i)


def _with(current: Number, z: Number | None) -> Number:
    return current if z is None else current + z


def _reset(node: LIF | CubaLIF, u: Number, theta: Number, r: Number) -> Number:
    if node.reset == "subtract":
        return u - r * theta
    return without(u, r) if node.reset == "clear" else u


def settle(node: Snn, u: Number, theta: Number, s: Number, r: Number) -> Number:
    """Return what is stored of U' after the decision: with reset_delay=False the reset happens now."""
    if node.reset_delay or node.reset == "none":
        return u
    due = s - r
    return u - due * theta if node.reset == "subtract" else without(u, due)


def owes_last_spike(node: Snn) -> bool:
    """Tell whether R[t] = S[t−1] by the equations: delayed reset, constant threshold, every neuron for itself."""
    return node.reset_delay and node.threshold is not None and not node.inhibition


def never_owes(node: Snn) -> bool:
    """Tell whether R[t] = 0 by the equations: the membrane is zero after each spike, below a constant threshold."""
    resets_at_once = not node.reset_delay and node.reset in ("zero", "clear")
    return resets_at_once and node.threshold is not None and not node.inhibition
