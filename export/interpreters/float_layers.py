"""The spiking layers of the float world: their state, their decisions, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from ..nodes import LIF, AlphaLIF, CubaLIF, DynamicThresholdLIF, Threshold
from ..trace import Array, LayerTrace, held, on_ticks
from .float_neurons import Parameters, Snn, State, advance, never_owes, owes_last_spike, settle
from .tracked import Number, Tracked, exact, heaviside, value_of, without

Ports = Mapping[str, Number | None]


@dataclass
class Record:
    """Rows per tick, flattened to [B, n]."""

    spikes: list[Array] = field(default_factory=list)
    membranes: list[Array] = field(default_factory=list)
    thetas: list[Array] = field(default_factory=list)
    margins: list[Array] = field(default_factory=list)
    bounds: list[Array] = field(default_factory=list)

    def decision(self, spikes: Number, margin: Number) -> None:
        """Note which neurons spiked, and by how much."""
        self.spikes.append(_row(spikes).astype(np.uint8))
        self.margins.append(_row(margin))
        if isinstance(margin, Tracked):
            self.bounds.append(_row(margin.error))

    def membrane(self, u: Number) -> None:
        """Note what is stored after the step."""
        self.membranes.append(_row(u))

    def trace(self, period: int) -> LayerTrace:
        """Stack the rows of a layer that ticks every `period` steps."""
        v = held(self.membranes, period) if self.membranes else None
        theta = held(self.thetas, period) if self.thetas else None
        return LayerTrace(s=on_ticks(self.spikes, period), v=v, theta=theta)


def _row(number: Number) -> Array:
    row: Array = value_of(number).flatten(1).numpy().copy()
    return row


class Layer(Protocol):
    """A spiking layer."""

    record: Record

    def step(self, ports: Ports, forced: Array | None) -> Number:
        """Advance one tick and return the spikes that other nodes see: `forced` ones, [B, n], if there are any."""


def make_layer(node: object, zero: Number, dtype: torch.dtype) -> Layer:
    """Return a layer at rest; `zero` is its membrane, [B, *shape]."""
    if isinstance(node, Threshold):
        return _MemorylessLayer(node, dtype)
    if isinstance(node, DynamicThresholdLIF):
        return _DynamicLayer(node, zero, dtype)
    assert isinstance(node, (LIF, CubaLIF, AlphaLIF))
    return _SnnLayer(node, zero, dtype)


def _seen(own: Number, forced: Array | None) -> Number:
    """Return the spikes that count from here on; they are exact: 0 or 1."""
    value = value_of(own)
    seen = value if forced is None else torch.as_tensor(forced).to(value.dtype).reshape(value.shape)
    return exact(seen) if isinstance(own, Tracked) else seen


class _MemorylessLayer:
    def __init__(self, node: Threshold, dtype: torch.dtype) -> None:
        self.theta = torch.as_tensor(node.threshold).to(dtype)
        self.record = Record()

    def step(self, ports: Ports, forced: Array | None) -> Number:
        x = ports["input"]
        assert x is not None
        own = heaviside(x, self.theta)
        self.record.decision(own, x - self.theta)
        return _seen(own, forced)


class _SnnLayer:
    def __init__(self, node: Snn, zero: Number, dtype: torch.dtype) -> None:
        self.node, self.parameters = node, Parameters.of(node, dtype)
        self.theta = None if node.threshold is None else torch.as_tensor(node.threshold).to(dtype)
        self.state, self.last = State.at_rest(node, zero), zero
        self.record = Record()

    def step(self, ports: Ports, forced: Array | None) -> Number:
        theta = ports["threshold"] if self.theta is None else self.theta
        x = ports["input"]
        assert x is not None and theta is not None
        r = self._owed(theta, forced is not None)
        u, traces = advance(self.node, self.parameters, self.state, x, ports["recurrent"], theta, r)
        own, margin = _decide(u, theta, self.node.inhibition)
        self.record.decision(own, margin)
        self.last = _seen(own, forced)
        self.state = State(settle(self.node, u, theta, self.last, r), traces)
        self.record.membrane(self.state.u)
        return self.last

    def _owed(self, theta: Number, is_forced: bool) -> Number:
        """Return R[t]; under forced spikes by the equation that names them, where there is one."""
        if is_forced and owes_last_spike(self.node):
            return self.last
        if is_forced and never_owes(self.node):
            return self.last * 0.0
        return heaviside(self.state.u, theta)


def _decide(u: Number, theta: Number, inhibition: bool) -> tuple[Number, Number]:
    """Return (spikes, margin). Under inhibition only the first of the largest U − θ may spike.

    Its margin is then the distance to the largest other, or to zero.
    """
    own, margin = heaviside(u, theta), u - theta
    if not inhibition:
        return own, margin
    value = value_of(margin)
    winner = value.argmax(dim=1, keepdim=True)
    mask = torch.zeros_like(value).scatter_(1, winner, 1.0)
    others = value.masked_fill(mask > 0, -torch.inf).amax(dim=1, keepdim=True)
    rival = torch.where(mask > 0, others, value.gather(1, winner)).clamp(min=0)
    if isinstance(margin, Tracked):
        error = margin.error + margin.error.amax(dim=1, keepdim=True)
        return Tracked(value_of(own) * mask, torch.zeros_like(value)), Tracked(value - rival, error)
    return value_of(own) * mask, value - rival


class _DynamicLayer:
    def __init__(self, node: DynamicThresholdLIF, zero: Number, dtype: torch.dtype) -> None:
        self.controller = node.controller
        self.beta, self.v, self.dtype = torch.as_tensor(node.beta).to(dtype), zero, dtype
        self.record = Record()

    def step(self, ports: Ports, forced: Array | None) -> Number:
        x = ports["input"]
        assert x is not None
        theta = self._theta(ports)
        u = self.v * self.beta + x
        own = heaviside(u, theta)
        self.record.decision(own, u - theta)
        seen = _seen(own, forced)
        self.v = without(u, seen)
        self.record.membrane(self.v)
        return seen

    def _theta(self, ports: Ports) -> torch.Tensor:
        counted = _integers(ports["population"])
        context = _integers(ports.get("context")) if ports.get("context") is not None else counted[:, :0]
        theta = self.controller.threshold(self.controller.group_counts(counted), context)
        self.record.thetas.append(theta)
        scaled = torch.as_tensor(theta * 2.0**-self.controller.fraction_bits).to(self.dtype)
        return scaled.reshape(-1, *(1,) * self.beta.ndim)


def _integers(number: Number | None) -> Array:
    assert number is not None
    integers: Array = value_of(number).flatten(1).numpy().astype(np.int64)
    return integers
