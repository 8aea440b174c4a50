"""The frame that all four commands share: one-line errors and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import AxonportError, ConfigError
from .interrupts import no_interrupt_lost

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def run_command(
    parser: argparse.ArgumentParser,
    handle: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse `arguments`, run `handle`, and turn what a user can mend into one line on stderr.

    Returns:
        The exit code: what `handle` returned (None is 0), 2 for a user's or the system's error, 130 for Ctrl-C, 141
        when the reader of the output has left. With `AXONPORT_DEBUG` set, exceptions are raised as they are.
    """
    args = parser.parse_args(arguments)
    if os.environ.get("AXONPORT_DEBUG"):
        return handle(args) or 0
    try:
        with no_interrupt_lost():
            code = handle(args) or 0
        sys.stdout.flush()  # here, so that a reader who has left is noticed below and not at exit
        return code
    except AxonportError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except BrokenPipeError:  # the reader of our output has left, as `| head` does: nothing to tell it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:  # a full disk, a folder that may not be written: the system's words, in one line
        what = error.filename or "a file"
        print(f"{parser.prog}: error: {what}: {error.strerror or error}; mend that and run again", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; nothing half-written was kept", file=sys.stderr)
        return EXIT_INTERRUPTED


def check_files(named: Mapping[str, Path | None]) -> None:
    """Refuse files that are not there, under the name of the option that names them; None was not given.

    Raises:
        ConfigError: a path is missing or is no file.
    """
    for option, path in named.items():
        if path is not None and not path.is_file():
            what = "is a folder, allowed is a file" if path.is_dir() else "no such file"
            raise ConfigError(f"{option} {path}: {what}; check the name")
