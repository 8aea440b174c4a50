"""Clips, or whole runs, in parallel: each computed alone, in some OS process, and handed back in the order asked for.

This module imports no numpy, so that a worker can still say how many threads numpy may use there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import TypeVar

from tqdm import tqdm

from hardware_profiles.cores import num_cores
from hardware_profiles.interrupts import raise_if_interrupted

from .errors import TrainingError

Item = TypeVar("Item")
Result = TypeVar("Result")
ITEMS_PER_WORKER = 100
"""A worker takes about a second to start; for fewer clips than this it is not worth it."""
IN_ADVANCE = 8
"""Clips per worker that are under way or done but not yet taken: results may be large."""


def default_workers(num_items: int) -> int:
    """Return how many OS processes `num_items` clips are worth on this machine; the result does not depend on it."""
    return max(1, min(num_cores(), num_items // ITEMS_PER_WORKER))


@contextmanager
def map_in_workers(
    compute: Callable[[Item], Result], items: Sequence[Item], *, num_workers: int | None, title: str, unit: str = "clip"
) -> Iterator[Iterator[Result]]:
    """Give an iterator over `compute(item)` for each item in order, with a progress bar.

    Workers and bar end with the block, however it ends: an interrupt of the caller's leaves nothing to the garbage
    collector, which would draw the bar once more below the command's last line.

    Args:
        compute: a function of a module, or a `functools.partial` of one; it depends on its argument only.
        items: what it is called with.
        num_workers: OS processes; 1 computes here, None takes `default_workers`.
        title: of the progress bar.
        unit: what its numbers count.

    Raises:
        TrainingError: `num_workers` is below 1, or a worker was killed.
        AxonportError: what `compute` raises. Workers have ended when it arrives.
    """
    num_workers = default_workers(len(items)) if num_workers is None else num_workers
    if num_workers < 1:
        raise TrainingError(f"workers: are {num_workers}, allowed is at least 1; leave it out to use all cores")
    here = num_workers == 1
    results = (compute(item) for item in items) if here else _in_workers(compute, items, num_workers)
    with closing(results), tqdm(results, desc=title, unit=unit, total=len(items)) as bar:
        yield _until_interrupted(bar)


def _until_interrupted(results: Iterable[Result]) -> Iterator[Result]:
    for result in results:
        raise_if_interrupted()
        yield result


def _in_workers(
    compute: Callable[[Item], Result], items: Sequence[Item], num_workers: int
) -> Generator[Result, None, None]:
    # spawn: the caller may hold threads (torch's, Lightning's), and forked locks of theirs would never open
    executor = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), initializer=_begin)
    under_way: deque[Future[Result]] = deque()
    try:
        for item in items:
            with _ctrl_c_only_here():
                under_way.append(executor.submit(compute, item))
            if len(under_way) >= IN_ADVANCE * num_workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool as error:
        raise TrainingError(
            f"workers: one of {num_workers} was killed, often for want of memory; run again with --workers 1"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _ctrl_c_only_here() -> Iterator[None]:
    """Start workers that no Ctrl-C reaches, not even while they start: they inherit the mask.

    Python's resource tracker lifts the mask when it starts; hence it starts first. The mask holds for this thread
    alone: a signal that another thread takes would interrupt here all the same, and leave a worker that was told
    half of what it is; so the interrupt waits, and comes afterwards.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    waiting = threading.Event()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, lambda *_: waiting.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if waiting.is_set():
            signal.raise_signal(signal.SIGINT)


_worker = threading.Event()


def is_worker() -> bool:
    """Tell whether this process computes for another, which alone draws a progress bar."""
    return _worker.is_set()


def _begin() -> None:
    """Set a worker up: one thread, no Ctrl-C of its own, and no life after its parent's."""
    _worker.set()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the parent is gone, killed perhaps, and go too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
