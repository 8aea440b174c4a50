"""One forked OS process per shard, some at a time: watched, run again if killed, ended in any case."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from export.trace import Array
from hardware_profiles.errors import AxonportError
from hardware_profiles.interrupts import raise_if_interrupted

from ..compat import START_METHOD
from ..errors import KilledError, LavaRuntimeError
from ..forking import cause_of_end, ctrl_c_at_safe_points, follow_parent, single_threaded_torch, start_quietly
from ..shared_memory import shared_array
from .shards import Shard

R = TypeVar("R")
Work = Callable[[Shard, dict[str, Array], npt.NDArray[np.int64]], R]
MAX_RETRIES = 2
"""How often a shard is run again whose worker was killed."""
LOOK_S = 0.2
"""How often progress is looked at."""
LEAVE_S = 5.0
"""How long a worker may take to end its Lava processes before it is killed."""


class _Worker:
    """The OS process that runs one shard."""

    def __init__(self, shard: Shard, attempt: int, inputs: dict[str, Array], work: Work[Any]) -> None:
        self.shard, self.attempt = shard, attempt
        self.steps_done: npt.NDArray[np.int64] = shared_array((1,), np.int64)
        context: Any = multiprocessing.get_context(START_METHOD)
        self._report, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_serve, args=(work, shard, inputs, self.steps_done, theirs))
        with ctrl_c_at_safe_points(), single_threaded_torch():
            start_quietly(self.process)
        theirs.close()

    @property
    def handles(self) -> list[Any]:
        """What becomes ready when it reports or ends."""
        return [self._report, self.process.sentinel]

    def outcome(self) -> Any:
        """Return its result; None while it runs.

        Raises:
            KilledError: it, or a Lava process of its, was killed.
            AxonportError: what it raised.
        """
        ended = not self.process.is_alive()
        try:
            if self._report.poll():
                told = self._report.recv()
                if isinstance(told, AxonportError):
                    raise told
                return told
        except EOFError:
            ended = True
        if ended:
            self.process.join()
            raise KilledError(f"worker {cause_of_end(self.process)}")
        return None

    def end(self) -> None:
        """End the process and all that it started, and wait for it."""
        self.process.terminate()
        self.process.join(LEAVE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()
        self._report.close()


def _serve(
    work: Work[Any], shard: Shard, inputs: dict[str, Array], steps_done: npt.NDArray[np.int64], report: Connection
) -> None:
    """Run in the forked process: compute, and send what came of it."""
    follow_parent()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that Lava's processes are ended
    try:
        told: Any = (work(shard, inputs, steps_done),)
    except AxonportError as error:
        told = error
    except MemoryError:
        told = KilledError("worker ran out of memory")
    except OSError as error:
        told = LavaRuntimeError(f"{error.filename or 'a file'}: {error.strerror or error}; mend that and run again")
    except Exception as error:
        if os.environ.get("AXONPORT_DEBUG"):
            traceback.print_exc()
        lines = str(error).splitlines() or ["without a message"]
        told = LavaRuntimeError(f"raised {type(error).__name__}: {lines[0]}; AXONPORT_DEBUG=1 shows where")
    report.send(told)


class ShardRunner(Generic[R]):
    """Runs shards in workers of their own.

    A killed worker is reported on stderr and its shard run again; any other error ends the whole run.
    """

    def __init__(self, load: Callable[[slice], dict[str, Array]], work: Work[R], num_workers: int) -> None:
        """Prepare a run.

        Args:
            load: samples to inputs [T, B, *shape]; called in this process, just before the fork.
            work: called in the worker with shard, inputs and an int64 [1] to count steps in; what it returns is small.
            num_workers: how many run at a time.

        Raises:
            LavaRuntimeError: no worker is allowed.
        """
        if num_workers < 1:
            raise LavaRuntimeError(f"workers: are {num_workers}, allowed is at least 1; leave it out to use all cores")
        self._load, self._work, self._num_workers = load, work, num_workers

    def run(
        self,
        shards: Iterable[Shard],
        finished: Callable[[Shard, R], None],
        watch: Callable[[Mapping[Shard, int]], None],
        tell: Callable[[str], None],
    ) -> None:
        """Run all shards.

        Args:
            shards: what to run, in this order.
            finished: called with each result, in the order in which they come.
            watch: called a few times a second with the steps that running shards have done.
            tell: called with one line for every worker that was killed and is replaced.

        Raises:
            AxonportError: the first error of a shard, or one whose worker was killed too often; all workers are ended.
        """
        waiting = deque((shard, 1) for shard in shards)
        running: list[_Worker] = []
        try:
            while waiting or running:
                while waiting and len(running) < self._num_workers:
                    shard, attempt = waiting.popleft()
                    inputs = self._load(shard.samples)
                    running.append(_Worker(shard, attempt, inputs, self._work))
                    del inputs  # the worker has them
                raise_if_interrupted()
                wait([handle for worker in running for handle in worker.handles], LOOK_S)
                for worker in tuple(running):
                    ended, results = self._look(worker, waiting, tell)
                    if ended:
                        running.remove(worker)
                        worker.end()
                    for result in results:
                        finished(worker.shard, result)
                watch({worker.shard: int(worker.steps_done[0]) for worker in running})
        finally:
            with ctrl_c_at_safe_points():
                for worker in running:
                    worker.process.terminate()  # all at once
                for worker in running:
                    worker.end()

    def _look(
        self, worker: _Worker, waiting: deque[tuple[Shard, int]], tell: Callable[[str], None]
    ) -> tuple[bool, list[R]]:
        """Return whether a worker is over, and its result; what was killed waits again."""
        try:
            told = worker.outcome()
        except KilledError as error:
            if worker.attempt > MAX_RETRIES:
                raise KilledError(
                    f"{worker.shard}: {error}, {worker.attempt} times; give it more memory (fewer workers, a smaller "
                    "shard or batch), or see what kills it"
                ) from error
            tell(f"{worker.shard}: {error}; runs again ({worker.attempt} of {MAX_RETRIES} retries)")
            waiting.appendleft((worker.shard, worker.attempt + 1))
            return True, []
        except AxonportError as error:
            raise type(error)(f"{worker.shard}: {error}") from error
        if told is None:
            return False, []
        worker.process.join(LEAVE_S)
        return True, list(told)
