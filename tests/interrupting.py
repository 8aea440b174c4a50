"""Ends commands as a terminal does, and looks at what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hardware_profiles.artifact import ROOT

from .lava_runtime.children import group

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
PATIENCE_S = 120.0
"""After this long a test gives up; nothing is asserted about time."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    errors: str

    @property
    def last_line(self) -> str:
        """The last line of stderr: what a person reads after progress bars."""
        return self.errors.splitlines()[-1].rpartition("\r")[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def end(arguments: Sequence[str], folder: Path, reached: Callable[[int], bool], number: signal.Signals) -> Ended:
    """Start a command in `folder`, wait until `reached(pid)`, send it a signal, and wait until its group is gone.

    SIGINT goes to the whole process group, as Ctrl-C in a terminal does; any other signal to the command alone.
    """
    log = folder / "stderr.log"
    with log.open("w") as errors, subprocess.Popen(
        arguments, cwd=folder, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:  # fmt: skip
        try:
            wait(lambda: process.poll() is not None or reached(process.pid))
            assert process.poll() is None, f"ended by itself: {log.read_text()[-1000:]}"
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            out, _ = process.communicate(timeout=PATIENCE_S)
            wait(lambda: not group(process.pid))
        finally:
            if group(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
    text = log.read_text()
    log.unlink()
    return Ended(process.returncode, out, text)


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "what the test waits for does not happen"
        time.sleep(0.01)
