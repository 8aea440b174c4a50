from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from export.errors import ExportError, InputDataError
from export.graph import Graph
from export.nodes import Input
from hardware_profiles.artifact import ROOT
from lava_runtime.dataset import source
from lava_runtime.dataset.source import array_source, open_source

GRAPH = Graph(
    nodes={"x": Input(shape=(2, 3)), "c": Input(shape=(4,), kind="graded")}, edges=(), dialect="float", dt_s=1
)
RNG = np.random.default_rng(0)
X = (RNG.random((7, 5, 2, 3)) < 0.5).astype(np.uint8)
C = RNG.integers(-1000, 1000, (7, 5, 4)).astype(np.int64)


def write(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


@pytest.mark.parametrize("suffix", ["h5", "npz"])
def test_slices_have_time_first_and_narrow_types(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d.{suffix}"
    if suffix == "h5":
        write(path, x=X.astype(np.float32).reshape(7, 5, 6), c=C)
    else:
        np.savez(path, x=X.astype(np.float32).reshape(7, 5, 6), c=C)
    with open_source(path, [], GRAPH) as samples:
        assert (samples.num_samples, samples.num_steps) == (7, 5)
        loaded = samples.load(slice(2, 6))
    assert np.array_equal(loaded["x"], X[2:6].swapaxes(0, 1).reshape(5, 4, 6)) and loaded["x"].dtype == np.uint8
    assert np.array_equal(loaded["c"], C[2:6].swapaxes(0, 1)) and loaded["c"].dtype == np.int16


def test_groups_follow_one_another(tmp_path: Path) -> None:
    path = write(tmp_path / "d.h5", a__x=X[:3], a__c=C[:3], b__x=X[3:4], b__c=C[3:4], e__x=X[4:], e__c=C[4:])
    with open_source(path, ["a", "b", "e"], GRAPH) as samples:
        for start in range(7):
            for stop in range(start + 1, 8):
                loaded = samples.load(slice(start, stop))
                assert np.array_equal(loaded["x"], X[start:stop].swapaxes(0, 1))
                assert np.array_equal(loaded["c"], C[start:stop].swapaxes(0, 1))
    with open_source(path, ["b", "a"], GRAPH, limit=2) as samples:
        assert samples.num_samples == 2
        assert np.array_equal(samples.load(slice(0, 2))["c"], np.concatenate([C[3:4], C[:1]]).swapaxes(0, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "no array 'c' in /, there are x"),
        ({"x": X[:, :, :1], "c": C}, "'x' has shape (7, 5, 1, 3), allowed is [N, T, 2, 3]; reshape it"),
        ({"x": X[0, 0], "c": C}, "'x' has shape (2, 3), allowed is [N, T, 2, 3]"),
        ({"x": X, "c": C[:6]}, "samples and steps are c 6, 5, x 7, 5; allowed is one N ≥ 1 and one T ≥ 1"),
        ({"x": X, "c": C[:, :4]}, "samples and steps are c 7, 4, x 7, 5"),
        ({"x": X[:0], "c": C[:0]}, "samples and steps are c 0, 5, x 0, 5"),
        ({"x": X[:, :0], "c": C[:, :0]}, "samples and steps are c 7, 0, x 7, 0"),
        ({"x": np.full((7, 5, 6), b"a"), "c": C}, "'x' has type |S1, allowed are numbers"),
    ],
)
def test_names_types_and_shapes_are_checked_without_reading(tmp_path: Path, arrays, message: str) -> None:
    with pytest.raises(InputDataError) as caught, open_source(write(tmp_path / "d.h5", **arrays), [], GRAPH):
        pass
    assert message in str(caught.value) and "d.h5" in str(caught.value)


def changed(array: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    other = array.astype(np.float64)
    other[index] = value
    return other


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": changed(X, (5, 0, 0, 0), 2), "c": C}, "sample 5: input x: holds values other than 0 and 1"),
        ({"x": changed(X, (6, 1, 1, 1), np.nan), "c": C}, "sample 6: input x: holds values other than 0 and 1"),
        ({"x": X, "c": changed(C, (4, 0, 0), 1e5)}, "sample 4: input c: holds values beyond"),
        ({"x": X, "c": changed(C, (4, 0, 0), np.nan)}, "sample 4: input c: holds values beyond"),
        ({"x": X, "c": changed(C, (5, 4, 3), 0.5)}, "sample 5: input c: holds fractions"),
    ],
)
def test_a_wrong_value_is_told_with_its_sample(tmp_path: Path, arrays, message: str) -> None:
    with open_source(write(tmp_path / "d.h5", **arrays), [], GRAPH) as samples:
        samples.load(slice(0, 4))
        with pytest.raises(InputDataError) as caught:
            samples.load(slice(3, 7))
    assert message in str(caught.value)


