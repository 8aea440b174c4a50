"""Clips in parallel: order, errors, killed workers and killed parents."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from training.errors import TrainingError, VideoError
from training.workers import ITEMS_PER_WORKER, default_workers, map_in_workers


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
    results = list(map_in_workers(partial(slow_square, slowest=0), range(40), num_workers=num_workers, title="t"))
    assert [square for square, _ in results] == [number * number for number in range(40)]
    assert (os.getpid() in {pid for _, pid in results}) == (num_workers == 1)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_what_a_clip_raises_ends_all(num_workers):
    seen = []
    with pytest.raises(VideoError, match="video 5: broken"):
        for number in map_in_workers(partial(fail_at, bad=5), range(1000), num_workers=num_workers, title="t"):
            seen.append(number)
    assert seen == [0, 1, 2, 3, 4]


def test_a_killed_worker_is_one_line():
    with pytest.raises(TrainingError, match="one of 2 was killed, .* run again with --workers 1") as caught:
        list(map_in_workers(partial(die_at, bad=3), range(100), num_workers=2, title="t"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_workers", [0, -1])
def test_less_than_one_worker(num_workers):
    with pytest.raises(TrainingError, match=f"workers: are {num_workers}, allowed is at least 1"):
        list(map_in_workers(abs, [1], num_workers=num_workers, title="t"))


def test_few_clips_are_computed_here():
    assert default_workers(0) == default_workers(ITEMS_PER_WORKER) == 1
    assert 1 <= default_workers(10**6) == len(os.sched_getaffinity(0))


PARENT = """
import os, sys, time
from functools import partial
from training.workers import map_in_workers

if __name__ == "__main__":
    for pid in map_in_workers(partial(time.sleep), [0.0, 0.0, 60.0, 60.0], num_workers=2, title="t"):
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
