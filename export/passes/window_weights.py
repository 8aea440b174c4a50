"""The weights of a window over time as a chip holds them: unsigned bytes, and the factor that the next weights take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..nodes import Float, UInt8

WINDOW_BITS = 7
"""Weights that sum to one become integers that sum to 2^7 = 128."""
WEIGHT_MAX = 255


def round_window(weight: npt.NDArray[np.floating[Any]]) -> UInt8:
    """Round weights that are not negative to integers in the same proportions that sum to 128, by largest remainder.

    Every weight is rounded down; the units that are then missing go to the largest remainders, among equals to the
    oldest values. No weight moves by a unit or more, and multiples of 1/128 that sum to one do not move at all.

    Args:
        weight: [r], of any positive sum.

    Returns:
        uint8 [r].
    """
    shares = weight.astype(np.float64) / weight.sum(dtype=np.float64) * (1 << WINDOW_BITS)
    floor = np.floor(shares)
    missing = (1 << WINDOW_BITS) - int(floor.sum())
    floor[np.argsort(floor - shares, kind="stable")[:missing]] += 1
    rounded: UInt8 = floor.astype(np.uint8)
    return rounded


def window_mantissas(weight: Float) -> tuple[UInt8, float]:
    """Return a window's integers and the factor that makes its weights of them.

    Exact where the weights are bytes times a power of two, with 2^-7 wherever that suffices; else the proportions are
    those of `round_window`, and the factor keeps the sum.
    """
    for bits in range(WINDOW_BITS, -1, -1):
        scaled = np.ldexp(weight.astype(np.float64), bits)
        if (scaled == np.rint(scaled)).all() and scaled.max() <= WEIGHT_MAX:
            return scaled.astype(np.uint8), 2.0**-bits
    return round_window(weight), float(weight.sum(dtype=np.float64)) / (1 << WINDOW_BITS)
