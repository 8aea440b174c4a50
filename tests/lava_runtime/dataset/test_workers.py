"""Workers that are killed, raise, or are interrupted; what they compute does not matter here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from export.errors import InputDataError
from hardware_profiles.artifact import ROOT
from lava_runtime.dataset.shards import Shard, plan_shards
from lava_runtime.dataset.workers import ShardRunner
from lava_runtime.errors import KilledError, LavaRuntimeError
from lava_runtime.shared_memory import shared_array

from ..children import children, group, wait_until_empty

SHARDS = plan_shards(10, 3)


@pytest.fixture(autouse=True)
def nothing_left():
    assert children() == set()
    yield
    assert children() == set()


class Run:
    """Runs shards and keeps what is told."""

    def __init__(self, work, num_workers=2, load=lambda samples: {"x": np.arange(samples.start, samples.stop)}):
        self.results, self.lines, self.seen = {}, [], []
        ShardRunner(load, work, num_workers).run(SHARDS, self.finished, self.seen.append, self.lines.append)

    def finished(self, shard, result):
        assert shard.index not in self.results
        self.results[shard.index] = result


def total(shard, inputs, steps_done):
    return int(inputs["x"].sum())


def test_every_shard_runs_once_on_its_own_samples():
    for num_workers in (1, 2, 7):
        run = Run(total, num_workers)
        assert run.results == {0: 0 + 1 + 2, 1: 3 + 4 + 5, 2: 6 + 7 + 8, 3: 9} and run.lines == []


def test_so_many_workers_at_a_time():
    running, most = shared_array((4,), np.int64), shared_array((4,), np.int64)

    def work(shard, inputs, steps_done):
        running[shard.index] = 1
        time.sleep(0.1)
        most[shard.index] = running.sum()
        running[shard.index] = 0

    Run(work, num_workers=2)
    assert most.max() == 2


def killing(times, number=signal.SIGKILL):
    """Work whose worker is killed the first so many times that it runs shard 1."""
    attempts = shared_array((1,), np.int64)

    def work(shard, inputs, steps_done):
        if shard.index == 1 and attempts[0] < times:
            attempts[0] += 1
            os.kill(os.getpid(), number)
        return total(shard, inputs, steps_done)

    return work


def test_a_killed_worker_is_told_and_its_shard_runs_again():
    run = Run(killing(2))
    assert run.results == {0: 3, 1: 12, 2: 21, 3: 9}
    killed = "worker was killed by SIGKILL (often for want of memory)"
    assert run.lines == [
        f"shard 1 (samples 3 to 5): {killed}; runs again (1 of 2 retries)",
        f"shard 1 (samples 3 to 5): {killed}; runs again (2 of 2 retries)",
    ]


def test_a_shard_that_is_killed_every_time_ends_the_run():
    with pytest.raises(KilledError, match=r"^shard 1 \(samples 3 to 5\): worker was killed by SIGXCPU, 3 times; "):
        Run(killing(3, signal.SIGXCPU))


def test_a_lava_process_that_was_killed_counts_as_a_killed_worker():
    attempts = shared_array((1,), np.int64)

    def work(shard, inputs, steps_done):
        attempts[0] += 1
        if attempts[0] == 1:
            raise KilledError("Lava process 'fused graph': was killed by SIGKILL after 2 of 8 steps")
        return total(shard, inputs, steps_done)

    run = Run(work, num_workers=1)
    assert len(run.results) == 4 and attempts[0] == 5
    assert "Lava process 'fused graph': was killed" in run.lines[0]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InputDataError("x: bad"), InputDataError, "shard 2 (samples 6 to 8): x: bad"),
        (LavaRuntimeError("stands\nstill"), LavaRuntimeError, "shard 2 (samples 6 to 8): stands still"),
        (ZeroDivisionError("no\nway"), LavaRuntimeError, "shard 2 (samples 6 to 8): raised ZeroDivisionError: no;"),
        (OSError(28, "No space left on device", "/a"), LavaRuntimeError, "/a: No space left on device; mend that"),
    ],
)
def test_an_error_is_one_line_with_the_shard_and_not_tried_again(error, kind, message):
    attempts = shared_array((4,), np.int64)

    def work(shard, inputs, steps_done):
        attempts[shard.index] += 1
        if shard.index == 2:
            raise error
        time.sleep(60 * (shard.index == 1))

    began = time.monotonic()
    with pytest.raises(kind) as caught:
        Run(work)
    assert type(caught.value) is kind and message in str(caught.value) and "\n" not in str(caught.value)
    assert attempts[2] == 1 and time.monotonic() - began < 30


def test_steps_are_seen_while_they_are_counted():
    def work(shard, inputs, steps_done):
        for step in range(4):
            steps_done[0] = step + 1
            time.sleep(0.15)

    run = Run(work, num_workers=1)
    counts = {steps for seen in run.seen for steps in seen.values()}
    assert counts >= {1, 2, 3} or len(counts) >= 3


def test_inputs_are_loaded_one_shard_at_a_time():
    loaded = []

    def load(samples):
        loaded.append((samples.start, samples.stop))
        return {"x": np.arange(samples.start, samples.stop)}

    Run(total, 1, load)
    assert loaded == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_no_worker_is_refused():
    with pytest.raises(LavaRuntimeError, match="workers: are 0, allowed is at least 1"):
        ShardRunner(dict, total, 0)


def test_ctrl_c_ends_all_workers():
    stall = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    stall.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Run(lambda shard, inputs, steps_done: time.sleep(60))
    stall.join()
    assert time.monotonic() - began < 30


PARENT = """
import time
from lava_runtime.dataset.shards import plan_shards
from lava_runtime.dataset.workers import ShardRunner
runner = ShardRunner(lambda samples: {}, lambda shard, inputs, steps_done: time.sleep(600), 2)
runner.run(plan_shards(4, 1), print, lambda steps: print("ready", flush=True), print)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the signal on a parent's death is Linux's")
def test_workers_die_with_a_killed_parent():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
        assert len(group(parent.pid)) == 3
        parent.kill()
    wait_until_empty(parent.pid)


def test_shards_are_named_for_people():
    assert str(Shard(3, 96, 128)) == "shard 3 (samples 96 to 127)"
