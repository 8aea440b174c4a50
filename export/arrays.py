"""Named arrays of a run, from `.npz` or HDF5: `[N, T, n]` in files (one sample after the other), as data sets are."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

import h5py
import numpy as np

from .errors import InputDataError
from .hdf5_guard import open_checked
from .trace import Array

MAX_BYTES = 8 << 30


def load_arrays(
    path: Path,
    groups: Sequence[str],
    names: Collection[str],
    num_samples: int | None = None,
    optional: Collection[str] = (),
) -> dict[str, Array]:
    """Load the named arrays, concatenated over groups.

    Args:
        path: `.npz`, or HDF5 with arrays at the root or in groups.
        groups: HDF5 groups to concatenate, such as the partitions of a data set; empty for the root.
        names: arrays wanted.
        num_samples: load only the first so many.
        optional: arrays that are loaded too if they are there.

    Returns:
        name to array, first axis N.

    Raises:
        InputDataError: missing file, group or array, a pickled array, or different N.
    """
    if not path.is_file():
        raise InputDataError(f"input {path}: no such file; check the name")
    parts = [_read(path, group, names, optional) for group in (groups or [""])]
    arrays = {name: np.concatenate([part[name] for part in parts])[:num_samples] for name in parts[0]}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise InputDataError(f"input {path}: arrays have {lengths} samples, allowed is one number above 0")
    return arrays


def _read(path: Path, group: str, names: Collection[str], optional: Collection[str]) -> dict[str, Array]:
    read = _read_npz if path.suffix == ".npz" else _read_hdf5
    return read(path, group, names, optional)


def _wanted(present: Collection[str], names: Collection[str], optional: Collection[str]) -> list[str]:
    return [*names, *(name for name in optional if name in present and name not in names)]


def _read_npz(path: Path, group: str, names: Collection[str], optional: Collection[str]) -> dict[str, Array]:
    if group:
        raise InputDataError(f"input {path}: .npz files have no groups; leave out --group {group}")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise InputDataError(f"input {path}: unpacks to more than {MAX_BYTES >> 30} GiB; split it")
        with np.load(path, allow_pickle=False) as file:
            _check_names(path, set(file.files), names, group)
            return {name: _numeric(path, name, file[name]) for name in _wanted(file.files, names, optional)}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
        if isinstance(error, InputDataError):
            raise
        raise InputDataError(
            f"input {path}: not a readable .npz of plain arrays ({error}); save it with np.savez"
        ) from error


def _read_hdf5(path: Path, group: str, names: Collection[str], optional: Collection[str]) -> dict[str, Array]:
    with open_checked(path) as file:
        if group and not isinstance(file.get(group), h5py.Group):
            raise InputDataError(f"input {path}: no group '{group}', allowed are {', '.join(sorted(file))}")
        container = file[group] if group else file
        present = {name for name, held in container.items() if isinstance(held, h5py.Dataset)}
        _check_names(path, present, names, group)
        return {name: _numeric(path, name, container[name][()]) for name in _wanted(present, names, optional)}


def _check_names(path: Path, present: set[str], names: Collection[str], group: str) -> None:
    for name in names:
        if name not in present:
            where = f" in group '{group}'" if group else ""
            raise InputDataError(f"input {path}: no array '{name}'{where}, there are {', '.join(sorted(present))}")


def _numeric(path: Path, name: str, array: Array) -> Array:
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or array.ndim < 1:
        raise InputDataError(f"input {path}: '{name}' has type {array.dtype}, shape {array.shape}; allowed are numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputDataError(f"input {path}: '{name}' holds NaN or infinite values; clean the data")
    return array
