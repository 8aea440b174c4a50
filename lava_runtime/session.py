"""One run of a Lava network that always ends: with its result, or with one error, and with no process left.

Stock Lava hangs for ever when a ProcessModel raises, is killed or loops (lava issues #231, #178). Here the
parent never blocks: it watches every OS process and a step counter, and ends them all in any case.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from hardware_profiles.interrupts import raise_if_interrupted

from .backend.runtime import GuardedRuntime
from .errors import KilledError, LavaRuntimeError
from .forking import ctrl_c_postponed, single_threaded_torch
from .preconditions import TIMEOUT_S
from .shared_memory import shared_array

TICK_S = (0.001, 0.05)
"""Shortest and longest sleep between two looks at the actors."""


class Session:
    """A network, compiled and run once. Lava's Processes are single-use, so is this.

    Attributes:
        steps_done: int64 [1], shared; a ProcessModel that counts its steps here gives progress and keeps
            long runs from timing out.
    """

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        description: str | None = None,
        steps_done: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Prepare a session.

        Args:
            timeout_s: longest time in seconds in which no actor is built and `steps_done` does not move.
            description: what the progress bar (on stderr) is called; None shows none.
            steps_done: int64 [1], shared, for others to watch too; a new one by default.
        """
        self.steps_done = shared_array((1,), np.int64) if steps_done is None else steps_done
        self._timeout_s = timeout_s
        self._description = description

    def run(self, process: Any, num_steps: int, *, number_format: str, models: Mapping[Any, type]) -> None:
        """Run the network of `process` for `num_steps` time steps and end it.

        Args:
            process: any Process of the network.
            num_steps: time steps, latency included.
            number_format: the tag that selects ProcessModels, `fixed_pt` or `floating_pt`.
            models: Process instance to ProcessModel class, where the tag is not to decide.

        Raises:
            LavaRuntimeError: a process raised, died or stopped advancing; all are ended before this rises.
            KilledError: one was killed from outside.
        """
        runtime = GuardedRuntime.compile(process, number_format, models)
        succeeded = False
        try:
            with ctrl_c_postponed(), single_threaded_torch():
                runtime.build()
            self._until(runtime, lambda: _all_built(runtime), num_steps)
            runtime.begin(num_steps)
            with tqdm(total=num_steps, desc=self._description, unit="step", disable=self._description is None) as bar:
                self._until(runtime, runtime.done, num_steps, bar)
            succeeded = True
        finally:
            with ctrl_c_postponed():
                runtime.end(gently=succeeded)

    def _until(self, runtime: GuardedRuntime, reached: Any, num_steps: int, bar: Any = None) -> None:
        """Watch the actors until `reached()`; raise on faults and on standstill."""
        assert runtime.infrastructure is not None
        began = moved = time.monotonic()
        seen: tuple[int, int] | None = None
        while True:
            raise_if_interrupted()
            actors = runtime.infrastructure.actors
            faults = [(actor.name, fault) for actor in actors if (fault := actor.fault())]
            is_reached = reached()
            if bar is not None:
                bar.update(int(self.steps_done[0]) - bar.n)
            if is_reached:
                return
            if faults:
                raise self._error(*_most_telling(faults), num_steps)
            now = time.monotonic()
            state = (sum(actor.built for actor in actors), int(self.steps_done[0]))
            if state != seen:
                seen, moved = state, now
            if now - moved > self._timeout_s:
                raise LavaRuntimeError(self._standstill([a.name for a in actors if not a.built], num_steps))
            runtime.infrastructure.wait(float(np.clip((now - began) / 20, *TICK_S)))

    def _error(self, name: str, fault: str, num_steps: int) -> LavaRuntimeError:
        sentence = (
            f"Lava process '{name}': {fault} after {int(self.steps_done[0])} of {num_steps} steps; "
            "a ProcessModel must run to the end, correct it and run again"
        )
        return (KilledError if fault.startswith("was killed") else LavaRuntimeError)(sentence)

    def _standstill(self, unbuilt: list[str], num_steps: int) -> str:
        where = f"building {', '.join(unbuilt)}" if unbuilt else f"step {int(self.steps_done[0]) + 1} of {num_steps}"
        return (
            f"Lava run: stands still at {where}, allowed are {self._timeout_s:g} s without progress; "
            "raise the timeout, or look for a ProcessModel that waits"
        )


def _all_built(runtime: GuardedRuntime) -> bool:
    assert runtime.infrastructure is not None
    return all(actor.built for actor in runtime.infrastructure.actors)


def _most_telling(faults: list[tuple[str, str]]) -> tuple[str, str]:
    """Prefer an exception's own words over an exit code, which often is only its consequence."""
    return next((fault for fault in faults if fault[1].startswith("raised")), faults[0])
