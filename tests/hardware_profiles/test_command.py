"""What every command does with what goes wrong, seen from outside: exit code, stderr, no traceback."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hardware_profiles.command import run_command

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import argparse, os, sys, time
from hardware_profiles.command import run_command
from hardware_profiles.errors import ConfigError, RangeError

def handle(args):
    if args.do == "error":
        raise ConfigError("key 'a': is 3, allowed is 4; change it")
    if args.do == "nested":
        try:
            raise RangeError("inner")
        except RangeError as error:
            raise ConfigError("outer") from error
    if args.do == "bug":
        raise ZeroDivisionError("ours")
    if args.do == "missing":
        open("/nowhere/file")
    if args.do == "full":
        raise OSError(28, "No space left on device")
    if args.do == "wait":
        print("waiting", flush=True)
        time.sleep(60)
    if args.do == "talk":
        print("line\\n" * 100_000)
    return {"none": None, "three": 3}.get(args.do, 0)

parser = argparse.ArgumentParser(prog="demo")
parser.add_argument("do")
sys.exit(run_command(parser, handle))
"""


def start(do: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, do],
        cwd=ROOT,
        env={**os.environ, "AXONPORT_DEBUG": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(do: str, **environment: str) -> tuple[int, str]:
    process = start(do, **environment)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize(("do", "code"), [("none", 0), ("zero", 0), ("three", 3)])
def test_what_the_command_returns_is_the_exit_code(do: str, code: int) -> None:
    assert run(do) == (code, "")


@pytest.mark.parametrize(
    ("do", "line"),
    [
        ("error", "demo: error: key 'a': is 3, allowed is 4; change it\n"),
        ("nested", "demo: error: outer\n"),
        ("missing", "demo: error: /nowhere/file: No such file or directory; mend that and run again\n"),
        ("full", "demo: error: a file: No space left on device; mend that and run again\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line(do: str, line: str) -> None:
    assert run(do) == (2, line)


def test_a_bug_keeps_its_traceback() -> None:
    code, stderr = run("bug")
    assert code == 1 and "Traceback" in stderr and "ZeroDivisionError: ours" in stderr


def test_debug_shows_the_traceback_of_a_users_error() -> None:
    code, stderr = run("error", AXONPORT_DEBUG="1")
    assert code == 1 and "Traceback" in stderr and "ConfigError: key 'a'" in stderr
    assert run("three", AXONPORT_DEBUG="1") == (3, "")


def test_ctrl_c_is_one_line_and_130() -> None:
    process = start("wait")
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "demo: interrupted; nothing half-written was kept\n")


def test_a_reader_who_leaves_is_no_error() -> None:
    process = start("talk")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), stderr) == (141, "")


def test_a_wrong_command_line_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_command(argparse.ArgumentParser(prog="demo"), lambda args: 0, ["--nonsense"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "usage: demo [-h]\ndemo: error: unrecognized arguments: --nonsense\n"
