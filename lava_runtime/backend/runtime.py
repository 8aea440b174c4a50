"""Lava's runtime, with the waiting taken out of it: every step can be watched from outside."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lava.magma.compiler.compiler import Compiler
from lava.magma.core.process.message_interface_enum import ActorType
from lava.magma.core.process.process import ProcessServer
from lava.magma.core.run_conditions import RunSteps
from lava.magma.runtime.mgmt_token_enums import MGMT_COMMAND, MGMT_RESPONSE, enum_equal
from lava.magma.runtime.runtime import Runtime

from ..target import Target, check_selected, run_configuration
from .actors import Actors

LEAVE_S = 5.0
"""How long actors may take to stop by themselves after a run that succeeded, and threads of ports after any."""


class GuardedRuntime(Runtime):
    """Builds, starts and ends the actors of a compiled network without ever waiting for one of them."""

    @classmethod
    def compile(
        cls, process: Any, number_format: str, models: Mapping[Any, type], target: Target = "simulation"
    ) -> GuardedRuntime:
        """Compile the network that `process` is part of.

        Args:
            process: any Process of the network.
            number_format: the tag by which ProcessModels are selected.
            models: Process instance to ProcessModel, where the tag is not to decide.
            target: where it runs.

        Raises:
            LavaRuntimeError: on hardware, a Process would be simulated.
        """
        executable = Compiler().compile(process, run_configuration(target, number_format, models))
        # every Compiler adds one more handler to the same logger
        logging.getLogger(Compiler.__module__).handlers.clear()
        if target == "hardware":
            check_selected(executable.proc_builders, models)
        runtime = cls(executable, ActorType.MultiProcessing)
        executable.assign_runtime_to_all_processes(runtime)
        return runtime

    def _build_message_infrastructure(self) -> None:
        builders = self._executable.proc_builders
        self._messaging_infrastructure = Actors({builder: process.name for process, builder in builders.items()})
        self._messaging_infrastructure.start()

    @property
    def infrastructure(self) -> Actors | None:
        """The actors, once `build` has begun."""
        return self._messaging_infrastructure

    def build(self) -> None:
        """Fork all actors; they build their models meanwhile."""
        self._build_watchdog_manager()
        self._build_message_infrastructure()
        self._build_channels()
        self._build_sync_channels()
        self._build_processes()
        self._build_runtime_services()
        self._start_ports()
        self._is_initialized = True

    def begin(self, num_steps: int) -> None:
        """Start `num_steps` time steps and return at once."""
        self._num_done = 0  # a chip and its host have a service each
        self.start(RunSteps(num_steps=num_steps, blocking=False))

    def done(self) -> bool:
        """Return whether the steps that were begun are over."""
        for port in self.service_to_runtime:
            if port.probe() and enum_equal(port.recv(), MGMT_RESPONSE.DONE):
                self._num_done += 1
        return self._num_done == len(self.service_to_runtime)

    def end(self, *, gently: bool) -> None:
        """End all actors: by Lava's own STOP where `gently`, by SIGKILL where that does not help."""
        try:
            if self._messaging_infrastructure is not None:
                if gently:
                    for port in self.runtime_to_service:
                        port.send(MGMT_COMMAND.STOP)
                    self._messaging_infrastructure.leave(LEAVE_S)
                self._end_ports()
        finally:
            if self._messaging_infrastructure is not None:
                self._messaging_infrastructure.stop()
            self._forget()

    def _end_ports(self) -> None:
        """End the parent's ports and wait for their threads, which Lava leaves to end some time later."""
        threads = [thread for port in self._open_ports if (thread := getattr(port, "thread", None)) is not None]
        self.join()
        for thread in threads:
            thread.join(LEAVE_S)

    def _forget(self) -> None:
        """Cut the ties that would make Lava stop this runtime again, or keep its arrays for ever."""
        self._is_started = self._is_running = False
        processes = set(self._executable.proc_builders)
        for process in processes:
            process.runtime = None
        server = ProcessServer()
        server.processes = [process for process in server.processes if process not in processes]
