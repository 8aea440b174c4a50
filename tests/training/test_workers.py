"""Clips in parallel: order, errors, killed workers and killed parents."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from training.errors import TrainingError, VideoError
from training.workers import ITEMS_PER_WORKER, _ctrl_c_only_here, default_workers, map_in_workers


def slow_square(number, *, slowest):
    """The earlier, the slower: results come back out of order."""
    time.sleep(0.02 * (number == slowest))
    return number * number, os.getpid()


def fail_at(number, *, bad):
    if number == bad:
        raise VideoError(f"video {number}: broken")
    return number


def die_at(number, *, bad):
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_come_in_order(num_workers):
    with map_in_workers(partial(slow_square, slowest=0), range(40), num_workers=num_workers, title="t") as squares:
        results = list(squares)
    assert [square for square, _ in results] == [number * number for number in range(40)]
    assert (os.getpid() in {pid for _, pid in results}) == (num_workers == 1)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_what_a_clip_raises_ends_all(num_workers):
    seen = []
    numbers = map_in_workers(partial(fail_at, bad=5), range(1000), num_workers=num_workers, title="t")
    with pytest.raises(VideoError, match="video 5: broken"), numbers as found:
        for number in found:
            seen.append(number)
    assert seen == [0, 1, 2, 3, 4]


def test_a_killed_worker_is_one_line():
    numbers = map_in_workers(partial(die_at, bad=3), range(100), num_workers=2, title="t")
    refused = pytest.raises(TrainingError, match="one of 2 was killed, .* run again with --workers 1")
    with refused as caught, numbers as found:
        list(found)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_workers", [0, -1])
def test_less_than_one_worker(num_workers):
    numbers = map_in_workers(abs, [1], num_workers=num_workers, title="t")
    with pytest.raises(TrainingError, match=f"workers: are {num_workers}, allowed is at least 1"), numbers:
        pass


def test_few_clips_are_computed_here():
    assert default_workers(0) == default_workers(ITEMS_PER_WORKER) == 1
    assert 1 <= default_workers(10**6) == len(os.sched_getaffinity(0))


PARENT = """
import os, sys, time
from functools import partial
from training.workers import map_in_workers

if __name__ == "__main__":
    with map_in_workers(partial(time.sleep), [0.0, 0.0, 60.0, 60.0], num_workers=2, title="t") as slept:
        for _ in slept:
            print("up", flush=True)
"""


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_go_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    try:
        assert parent.stdout.readline() == b"up\n"
        workers = children(parent.pid)
        assert len(workers) >= 2 and all(map(alive, workers))
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def test_ctrl_c_that_another_thread_takes_waits_until_workers_have_started() -> None:
    """A signal goes to any thread that does not block it; Python runs its handler in the main thread all the same."""
    done = []
    ready, sent = threading.Event(), threading.Event()

    def send() -> None:
        ready.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        sent.set()

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(KeyboardInterrupt), _ctrl_c_only_here():
        ready.set()
        sent.wait()
        time.sleep(0.05)  # Python would raise here
        done.append("started")
    thread.join()
    assert done == ["started"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_bar_ends_with_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the caller does with it: a bar that is closed later is drawn again, below the last line."""
    with pytest.raises(KeyboardInterrupt), map_in_workers(abs, [-1, -2, -3], num_workers=1, title="t") as found:
        for _ in found:
            raise KeyboardInterrupt
    drawn = capsys.readouterr().err
    assert "t:" in drawn
    del found
    gc.collect()
    assert capsys.readouterr().err == ""
