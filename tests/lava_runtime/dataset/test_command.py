"""`python -m lava_runtime model.nir --input data.h5`: exact, resumable, and plain about what is wrong."""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import export.__main__
from export.errors import NirFileError
from export.graph_file import load_graph, save_graph
from export.hdf5_guard import open_checked
from export.interpreters.float_interpreter import run_float
from hardware_profiles.activity import read_activity
from hardware_profiles.artifact import ROOT
from hardware_profiles.command import run_command
from lava_runtime.__main__ import handle, parser
from lava_runtime.counts import count_events
from lava_runtime.dataset.source import open_source
from lava_runtime.model import load_model

from ...interrupting import ENVIRONMENT, command, end
from ..children import children, wait_until_empty
from .models import DT_S, NUM_STEPS, specification, write_foreign_nir, write_spikes

pytestmark = pytest.mark.lava
NUM_SAMPLES = 11
NUM_KILLS = 20 if os.environ.get("AXONPORT_FULL") else 3
RESULTS = {"activity.json", "manifest.json", "outputs.h5", "records.h5"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_foreign_nir(tmp_path / "m.nir")
    write_spikes(tmp_path / "d.h5", NUM_SAMPLES)
    return tmp_path


def run(*words: str, out: str = "run", model: str = "m.nir") -> int:
    given = ["--dt", str(DT_S)] if model.endswith(".nir") and "--dt" not in words else []
    return run_command(parser(), handle, [model, *given, "--input", "d.h5", "--out", out, *words])


def files(folder: Path) -> dict[str, bytes]:
    """Content of all results; the manifest tells how they were made, which may differ."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def arrays(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("granularity", ["fused", "processes"])
def test_another_frameworks_file_runs_as_the_specification_says(
    folder: Path, granularity: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--granularity", granularity, "--record", "l1.s,l1.v,l2.s,l2.v", "--shard-samples", "4") == 0
    said = capsys.readouterr()
    assert {path.name for path in folder.iterdir()} == {"m.nir", "d.h5", "run"}
    assert {path.name for path in (folder / "run").iterdir()} == RESULTS
    data = arrays(folder / "d.h5")["input"]
    trace = specification(folder / "m.nir", data)
    records = arrays(folder / "run" / "records.h5")
    for name, layer in trace.items():
        assert layer.s.any() and not layer.s.all() and (layer.v < 0).any()
        assert np.array_equal(records[f"{name}/s"], layer.s.swapaxes(0, 1))
        assert np.array_equal(records[f"{name}/v"], layer.v.swapaxes(0, 1)) and records[f"{name}/v"].dtype == np.int32
    assert np.array_equal(arrays(folder / "run" / "outputs.h5")["output"], trace["l2"].s.sum(axis=0))
    graph = load_model(folder / "m.nir", "fixed_pt", dt_s=DT_S)
    assert np.array_equal(records["l1/threshold"], graph.nodes["l1"].vth << 6)
    activity = read_activity(folder / "run" / "activity.json")
    assert activity.layers == count_events(graph, {"input": data.swapaxes(0, 1)}, trace)
    assert (activity.granularity, activity.num_samples, activity.num_steps) == (granularity, NUM_SAMPLES, NUM_STEPS)
    assert "integers chosen from ranges, without calibration" in said.out and said.err == ""
    assert f"{NUM_SAMPLES} samples × {NUM_STEPS} steps on Lava, fixed_pt, {granularity}" in said.out
    assert f"  l1: {int(trace['l1'].s.sum())} spikes" in said.out
    assert run("--granularity", granularity, "--record", "l1.s,l1.v,l2.s,l2.v", "--shard-samples", "4") == 0
    assert capsys.readouterr().out == "run: up to date\n"


def test_integers_are_those_of_export(folder: Path) -> None:
    words = ["m.nir", "--dt", str(DT_S), "--example", "d.h5", "--out", "exported"]
    assert run_command(export.__main__.parser(), export.__main__.handle, words) == 0
    save_graph(load_model(folder / "m.nir", "fixed_pt", dt_s=DT_S), folder / "again.h5")
    assert (folder / "again.h5").read_bytes() == (folder / "exported" / "integer_model.h5").read_bytes()
    assert run("--record", "l1.v") == 0
    assert run("--record", "l1.v", model="exported/integer_model.h5", out="other") == 0
    assert files(folder / "run") == files(folder / "other")


def test_floats_run_as_the_file_says(folder: Path) -> None:
    assert run("--number-format", "floating_pt", "--record", "all", "--samples", "3") == 0
    records = arrays(folder / "run" / "records.h5")
    graph = load_model(folder / "m.nir", "floating_pt", dt_s=DT_S)
    trace = run_float(graph, {"input": arrays(folder / "d.h5")["input"][:3].swapaxes(0, 1)}).trace
    for name, layer in trace.items():
        assert np.array_equal(records[f"{name}/s"], layer.s.swapaxes(0, 1)) and layer.s.any()
        assert np.allclose(records[f"{name}/v"], layer.v.swapaxes(0, 1), atol=1e-5)
        assert records[f"{name}/v"].dtype == np.float64


def test_results_do_not_depend_on_shards_batches_and_workers(folder: Path) -> None:
    assert run("--record", "all") == 0
    first = files(folder / "run")
    for shards, batch, workers in (("1", "3", "3"), ("4", "2", "2"), ("5", "64", "1"), ("100", "4", "1")):
        words = ("--shard-samples", shards, "--batch-size", batch, "--workers", workers)
        assert run("--record", "all", *words, out="other") == 0
        assert files(folder / "other") == first


def test_without_records_there_is_no_file_of_them(folder: Path) -> None:
    assert run() == 0
    assert {path.name for path in (folder / "run").iterdir()} == RESULTS - {"records.h5"}


def test_parts_add_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--record", "l2.v", "--shard-samples", "2")
    assert run(*words, out="whole") == 0
    for part in ("2/3", "1/3"):
        assert run(*words, "--part", part) == 0
        assert f"part {part} is done" in capsys.readouterr().out
    assert not (folder / "run").exists()
    assert {path.name for path in (folder / ".run.partial").glob("shard-*")} == {
        f"shard-0000{index}.h5" for index in (0, 1, 3, 4)
    }
    assert run(*words) == 0
    assert "goes on; 8 of 11 samples are done" in capsys.readouterr().err
    assert files(folder / "run") == files(folder / "whole")
    assert not (folder / ".run.partial").exists()


def test_shards_of_another_run_are_not_mixed_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--record", "l1.s", "--shard-samples", "4", "--part", "1/2") == 0
    assert run("--record", "l1.v", "--shard-samples", "4", "--part", "2/2") == 2
    assert "holds shards of a run with other settings or inputs; finish that run" in capsys.readouterr().err
    assert run("--record", "l1.v", "--shard-samples", "4") == 0
    assert "shards of a run with other settings or inputs are discarded" in capsys.readouterr().err
    assert set(arrays(folder / "run" / "records.h5")) == {"l1/v", "l1/threshold"}


def test_a_damaged_shard_is_computed_again(folder: Path) -> None:
    words = ("--record", "l1.v", "--shard-samples", "4")
    assert run(*words, out="whole") == 0
    assert run(*words, "--part", "1/2") == 0
    for name, size in (("shard-00000.h5", 3000), ("shard-00002.h5", 0)):
        path = folder / ".run.partial" / name
        path.write_bytes(path.read_bytes()[:size])
    assert run(*words) == 0
    assert files(folder / "run") == files(folder / "whole")


def test_a_shard_that_was_cut_otherwise_is_computed_again(folder: Path) -> None:
    words = ("--record", "l1.v", "--shard-samples", "4")
    assert run(*words, out="whole") == 0
    assert run(*words, "--part", "1/2") == 0
    with h5py.File(folder / ".run.partial" / "shard-00000.h5", "r+") as file:
        file.attrs["task"] = file.attrs["task"].replace(" 0 4", " 0 5")
        file["outputs/output"][:] = 99
    assert run(*words) == 0
    assert files(folder / "run") == files(folder / "whole")


def test_two_runs_do_not_write_the_same_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_spikes(folder / "d.h5", 4000, 200)
    words = ["m.nir", "--dt", str(DT_S), "--input", "d.h5", "--out", "run", "--shard-samples", "4"]
    with subprocess.Popen(
        command("lava_runtime", *words), cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, start_new_session=True
    ) as other:
        while not list(folder.glob(".run.partial/shard-*")) and other.poll() is None:
            time.sleep(0.01)
        assert other.poll() is None
        assert run("--shard-samples", "4") == 2
        assert "another run is at work in" in capsys.readouterr().err
        other.kill()
    wait_until_empty(other.pid)


def test_kill_9_at_any_time_loses_nothing_and_gives_nothing_twice(folder: Path) -> None:
    write_spikes(folder / "d.h5", 60, 60)
    words = ["m.nir", "--dt", str(DT_S), "--input", "d.h5", "--record", "all", "--shard-samples", "3", "--workers", "2"]
    began = time.monotonic()
    subprocess.run(
        command("lava_runtime", *words, "--out", "whole"), cwd=folder, env=ENVIRONMENT, check=True, capture_output=True
    )
    whole_s, whole = time.monotonic() - began, files(folder / "whole")
    trace = specification(folder / "m.nir", arrays(folder / "d.h5")["input"])
    assert np.array_equal(arrays(folder / "whole" / "records.h5")["l2/s"], trace["l2"].s.swapaxes(0, 1))
    rng, finished_before = random.Random(time.time_ns()), set()
    for number in range(NUM_KILLS):
        shutil.rmtree(folder / "run", ignore_errors=True)
        num_runs = 0
        while not (folder / "run").exists():
            process = subprocess.Popen(
                command("lava_runtime", *words, "--out", "run"), cwd=folder, env=ENVIRONMENT, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            # a kill at any time, one amid the shards, then it may finish
            until = time.monotonic() + rng.uniform(0, whole_s)
            enough = len(list(folder.glob(".run.partial/shard-*"))) + rng.randint(1, 6)
            while num_runs < 2 and process.poll() is None:
                num_shards = len(list(folder.glob(".run.partial/shard-*")))
                if num_shards >= enough if num_runs else time.monotonic() > until:
                    process.kill()
                time.sleep(0.002)
            process.wait()
            wait_until_empty(process.pid)
            assert num_runs == 2 or process.returncode in (0, -signal.SIGKILL)
            finished_before.add(len(list(folder.glob(".run.partial/shard-*"))))
            num_runs += 1
            assert num_runs < 6
        assert files(folder / "run") == whole, f"kill {number}"
        assert {path.name for path in folder.iterdir()} <= {"m.nir", "d.h5", "whole", "run", ".run.partial"}
        assert not list(folder.glob(".run.partial/shard-*"))
    assert any(0 < count < 20 for count in finished_before), "no kill came amid the shards"


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def test_a_killed_worker_is_told_and_the_result_is_the_same(folder: Path) -> None:
    write_spikes(folder / "d.h5", 40, 200)
    words = [
        "m.nir",
        "--dt",
        str(DT_S),
        "--input",
        "d.h5",
        "--record",
        "l1.s",
        "--shard-samples",
        "4",
        "--workers",
        "1",
    ]
    process = subprocess.Popen(
        command("lava_runtime", *words, "--out", "run"), cwd=folder, env=ENVIRONMENT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(folder.glob(".run.partial/shard-00000.h5")):
        time.sleep(0.005)
    while not (busy := [pid for pid in children_of(process.pid) if children_of(pid)]):
        time.sleep(0.005)
    os.kill(busy[0], signal.SIGKILL)  # a worker amid its Lava session
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert (
        "worker was killed by SIGKILL (often for want of memory); runs again (1 of 2 retries)" in errors
        and errors.count("\n") == 1
    )
    trace = specification(folder / "m.nir", arrays(folder / "d.h5")["input"])
    assert np.array_equal(arrays(folder / "run" / "records.h5")["l1/s"], trace["l1"].s.swapaxes(0, 1))


def test_ctrl_c_leaves_no_process_and_keeps_whole_shards(folder: Path) -> None:
    write_spikes(folder / "d.h5", 400, 200)
    words = ["m.nir", "--dt", str(DT_S), "--input", "d.h5", "--out", "run", "--shard-samples", "4"]
    ended = end(
        command("lava_runtime", *words), folder, lambda pid: any(folder.glob(".run.partial/shard-*")), signal.SIGINT
    )
    assert ended.code == 130, (ended.code, ended.errors)
    assert ended.last_line == "python -m lava_runtime: interrupted; nothing half-written was kept"
    assert "of 100 shards are kept; the same command goes on there" in ended.errors
    assert all(path.name.startswith("shard-") or path.name in ("manifest.json", "lock")
               for path in (folder / ".run.partial").iterdir())  # fmt: skip


def spoil(folder: Path) -> None:
    with h5py.File(folder / "d.h5", "r+") as file:
        file["input"][9, 3, 4] = 2


def rewrite(**data: np.ndarray) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with h5py.File(folder / "d.h5", "w") as file:
            for name, array in data.items():
                file[name] = array

    return damage


def keep(folder: Path) -> None:
    """Nothing is wrong with the files."""


X = np.zeros((2, 5, 10), np.uint8)


@pytest.mark.parametrize(
    ("damage", "words", "message"),
    [
        (spoil, (), "input d.h5: sample 9: input input: holds values other than 0 and 1"),
        (rewrite(y=X), (), "input d.h5: no array 'input' in /, there are y"),
        (rewrite(input=X[:, :, :9]), (), "'input' has shape (2, 5, 9), allowed is [N, T, 10]"),
        (rewrite(input=np.full((2, 5, 10), b"1")), (), "'input' has type |S1, allowed are numbers"),
        (lambda folder: (folder / "d.h5").unlink(), (), "--input d.h5: no such file"),
        (lambda folder: (folder / "d.h5").write_text("no"), (), "d.h5: not a readable HDF5 file"),
        (lambda folder: (folder / "m.nir").unlink(), (), "model m.nir: no such file"),
        (lambda folder: (folder / "m.nir").write_text("no"), (), "m.nir: not a readable HDF5 file"),
        (keep, ("--record", "l9.v"), "record 'l9.v': there is no such layer, allowed are l1, l2"),
        (keep, ("--record", "l1.u"), "record 'l1.u': l1 has no variable 'u', allowed are s, v"),
        (keep, ("--group", "test"), "no group 'test', allowed are input"),
        (keep, ("--number-format", "both"), "--number-format both: is for export folders"),
        (keep, ("--process-samples", "3"), "--process-samples 3: is for export folders"),
        (keep, ("--config", "c.toml"), "--config c.toml: is for export folders"),
        (keep, ("--granularity", "processes", "--batch-size", "4"), "--batch-size 4: is for --granularity fused"),
        (keep, ("--target", "hardware"), "granularity: is 'fused', on hardware only 'processes' is allowed"),
        (
            keep,
            ("--target", "hardware", "--granularity", "processes"),
            "Lava's extension for Loihi: is not installed, on hardware it is needed",
        ),
        (keep, ("--samples", "0"), "--samples 0: allowed is at least 1"),
        (keep, ("--batch-size", "0"), "--batch-size 0: allowed is at least 1"),
        (keep, ("--workers", "-1"), "--workers -1: allowed is at least 1"),
        (keep, ("--shard-samples", "0"), "--shard-samples 0: allowed is at least 1"),
        (keep, ("--dt", "-1"), "--dt -1.0: allowed is a positive number"),
        (keep, ("--timeout", "nan"), "--timeout nan: allowed is a positive number"),
        (keep, ("--part", "3/2"), "--part 3/2: allowed is k/n"),
        (keep, ("--profile", "loihi9"), "loihi9"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], words: tuple[str, ...],
    message: str,
) -> None:  # fmt: skip
    damage(folder)
    before = {path.name for path in folder.iterdir()}
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("python -m lava_runtime: error: ") and said.err.count("\n") == 1, said.err
    assert message in said.err
    assert {path.name for path in folder.iterdir()} == before
    assert children() == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--number-format", "floating_pt"), "--number-format floating_pt: i.h5 holds integers, allowed is fixed_pt"),
        (("--dt", "1e-3"), "--dt 0.001: does not apply to i.h5"),
        (("--profile", "loihi1"), "--profile loihi1: does not apply to i.h5"),
    ],
)
def test_options_that_an_integer_model_has_no_use_for(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    save_graph(load_model(folder / "m.nir", "fixed_pt", dt_s=DT_S), folder / "i.h5")
    assert load_graph(folder / "i.h5").dialect == "integer"
    assert run(*words, model="i.h5") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--granularity", "fused"), ("--record", "all"), ("--dt", "0.001"), ("--workers", "2"), ("--part", "1/2")],
)
def test_options_that_an_export_folder_has_no_use_for(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    (folder / "exported").mkdir()
    assert run(option, value, model="exported") == 2
    assert f"{option} {value}: is for model files, exported is an export folder" in capsys.readouterr().err


def test_what_is_not_ours_is_refused_before_anything_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "thesis.tex").write_text("years of work")
    assert run() == 2
    assert "name a new or an empty folder" in capsys.readouterr().err
    assert not (folder / ".run.partial").exists()


MEMORY = """
import sys
from pathlib import Path
from hardware_profiles.command import run_command
from lava_runtime.__main__ import handle, parser
assert run_command(parser(), handle, sys.argv[1:]) == 0
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak.split()[1])
"""


def test_memory_does_not_grow_with_the_data_set(folder: Path) -> None:
    """Of the parent: 200 samples have 13 MB of records."""
    peaks = {}
    for num_samples in (10, 200):
        write_spikes(folder / "d.h5", num_samples, 1000)
        words = ["m.nir", "--dt", str(DT_S), "--input", "d.h5", "--record", "l1.v", "--shard-samples", "10"]
        words += ["--out", str(num_samples), "--batch-size", "10"]
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, *words], cwd=folder, env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks[num_samples] = int(done.stdout.split()[-1])
    assert (folder / "200" / "records.h5").stat().st_size > 10 * (folder / "10" / "records.h5").stat().st_size
    assert peaks[200] < peaks[10] + 5_000, f"peaks in KiB: {peaks}"


def test_a_terminal_shows_samples_rate_and_time_left(folder: Path) -> None:
    write_spikes(folder / "d.h5", 60, 200)
    words = ["m.nir", "--dt", str(DT_S), "--input", "d.h5", "--out", "run", "--shard-samples", "6", "--workers", "2"]
    terminal, theirs = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))  # rows, columns
    with subprocess.Popen(
        command("lava_runtime", *words), cwd=folder, env=ENVIRONMENT, stderr=theirs,
        stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(terminal, 4096):
                shown += block
        except OSError:  # Linux: the other end is closed
            pass
    os.close(terminal)
    assert process.returncode == 0
    text = shown.decode()
    assert "checking inputs: 100%" in text and "samples: 100%" in text
    assert re.search(r"samples: +\d\d%.* \d+/60 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+ ?(sample/s|s/sample)\]", text), text


def test_a_data_set_larger_than_a_model_may_be_is_opened(folder: Path) -> None:
    with pytest.raises(NirFileError, match="too large to read"), open_checked(folder / "d.h5", 100):
        pass
    with open_source(folder / "d.h5", [], load_model(folder / "m.nir", "fixed_pt", dt_s=DT_S)) as samples:
        assert samples.num_samples == NUM_SAMPLES
