"""How a loop is compiled: once per machine, kept on disk where that can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

try:
    from numba import njit
except ImportError:  # loops then run as plain Python: the same integers, very slowly
    njit = None

F = TypeVar("F", bound=Callable[..., object])

HAS_COMPILER = njit is not None


def compiled(function: F) -> F:
    """Compile a loop when it is first called; later processes load it from the cache beside its module.

    One thread: work is spread over the cores as processes, and threads do not survive Lava's forks.
    No fast mathematics: floats are added and multiplied as written, without contraction. A division by zero is
    not looked for, since the branch would keep the loop from vector instructions.
    """
    if njit is None:
        return function
    try:
        kernel: F = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        kernel = njit(error_model="numpy")(function)
    return kernel
