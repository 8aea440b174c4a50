"""Loops that differ by the types of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba.extending import overload

F = TypeVar("F", bound=Callable[..., object])


def chosen_by_type(function: Callable[..., object]) -> Callable[[F], F]:
    """Let what is decorated choose what `function` is in compiled loops, by the types of its arguments."""

    def register(choose: F) -> F:
        chosen: F = overload(function)(choose)
        return chosen

    return register
