"""Opens HDF5 files from strangers: no links out of the file, no code, bounded size and depth."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from .errors import NirFileError

MAX_BYTES = 4 << 30
"""Uncompressed bytes of all arrays together; a 100 M-synapse network in float32 has 0.4 GB."""
MAX_EXPANSION = 1100
"""Bytes of an array per stored byte; gzip reaches 1032, more is a shape that nothing stands behind."""
FREE_BYTES, FREE_TOTAL_BYTES = 1 << 20, 64 << 20
"""Arrays of this size, and all arrays together of that size, may be anything."""
MAX_OBJECTS = 200_000
HEAP_SIGNATURE = b"GCOL\x01\x00\x00\x00"
MAX_DEPTH = 12


@contextlib.contextmanager
def open_checked(path: Path, max_bytes: int = MAX_BYTES) -> Iterator[Any]:
    """Open an HDF5 file for reading after checking everything in it.

    Args:
        path: the file.
        max_bytes: uncompressed bytes of all arrays together; a reader that takes slices can allow more.

    Raises:
        NirFileError: missing, not HDF5, truncated, too large, too deep, or with links or types that
            could reach outside the file.
    """
    if not path.is_file():
        raise NirFileError(f"{path}: no such file; run `python -m export` first, or check the name")
    _check_heaps(path)
    try:
        with h5py.File(path, "r") as file:
            _check_group(file, path, _Budget(path.stat().st_size, max_bytes), 0)
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NirFileError(f"{path}: not a readable HDF5 file ({reason}); write it again") from error


def _check_heaps(path: Path) -> None:
    """Walk the global heaps, where HDF5 keeps text: libhdf5 2.0.0 loops for ever over an entry without length.

    A heap is a header (signature and version, 8 bytes; its size, 8) and entries (index 2, references 2, reserved 4,
    size 8, content in multiples of 8); an entry of index 0 is the rest, and its size counts its header.
    """
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = content.find(HEAP_SIGNATURE)
        while begin >= 0:
            end = begin + int.from_bytes(content[begin + 8 : begin + 16], "little")
            at = begin + 16
            while at + 16 <= min(end, len(content)):
                index = int.from_bytes(content[at : at + 2], "little")
                size = int.from_bytes(content[at + 8 : at + 16], "little")
                length = 16 + (size + 7) // 8 * 8 if index else size
                if length < 16 or at + length > end:
                    raise NirFileError(f"{path}: a damaged heap at byte {begin}; write the file again")
                at += length
            begin = content.find(HEAP_SIGNATURE, begin + 8)


class _Budget:
    """Counts objects and bytes while the file is walked."""

    def __init__(self, file_bytes: int, max_bytes: int) -> None:
        self.num_objects = 0
        self.num_bytes = 0
        self.max_bytes = min(max_bytes, FREE_TOTAL_BYTES + MAX_EXPANSION * file_bytes)


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
        if budget.num_objects > MAX_OBJECTS or budget.num_bytes > budget.max_bytes:
            raise NirFileError(
                f"{path}: more than {MAX_OBJECTS} objects or {budget.max_bytes >> 20} MiB; too large to read"
            )


def _check_dataset(dataset: Any, path: Path, budget: _Budget) -> None:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    if dataset.external or dataset.is_virtual or not (is_text or dataset.dtype.kind in "biuf"):
        raise NirFileError(
            f"{path}: array '{dataset.name}' has type {dataset.dtype} or lies outside the file, allowed are numbers "
            "and text inside it"
        )
    num_bytes = max(int(dataset.nbytes), int(dataset.size))
    if num_bytes > FREE_BYTES and num_bytes > MAX_EXPANSION * dataset.id.get_storage_size():
        raise NirFileError(
            f"{path}: array '{dataset.name}' has shape {dataset.shape} and next to no content, or is too large to read"
        )
    budget.num_bytes += num_bytes
