"""One run of a Lava network that always ends: with its result, or with one error, and with no process left.

Stock Lava hangs for ever when a ProcessModel raises, is killed or loops (lava issues #231, #178). Here the
parent never blocks: it watches every OS process and a step counter, and ends them all in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from hardware_profiles.interrupts import raise_if_interrupted

from .backend.actors import Actor, Fault
from .backend.runtime import GuardedRuntime
from .errors import KilledError, LavaRuntimeError
from .forking import ctrl_c_at_safe_points, single_threaded_torch
from .preconditions import TIMEOUT_S
from .shared_memory import shared_array
from .target import Target

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
            timeout_s: longest time in seconds in which no actor is built, enters a time step or counts one.
            description: what the progress bar (on stderr) is called; None shows none.
            steps_done: int64 [1], shared, for others to watch too; a new one by default.
        """
        self.steps_done = shared_array((1,), np.int64) if steps_done is None else steps_done
        self._timeout_s = timeout_s
        self._description = description

    def run(
        self,
        process: Any,
        num_steps: int,
        *,
        number_format: str,
        models: Mapping[Any, type],
        counted_steps: int | None = None,
        target: Target = "simulation",
    ) -> None:
        """Run the network of `process` for `num_steps` time steps and end it.

        Args:
            process: any Process of the network.
            num_steps: Lava's time steps, latency included.
            number_format: the tag that selects ProcessModels, `fixed_pt` or `floating_pt`.
            models: Process instance to ProcessModel class, where the tag is not to decide.
            counted_steps: what `steps_done` reaches, if Lava's time steps are not the steps that are counted.
            target: where it runs.

        Raises:
            LavaRuntimeError: a process raised, died or stopped advancing; all are ended before this rises.
            KilledError: one was killed from outside.
        """
        runtime = GuardedRuntime.compile(process, number_format, models, target)
        with ctrl_c_at_safe_points() as safe_point:
            succeeded = False
            try:
                self._build(runtime)
                self._until(runtime, safe_point, lambda: _all_built(runtime), num_steps)
                runtime.begin(num_steps)
                with tqdm(
                    total=counted_steps or num_steps,
                    desc=self._description,
                    unit="step",
                    disable=self._description is None,
                ) as bar:
                    self._until(runtime, safe_point, runtime.done, num_steps, bar)
                succeeded = True
            finally:
                runtime.end(gently=succeeded)

    def _build(self, runtime: GuardedRuntime) -> None:
        try:
            with single_threaded_torch():
                runtime.build()
        except (OSError, EOFError, MemoryError) as error:
            raise LavaRuntimeError(
                f"Lava run: its processes cannot be started ({type(error).__name__}: {error}); "
                "free memory, /dev/shm or processes, and run again"
            ) from error

    def _until(
        self,
        runtime: GuardedRuntime,
        safe_point: Callable[[], None],
        reached: Callable[[], bool],
        num_steps: int,
        bar: Any = None,
    ) -> None:
        """Watch the actors until `reached()`; raise on faults and on standstill."""
        assert runtime.infrastructure is not None
        began = moved = time.monotonic()
        seen: tuple[int, int, int] | None = None
        while True:
            safe_point()
            raise_if_interrupted()
            actors = runtime.infrastructure.actors
            has_failed = bool(runtime.infrastructure.faults())
            is_reached = reached()
            if bar is not None:
                bar.update(int(self.steps_done[0]) - bar.n)
            if is_reached:
                return
            if has_failed:
                fault = runtime.infrastructure.cause()
                raise (KilledError if fault.was_killed else LavaRuntimeError)(_sentence(fault, actors, num_steps))
            now = time.monotonic()
            state = (
                sum(actor.built for actor in actors),
                sum(actor.step for actor in actors),
                int(self.steps_done[0]),
            )
            if state != seen:
                seen, moved = state, now
            if now - moved > self._timeout_s:
                raise LavaRuntimeError(self._standstill(actors, num_steps))
            runtime.infrastructure.wait(float(np.clip((now - began) / 20, *TICK_S)))

    def _standstill(self, actors: Sequence[Actor], num_steps: int) -> str:
        unbuilt = [actor.name for actor in actors if not actor.built]
        if unbuilt:
            where = f"building {', '.join(unbuilt)}"
        else:
            busy = ", ".join(sorted(f"'{actor.name}'" for actor in actors if actor.is_busy))
            where = f"time step {_last_step(actors)} of {num_steps}, not finished by {busy or 'the runtime service'}"
        return (
            f"Lava run: stands still at {where}, allowed are {self._timeout_s:g} s without progress; "
            "raise the timeout, or look for a ProcessModel that waits"
        )


def _sentence(fault: Fault, actors: Sequence[Actor], num_steps: int) -> str:
    step = fault.actor.step or _last_step(actors)  # a service has no steps of its own
    when = f"in time step {step} of {num_steps}" if step else "before the first time step"
    return (
        f"Lava process '{fault.actor.name}': {fault.phrase} {when}; "
        "a ProcessModel must run to the end, correct it and run again"
    )


def _last_step(actors: Sequence[Actor]) -> int:
    return max(actor.step for actor in actors)


def _all_built(runtime: GuardedRuntime) -> bool:
    assert runtime.infrastructure is not None
    return all(actor.built for actor in runtime.infrastructure.actors) and not runtime.infrastructure.faults()
