"""What a forward leaves behind, and whether it computes the same when it runs again.

A graph says what one step computes. A counter, noise, a value kept in an attribute, a sum over all steps so far, or a
constant that was made of the example's values would make another call, or a longer sequence, compute something else.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import UnsupportedModuleError
from ..graph import Graph
from ..registry import read_states
from .tape import Tape
from .unrolled import Unrolled


@contextlib.contextmanager
def left_as_it_was(network: nn.Module) -> Iterator[None]:
    """Give a network its attributes, buffers and states back afterwards, and torch its random numbers."""
    kept = [(module, _attributes(module), dict(module._buffers)) for module in network.modules()]
    values = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, attributes, buffers in kept:
            module._buffers.clear()
            module._buffers.update(buffers)
            _restore(module, attributes)
        with torch.no_grad():
            for buffer, value in values:
                if buffer.shape == value.shape:
                    buffer.copy_(value)


def _attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Return every attribute with what it contains, for containers."""
    return {
        name: (value, value.copy() if type(value) in (list, dict, set) else None)
        for name, value in module.__dict__.items()
        if name not in ("_buffers", "_parameters", "_modules")
    }


def _restore(module: nn.Module, attributes: dict[str, tuple[Any, Any]]) -> None:
    for name in [name for name in module.__dict__ if name not in attributes]:
        if name not in ("_buffers", "_parameters", "_modules"):
            del module.__dict__[name]
    for name, (value, content) in attributes.items():
        module.__dict__[name] = value
        if type(value) is list:
            value[:] = content
        elif content is not None:
            value.clear()
            value.update(content)


def put_to_rest(network: nn.Module) -> None:
    """Start all neurons from zeros."""
    for module in network.modules():
        for name in read_states(module):
            module._buffers[name] = torch.zeros(0)


def weights_digest(network: nn.Module) -> dict[str, tuple[int, float]]:
    """Return what changes when forward writes to a parameter: torch's version of it, and its sum (for `.data`)."""
    return {name: (value._version, float(value.detach().sum())) for name, value in network.named_parameters()}


def one_sample_more(network: nn.Module, states: dict[tuple[int, str], torch.Tensor]) -> dict[Any, torch.Tensor]:
    """Give all neurons' states another sample, as another batch has, and return what they are now."""
    more = {}
    for module in network.modules():
        for name in read_states(module):
            key = (id(module), name)
            if key in states and states[key].dim() > 0:
                more[key] = torch.cat([states[key], states[key][:1]])
                module._buffers[name] = more[key]
    return more


def first_difference(graph: Graph, again: Graph) -> str | None:
    """Return the first node in which two readings of a network differ, or None."""
    for name in sorted(graph.nodes.keys() ^ again.nodes.keys()):
        return name
    for name, node in graph.nodes.items():
        other = again.nodes[name]
        if type(node) is not type(other) or _edges_to(graph, name) != _edges_to(again, name):
            return name
        if not _equal(node, other):
            return name
    return None


def _edges_to(graph: Graph, name: str) -> list[Any]:
    """Return the edges that lead to a node, in order."""
    return [edge for edge in graph.edges if edge.target == name]


def _equal(left: Any, right: Any) -> bool:
    if dataclasses.is_dataclass(left) and type(left) is type(right):
        return all(_equal(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return np.shares_memory(left, right) or np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    return bool(left == right)


def check_steps(unrolled: Unrolled, tape: Tape, axis: int | None) -> None:
    """Refuse a loop that leaves steps out, and one step that starts all over."""
    if axis is None and unrolled.num_steps == 1 and unrolled.restarted:
        raise UnsupportedModuleError(
            f"module {min(unrolled.restarted)}: starts from rest in every call of forward, which computes one step; "
            "loop over time inside forward, or use init_hidden=True and reset outside"
        )
    lengths = [operation.shape[axis] for operation in tape.operations if operation.is_input] if axis is not None else []
    if unrolled.layers and lengths and unrolled.num_steps != lengths[0]:
        raise UnsupportedModuleError(
            f"network: forward computes {unrolled.num_steps} of {lengths[0]} steps of its input; loop over all of them"
        )
