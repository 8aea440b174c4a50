"""The OS processes of a run: they report how they end, ignore Ctrl-C, and never outlive their parent."""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

from lava.magma.runtime.message_infrastructure.multiprocessing import MultiProcessing
from lava.magma.runtime.message_infrastructure.shared_memory_manager import SharedMemoryManager

from ..compat import START_METHOD
from ..forking import cause_of_end, follow_parent, start_quietly


def _act(builder: Any, report: Connection) -> None:
    """Build and run one ProcessModel or RuntimeService; send "" once built, one line on failure."""
    follow_parent()
    try:
        model = builder.build()
        report.send("")
        model.start()
    except BaseException as error:
        lines = str(error).splitlines() or ["without a message"]
        report.send(f"{type(error).__name__}: {lines[0]}")
        sys.exit(1)


class Actor:
    """One OS process of a run.

    Attributes:
        name: the Lava Process (or service) that runs in it.
        built: whether its model exists.
    """

    def __init__(self, builder: Any) -> None:
        context: Any = multiprocessing.get_context(START_METHOD)
        self.name = "runtime service"
        self.built = False
        self._report, theirs = context.Pipe(duplex=False)
        self.process: ForkProcess = context.Process(target=_act, args=(builder, theirs), daemon=True)
        start_quietly(self.process)
        theirs.close()

    @property
    def handles(self) -> list[Any]:
        """What becomes ready when the process reports or ends."""
        return [self._report, self.process.sentinel]

    def fault(self) -> str | None:
        """Return why it failed, in one phrase, or None while it is well."""
        ended = not self.process.is_alive()
        while self._report.poll():
            try:
                message = self._report.recv()
            except EOFError:
                break
            if message:
                return f"raised {message}"
            self.built = True
        if not ended:
            return None
        return cause_of_end(self.process)

    def end(self) -> None:
        """Kill the process if it still runs, and wait for it."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()
        self._report.close()


class Actors(MultiProcessing):
    """Lava's message infrastructure with our OS processes."""

    def start(self) -> None:
        """Start the manager of Lava's channels."""
        self._smm = SharedMemoryManager()
        self._smm._manager.start(initializer=follow_parent)

    def build_actor(self, target_fn: Any, builder: Any, exception_q: Any = None) -> Actor:
        """Fork an actor; Lava's own target and queue, which lose errors, are left aside."""
        actor = Actor(builder)
        self._actors.append(actor)
        return actor

    def wait(self, timeout_s: float) -> None:
        """Return when an actor reports or ends, at the latest after `timeout_s`."""
        wait([handle for actor in self._actors for handle in actor.handles], timeout_s)

    def stop(self) -> None:
        """End every actor and the manager."""
        for actor in self._actors:
            actor.end()
        self._actors.clear()
        self._smm.shutdown()

    def leave(self, timeout_s: float) -> None:
        """Give the actors time to end by themselves."""
        deadline = time.monotonic() + timeout_s
        for actor in self._actors:
            actor.process.join(max(0.0, deadline - time.monotonic()))
