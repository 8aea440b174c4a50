from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from export.arrays import load_arrays
from export.errors import ExportError, InputDataError


def test_npz_and_groups(tmp_path: Path) -> None:
    x = np.arange(24).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", x=x, unused=np.zeros(1))
    assert np.array_equal(load_arrays(tmp_path / "a.npz", [], {"x"})["x"], x)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["p/x"], file["q/x"] = x, x + 100
    loaded = load_arrays(tmp_path / "a.h5", ["p", "q"], {"x"}, num_samples=3)["x"]
    assert np.array_equal(loaded, np.concatenate([x, x + 100])[:3])


@pytest.mark.parametrize(
    ("arrays", "names", "message"),
    [
        ({"x": np.zeros((2, 3, 4))}, {"y"}, "no array 'y', there are x"),
        ({"x": np.full((2, 3, 4), np.nan)}, {"x"}, "'x' holds NaN"),
        ({"x": np.zeros((2, 3)), "y": np.zeros((3, 3))}, {"x", "y"}, "allowed is one number above 0"),
        ({"x": np.array(["a"])}, {"x"}, "allowed are numbers"),
    ],
)
def test_wrong_arrays(tmp_path: Path, arrays: dict[str, np.ndarray], names: set[str], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputDataError, match=message):
        load_arrays(tmp_path / "a.npz", [], names)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("axonport_was_here", "w"))


def test_pickles_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "a.npz", x=np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(InputDataError, match="not a readable .npz of plain arrays"):
        load_arrays(tmp_path / "a.npz", [], {"x"})
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputDataError, match="not a readable .npz"):
        load_arrays(tmp_path / "b.npz", [], {"x"})
    assert not (tmp_path / "axonport_was_here").exists()


def test_missing_file_and_group(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="no such file"):
        load_arrays(tmp_path / "none.npz", [], {"x"})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["p/x"] = np.zeros((1, 1, 1))
    with pytest.raises(ExportError, match="no group 'q', allowed are p"):
        load_arrays(tmp_path / "a.h5", ["q"], {"x"})