def test_no_such_group(tmp_path: Path) -> None:
    path = write(tmp_path / "d.h5", a__x=X, a__c=C)
    for group in ("b", "a/x"):
        with pytest.raises(InputDataError, match="no group .*, allowed are a"), open_source(path, [group], GRAPH):
            pass


def test_large_chunks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_CHUNK_BYTES", 100)
    path = tmp_path / "d.h5"
    for chunks, fits in (((1, 5, 2, 3), True), ((7, 5, 2, 3), False)):
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=X, chunks=chunks, compression="gzip")
            file["c"] = C
        if fits:
            with open_source(path, [], GRAPH) as samples:
                assert samples.num_samples == 7
        else:
            with pytest.raises(InputDataError, match="write it with chunks of one sample"):
                open_source(path, [], GRAPH).__enter__()


def test_a_file_with_links_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.h5", c=C)
    with h5py.File(path, "a") as file:
        file["x"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(ExportError, match="is a link"), open_source(path, [], GRAPH):
        pass


def test_an_error_of_the_caller_stays_what_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "d.h5", x=X, c=C)
    with pytest.raises(OSError, match="No space"), open_source(path, [], GRAPH):
        raise OSError(28, "No space left on device")


def test_damaged_chunks_are_told(tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        file["c"] = C
        dataset = file.create_dataset("x", data=X, chunks=(1, 5, 2, 3), compression="gzip")
        offset, size = dataset.id.get_chunk_info(4).byte_offset, dataset.id.get_chunk_info(4).size
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    with open_source(path, [], GRAPH) as samples:
        samples.load(slice(0, 4))
        with pytest.raises(InputDataError, match=r"'x' is damaged in samples 4 to 4 \("):
            samples.load(slice(4, 5))


def test_arrays_in_memory_have_the_graphs_names() -> None:
    assert array_source({"x": X, "c": C}, GRAPH).num_samples == 7
    for arrays in ({"x": X}, {"x": X, "c": C, "d": C}, {}):
        with pytest.raises(InputDataError, match="allowed are exactly c, x; rename the arrays"):
            array_source(arrays, GRAPH)


READER = """
import sys
from pathlib import Path
from export.graph import Graph
from export.nodes import Input
from lava_runtime.dataset.source import open_source
graph = Graph(nodes={"x": Input(shape=(1000,))}, edges=(), dialect="float", dt_s=1.0)
total = 0
with open_source(Path(sys.argv[1]), [], graph) as samples:
    for start in range(0, samples.num_samples, 10):
        total += int(samples.load(slice(start, start + 10))["x"].sum())
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(total, peak.split()[1])
"""


def test_memory_does_not_grow_with_the_data_set(tmp_path: Path) -> None:
    peaks = {}
    for num_samples in (20, 2000):
        path = tmp_path / f"{num_samples}.h5"
        with h5py.File(path, "w") as file:  # 2000 samples are 200 MB unpacked
            dataset = file.create_dataset("x", (num_samples, 100, 1000), np.uint8, chunks=(1, 100, 1000), compression=1)
            for index in range(num_samples):
                dataset[index, :, index % 1000] = 1
        done = subprocess.run(
            [sys.executable, "-c", READER, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        total, peaks[num_samples] = map(int, done.stdout.split())
        assert total == num_samples * 100
    assert peaks[2000] < peaks[20] + 25_000, f"peaks in KiB: {peaks}"
