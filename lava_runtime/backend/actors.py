"""The OS processes of a run: they tell where they are and how they end, and never outlive their parent."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, NamedTuple

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.runtime.message_infrastructure.multiprocessing import MultiProcessing
from lava.magma.runtime.message_infrastructure.shared_memory_manager import SharedMemoryManager

from ..compat import START_METHOD
from ..forking import cause_of_end, follow_parent, start_quietly
from ..shared_memory import shared_array

WORDS_S = 1.0
"""How long to wait for the words of an exception when processes have ended already."""


def _act(builder: Any, report: Connection, clock: Any) -> None:
    """Build and run one ProcessModel or RuntimeService; send "" once built, one line on failure."""
    follow_parent()
    try:
        model = builder.build()
        if isinstance(model, PyLoihiProcessModel):
            _keep_time(model, clock)
        report.send("")
        model.start()
    except BaseException as error:
        report.send(_one_line(error))
        sys.exit(1)


def _keep_time(model: PyLoihiProcessModel, clock: Any) -> None:
    """Let a ProcessModel note which time step it is in before it enters it: a killed one cannot tell any more."""

    def noting(handle: Callable[[], None], steps: int) -> Callable[[], None]:
        def phase() -> None:
            clock[:] = model.time_step + steps, True
            handle()
            clock[1] = False

        return phase

    handlers = model._cmd_handlers
    for phase in (model.Phase.SPK, model.Phase.PRE_MGMT, model.Phase.LRN, model.Phase.POST_MGMT):
        handlers[phase[0]] = noting(handlers[phase[0]], int(phase is model.Phase.SPK))


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}: {(text.strip().splitlines() or ['without a message'])[0]}"


class Actor:
    """One OS process of a run.

    Attributes:
        name: the Lava Process (or service) that runs in it.
        built: whether its model exists.
    """

    def __init__(self, builder: Any, name: str) -> None:
        context: Any = multiprocessing.get_context(START_METHOD)
        self.name = name
        self.built = False
        self._raised: str | None = None
        self._clock = shared_array((2,), np.int64)
        self._report, theirs = context.Pipe(duplex=False)
        self.process: ForkProcess = context.Process(target=_act, args=(builder, theirs, self._clock), daemon=True)
        start_quietly(self.process)
        theirs.close()

    @property
    def step(self) -> int:
        """The time step that its ProcessModel entered last, from 1; 0 before the first, and of services."""
        return int(self._clock[0])

    @property
    def is_busy(self) -> bool:
        """Whether its ProcessModel has not come to the end of the time step that it entered."""
        return bool(self._clock[1])

    @property
    def handles(self) -> list[Any]:
        """What becomes ready when the process reports or ends."""
        return [self._report, self.process.sentinel]

    def fault(self) -> Fault | None:
        """Return why it failed, or None while it is well."""
        ended = not self.process.is_alive()
        while self._report.poll():
            try:
                message = self._report.recv()
            except EOFError:
                break
            self._raised = message or None
            self.built = True if not message else self.built
        if self._raised:
            return Fault(self, f"raised {self._raised}", is_telling=True)
        if not ended:
            return None
        was_killed = (self.process.exitcode or 0) < 0
        return Fault(self, cause_of_end(self.process), is_telling=was_killed, was_killed=was_killed)

    def end(self) -> None:
        """Kill the process if it still runs, and wait for it."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()
        self._report.close()


class Fault(NamedTuple):
    """Why an actor failed.

    Attributes:
        actor: which one.
        phrase: what happened to it.
        is_telling: whether that explains itself; a mere exit can follow from another actor's exception.
        was_killed: whether a signal ended it.
    """

    actor: Actor
    phrase: str
    is_telling: bool
    was_killed: bool = False


class Actors(MultiProcessing):
    """Lava's message infrastructure with our OS processes."""

    def __init__(self, names: Mapping[Any, str]) -> None:
        """Prepare the infrastructure.

        Args:
            names: builder of a ProcessModel to the name of its Process.
        """
        super().__init__()
        self._names = {id(builder): name for builder, name in names.items()}

    def start(self) -> None:
        """Start the manager of Lava's channels."""
        self._smm = SharedMemoryManager()
        self._smm._manager.start(initializer=follow_parent)

    def build_actor(self, target_fn: Any, builder: Any, exception_q: Any = None) -> Actor:
        """Fork an actor; Lava's own target and queue, which lose errors, are left aside."""
        actor = Actor(builder, self._names.get(id(builder), "runtime service"))
        self._actors.append(actor)
        return actor

    def wait(self, timeout_s: float) -> None:
        """Return when an actor reports or ends, at the latest after `timeout_s`."""
        wait([handle for actor in self._actors for handle in actor.handles], timeout_s)

    def faults(self) -> list[Fault]:
        """Return the faults of all actors."""
        return [fault for actor in self._actors if (fault := actor.fault())]

    def cause(self) -> Fault:
        """Return the fault that explains the others; at least one actor has failed.

        When a ProcessModel raises, Lava's service may tell all others to stop before the exception's words arrive.
        """
        deadline = time.monotonic() + WORDS_S
        while not any(fault.is_telling for fault in self.faults()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return min(self.faults(), key=lambda fault: (not fault.is_telling, fault.actor.step))

    def stop(self) -> None:
        """End every actor and the manager."""
        try:
            for actor in self._actors:
                actor.end()
            self._actors.clear()
        finally:
            segments = list(self._smm._shared_memory_handles)
            self._smm.shutdown()
            for segment in segments:  # gone already, unless the manager was killed
                with suppress(FileNotFoundError):
                    segment.unlink()

    def leave(self, timeout_s: float) -> None:
        """Give the actors time to end by themselves."""
        deadline = time.monotonic() + timeout_s
        for actor in self._actors:
            actor.process.join(max(0.0, deadline - time.monotonic()))
