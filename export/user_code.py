"""A user's factories, forwards and host segments may raise anything; it ends as one line that says where."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from hardware_profiles.errors import AxonportError

from .errors import ExportError

_OURS = Path(__file__).resolve().parent
_INSTALLED = "site-packages"


@contextlib.contextmanager
def user_code(what: str, remedy: str) -> Iterator[None]:
    """Turn what a user's code raises into an `ExportError`; what our own code raises stays as it is.

    Args:
        what: object of the message, for example `network my_net:make_model`.
        remedy: next step of the message.

    Raises:
        ExportError: the block raised, or asked to exit.
    """
    try:
        yield
    except AxonportError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, AssertionError) and _OURS in Path(frames[-1].filename).parents:
            raise  # an invariant of ours: a bug to be seen, not the user's to mend
        raise ExportError(f"{what}: {first_line(error)}{_place(frames)}; {remedy}") from error


def first_line(error: BaseException) -> str:
    """Return an exception in one short line: `raised ValueError (no such size)`."""
    words = (str(error).split("\n") if str(error) else [""])[0].strip()[:200]
    return f"raised {type(error).__name__}" + (f" ({words})" if words else "")


def _place(frames: traceback.StackSummary) -> str:
    """Return the last line of a user's file that an exception went through."""
    for frame in reversed(frames):
        path = Path(frame.filename)
        if path.is_file() and _OURS not in path.parents and not _is_installed(path):
            return f" at {path.name}:{frame.lineno}"
    return ""


def _is_installed(path: Path) -> bool:
    return _INSTALLED in path.parts or Path(contextlib.__file__).parent in path.parents
