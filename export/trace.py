"""What a world did, layer by layer and step by step: the arrays that the parity ladder compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hardware_profiles.arithmetic import CONTEXT_MAX

from .errors import InputDataError
from .graph import Graph
from .nodes import Input

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerTrace:
    """One neuron layer over time, its neurons in C order of the layer's shape.

    A layer of a slower stage has no spikes between its ticks; `v` and `theta` are held, and zero before the first.

    Attributes:
        s: spikes, uint8 [T, B, n].
        v: membrane after the step as the node's equation stores it, float32/float64 or int64 [T, B, n]; None if not
            recorded, or if the node has none (`Threshold`).
        theta: threshold mantissa of a threshold controller, int64 [T, B]; None for all other neurons.
        saturations: membranes clipped, int; 0 in float worlds.
    """

    s: Array
    v: Array | None = None
    theta: Array | None = None
    saturations: int = 0


Trace = dict[str, LayerTrace]
"""Neuron node name to what it did."""


def check_inputs(graph: Graph, inputs: Mapping[str, Array]) -> tuple[int, int]:
    """Check a batch of inputs against the graph's input nodes.

    Args:
        graph: the graph.
        inputs: name to [T, B, *shape], or [T, B, size]; spikes are 0/1, graded values fit 11 bits.

    Returns:
        (T, B).

    Raises:
        InputDataError: names, shapes or values do not fit.
    """
    nodes = graph.inputs()
    if set(inputs) != set(nodes):
        raise InputDataError(f"inputs: are {sorted(inputs)}, allowed are exactly {sorted(nodes)}; rename the arrays")
    extents = {tuple(array.shape[:2]) for array in inputs.values() if array.ndim >= 3}
    for name, array in inputs.items():
        _check_input(name, array, nodes[name], len(extents))
    num_steps, batch = next(iter(extents))
    if num_steps % graph.longest_period:
        raise InputDataError(
            f"inputs: have T = {num_steps} steps, allowed are multiples of {graph.longest_period}, after which all "
            "stages tick together; cut them or append zeros"
        )
    return num_steps, batch


def _check_input(name: str, array: Array, node: Input, num_extents: int) -> None:
    if array.shape[2:] not in (node.shape, (node.size,)) or 0 in array.shape or num_extents != 1:
        allowed = ", ".join(map(str, node.shape))
        raise InputDataError(
            f"input {name}: shape {array.shape}, allowed is [T, B, {allowed}] with the same T ≥ 1 and B ≥ 1 for all "
            "inputs"
        )
    is_whole = array.dtype.kind in "biu"
    if node.kind == "spike" and not (array.min() >= 0 and array.max() <= 1 and (is_whole or _are_whole(array))):
        raise InputDataError(f"input {name}: holds values other than 0 and 1; give binary spikes")
    if node.kind == "graded" and not (array.min() >= -CONTEXT_MAX and array.max() <= CONTEXT_MAX):
        raise InputDataError(f"input {name}: holds values beyond ±{CONTEXT_MAX}; graded values have 11 bits")
    if node.kind == "graded" and not (is_whole or _are_whole(array)):
        raise InputDataError(f"input {name}: holds fractions; graded values are integers, quantise them first")
    if node.period > 1 and np.delete(array, np.s_[node.period - 1 :: node.period], axis=0).any():
        raise InputDataError(
            f"input {name}: holds values between its ticks, allowed are values in every {node.period}th step "
            f"(t = {node.period - 1}, {2 * node.period - 1}, …); set the others to 0"
        )


def _are_whole(array: Array) -> bool:
    return bool(np.array_equal(array, np.round(array)))


def arriving_at(node: Input, values: Array) -> Array:
    """Return one step of an input, [B, size] or [B, *shape], as [B, *shape]."""
    return values.reshape(len(values), *node.shape)


def first_samples(inputs: Mapping[str, Array], num_samples: int) -> dict[str, Array]:
    """Return the first samples of inputs `[T, N, *shape]`."""
    return {name: array[:, :num_samples] for name, array in inputs.items()}


def on_ticks(rows: Sequence[Array], period: int, between: float = 0) -> Array:
    """Stack what happened on a node's ticks to [T, …], with `between` in all other steps."""
    ticks = np.stack(rows)
    steps = np.full((len(ticks) * period, *ticks.shape[1:]), between, dtype=ticks.dtype)
    steps[period - 1 :: period] = ticks
    return steps


def held(rows: Sequence[Array], period: int) -> Array:
    """Stack what a node stored on its ticks to [T, …]: held until the next one, zero before the first."""
    ticks = np.stack([np.zeros_like(rows[0]), *rows])
    steps: Array = ticks[np.arange(1, len(rows) * period + 1) // period]
    return steps
