"""What forking asks for: children that never outlive their parent, and a Ctrl-C that waits its turn."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

PR_SET_PDEATHSIG = 1
"""Linux `prctl(2)`: the signal that a process gets when its parent dies."""
USUAL_CAUSES = {signal.SIGKILL: " (often for want of memory)", signal.SIGBUS: " (often because /dev/shm is full)"}
"""What usually sends the signals that nobody in a run sends."""


def follow_parent() -> None:
    """Leave Ctrl-C to the parent, and die with it even when it is killed (Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)  # it died before the signal was asked for


def start_quietly(process: BaseProcess) -> None:
    """Fork a process; Python 3.12 warns of fork beside threads, but none of ours holds a lock that children need."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        process.start()


def cause_of_end(process: BaseProcess) -> str:
    """Say in one phrase how a process ended."""
    code = process.exitcode or 0
    return f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"


def _signal_name(number: int) -> str:
    if number not in set(signal.Signals):  # most real-time signals have no name
        return f"signal {number}"
    return signal.Signals(number).name + USUAL_CAUSES.get(signal.Signals(number), "")


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Fork while torch keeps no worker threads: a forked child that used torch would wait for them for ever."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


@contextmanager
def ctrl_c_at_safe_points() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C wait until the yielded function is called, or the block ends.

    Raised just anywhere it could be swallowed inside a fork, or cut the ending of actors short. A signal mask would
    not do: Python's resource tracker lifts it, and other threads have their own.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None
        return
    arrived: list[int] = []

    def safe_point() -> None:
        if arrived:
            arrived.clear()
            before(signal.SIGINT, None)

    signal.signal(signal.SIGINT, lambda number, frame: arrived.append(number))
    try:
        yield safe_point
    finally:
        signal.signal(signal.SIGINT, before)
        safe_point()
