"""In which types a graph is computed: narrow where that is proven to be exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.graph import Graph
from export.ranges import arriving_bound, value_bounds
from export.trace import Array
from hardware_profiles.arithmetic import IntegerFormat

FLOAT32_EXACT = 1 << (np.finfo(np.float32).nmant + 1)
"""Integers up to this magnitude are exact in float32: 24 bits of mantissa, and no more."""
FLOAT64_EXACT = 1 << (np.finfo(np.float64).nmant + 1)
INT32_STATE_BITS, INT32_DECAY_BITS = 27, 15
"""Widest state and decay whose step fits int32: sums of a few states, and products of two decays."""
INT64_BITS = 62
"""Widest state and decay together whose product fits int64."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers:
    """The types of a graph.

    Attributes:
        word: of sums, membranes and graded values: int32 or int64 for integers, float64 for floats. Spikes are uint8.
        bounds: node to the largest magnitude that it sends; None for floats.
    """

    word: Any
    bounds: Mapping[str, int] | None

    def exact_float(self, name: str, exponent: int = 0) -> Any:
        """Return the narrowest float type in which a node's sums, before their shift, are exact; None if none is."""
        if self.bounds is None:
            return np.float64
        bound = self.bounds[name] >> exponent if exponent >= 0 else (self.bounds[name] + 1) << -exponent
        if bound < FLOAT32_EXACT:
            return np.float32
        return np.float64 if bound < FLOAT64_EXACT else None


def numbers_of(graph: Graph) -> Numbers:
    """Choose the types of a verified graph."""
    if graph.fmt is None:
        return Numbers(word=np.float64, bounds=None)
    bounds = value_bounds(graph)
    arriving = [arriving_bound(graph, name, port, bounds) for name, node in graph.nodes.items() for port in node.ports]
    is_narrow = _fits_int32(graph.fmt) and max([*arriving, *bounds.values()]) <= np.iinfo(np.int32).max
    return Numbers(word=np.int32 if is_narrow else np.int64, bounds=bounds)


def _fits_int32(fmt: IntegerFormat) -> bool:
    largest_bias = fmt.bias_mantissa_max << fmt.bias_exponent_max
    return fmt.state_bits <= INT32_STATE_BITS and fmt.decay_bits <= INT32_DECAY_BITS and largest_bias <= fmt.state_max


def shifted(sums: Array, exponent: int) -> Array:
    """Return sums << exponent; right shifts floor, as those of Lava's Dense do."""
    if not exponent:
        return sums
    moved: Array = sums << exponent if exponent > 0 else sums >> -exponent
    return moved
