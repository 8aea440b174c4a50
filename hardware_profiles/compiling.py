"""How a loop is compiled: once per machine, kept on disk where that can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

try:
    from numba import njit
    from numba.extending import overload
except ImportError:
    njit = overload = None

F = TypeVar("F", bound=Callable[..., object])

HAS_COMPILER = njit is not None
"""Without Numba, loops of `training.data` run as plain Python: the same integers, thousands of times slower."""


def compiled(function: F) -> F:
    """Compile a loop when it is first called; later processes load it from the cache beside its module.

    One thread: batches are spread over the cores as shards, and threads do not survive Lava's forks.
    No fast mathematics: floats are added and multiplied as written, without contraction. Division by zero is NumPy's: a
    check would keep loops from being vectorised.
    """
    if njit is None:
        return function
    try:
        kernel: F = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        kernel = njit(error_model="numpy")(function)
    return kernel


def chosen_by_type(function: Callable[..., object]) -> Callable[[F], F]:
    """Let what is decorated choose what `function` is in compiled loops, by the types of its arguments."""

    def register(choose: F) -> F:
        chosen: F = overload(function)(choose)
        return chosen

    return register
