"""Opens HDF5 files from strangers: no links out of the file, no code, bounded size and depth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from .errors import NirFileError

MAX_BYTES = 4 << 30
"""Uncompressed bytes of all arrays together; a 100 M-synapse network in float32 has 0.4 GB."""
MAX_OBJECTS = 200_000
MAX_DEPTH = 12


@contextlib.contextmanager
def open_checked(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading after checking everything in it.

    Raises:
        NirFileError: missing, not HDF5, truncated, too large, too deep, or with links or types that
            could reach outside the file.
    """
    if not path.is_file():
        raise NirFileError(f"{path}: no such file; run `python -m export` first, or check the name")
    try:
        with h5py.File(path, "r") as file:
            _check_group(file, path, _Budget(), 0)
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NirFileError(f"{path}: not a readable HDF5 file ({reason}); write it again") from error


class _Budget:
    """Counts objects and bytes while the file is walked."""

    def __init__(self) -> None:
        self.num_objects = 0
        self.num_bytes = 0


def _check_group(group: Any, path: Path, budget: _Budget, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NirFileError(f"{path}: nested deeper than {MAX_DEPTH} groups; not a file that Axonport reads")
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise NirFileError(
                f"{path}: '{key}' is a link, allowed are plain groups and arrays; write it without links"
            )
        item = group[key]
        budget.num_objects += 1
        if isinstance(item, h5py.Group):
            _check_group(item, path, budget, depth + 1)
        elif isinstance(item, h5py.Dataset):
            _check_dataset(item, path, budget)
        else:
            raise NirFileError(f"{path}: '{key}' is {type(item).__name__}, allowed are groups and arrays")
        if budget.num_objects > MAX_OBJECTS or budget.num_bytes > MAX_BYTES:
            raise NirFileError(f"{path}: more than {MAX_OBJECTS} objects or {MAX_BYTES >> 30} GiB; too large to read")


def _check_dataset(dataset: Any, path: Path, budget: _Budget) -> None:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    if dataset.external or dataset.is_virtual or not (is_text or dataset.dtype.kind in "biuf"):
        raise NirFileError(
            f"{path}: array '{dataset.name}' has type {dataset.dtype} or lies outside the file, allowed are numbers "
            "and text inside it"
        )
    budget.num_bytes += max(dataset.nbytes, dataset.size)
