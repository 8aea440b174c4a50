"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever it happens to be. Inside a destructor or a weak reference's callback it is
"ignored": printed and forgotten, and the command runs on. Here it is kept, and raised at the next safe point.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

_swallowed = threading.Event()


@contextlib.contextmanager
def no_interrupt_lost() -> Iterator[None]:
    """Keep interrupts that Python would ignore, as long as the block runs."""
    before = sys.unraisablehook

    def keep(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            _swallowed.set()
        else:
            before(unraisable)

    sys.unraisablehook = keep
    try:
        yield
    finally:
        sys.unraisablehook = before
        _swallowed.clear()


def raise_if_interrupted() -> None:
    """Raise a kept interrupt; long loops call this, and whatever is about to keep a result.

    Raises:
        KeyboardInterrupt: Ctrl-C came where Python ignores it.
    """
    if _swallowed.is_set():
        _swallowed.clear()
        raise KeyboardInterrupt
