"""Ctrl-C where Python would ignore it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from hardware_profiles.artifact import atomic_folder, provenance
from hardware_profiles.command import EXIT_INTERRUPTED, run_command
from hardware_profiles.interrupts import no_interrupt_lost, raise_if_interrupted


class Deaf:
    """Python ignores what its destructor raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def ignored(error: BaseException) -> None:
    Deaf(error)


def test_an_ignored_interrupt_is_raised_at_the_next_safe_point(capsys: pytest.CaptureFixture[str]) -> None:
    with no_interrupt_lost():
        ignored(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
        raise_if_interrupted()  # once is enough
    assert capsys.readouterr().err == ""


def test_a_command_ends_with_130_and_keeps_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def handle(args: argparse.Namespace) -> int:
        with atomic_folder(tmp_path / "out", provenance("test", {}, {})):
            ignored(KeyboardInterrupt())
        return 0

    assert run_command(argparse.ArgumentParser(prog="p"), handle, []) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "p: interrupted; nothing half-written was kept\n"
    assert list(tmp_path.iterdir()) == []


def test_other_ignored_errors_are_told_as_ever() -> None:
    told: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: told.append(unraisable.exc_type)
    try:
        with no_interrupt_lost():
            ignored(ValueError())
            raise_if_interrupted()
    finally:
        sys.unraisablehook = before
    assert told == [ValueError]


def test_the_hook_is_put_back_and_nothing_is_left_over() -> None:
    before = sys.unraisablehook
    with no_interrupt_lost():
        ignored(KeyboardInterrupt())
    assert sys.unraisablehook is before
    raise_if_interrupted()
