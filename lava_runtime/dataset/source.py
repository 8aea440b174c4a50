"""Where a data set comes from: arrays `[N, T, *shape]` of which only slices of samples are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from export.arrays import load_arrays
from export.errors import InputDataError
from export.graph import Graph
from export.hdf5_guard import open_checked
from export.nodes import Input
from export.trace import Array, check_inputs

MAX_FILE_BYTES = 1 << 50
"""Uncompressed bytes of a data set: only slices of it are held."""
MAX_CHUNK_BYTES = 1 << 30
"""HDF5 unpacks whole chunks, so this much may be held for a single sample."""


class Column(Protocol):
    """One array of a data set, in memory or in a file: `[N, T, *shape]`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole array's."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's."""

    def __getitem__(self, samples: slice) -> Array:
        """Load some samples."""


class SampleSource:
    """The inputs of a graph for N samples of T steps.

    Attributes:
        num_samples: N.
        num_steps: T.
    """

    def __init__(self, where: str, parts: Mapping[str, Sequence[Column]], graph: Graph, limit: int | None) -> None:
        """Check names, types and shapes; no value is read.

        Args:
            where: how messages name the data.
            parts: input node to arrays that follow one another.
            graph: either dialect.
            limit: use only the first so many samples.

        Raises:
            InputDataError: something does not fit the graph.
        """
        self._where, self._parts, self._graph = where, parts, graph
        for name, node in graph.inputs().items():
            for part in parts[name]:
                _check_column(f"{where}: '{name}'", part, node)
        extents = {
            name: (sum(part.shape[0] for part in columns), *{part.shape[1] for part in columns})
            for name, columns in parts.items()
        }
        extent = next(iter(extents.values()))
        if len(set(extents.values())) > 1 or len(extent) > 2 or 0 in extent:
            told = ", ".join(f"{name} {', '.join(map(str, found))}" for name, found in extents.items())
            raise InputDataError(
                f"{where}: samples and steps are {told}; allowed is one N ≥ 1 and one T ≥ 1 for all arrays and groups"
            )
        self.num_samples = extent[0] if limit is None else min(limit, extent[0])
        self.num_steps = extent[1]

    def load(self, samples: slice) -> dict[str, Array]:
        """Load some samples.

        Args:
            samples: from the first to the one after the last.

        Returns:
            name to `[T, B, *shape]`: uint8 spikes or int16 graded values.

        Raises:
            InputDataError: values are not what the input takes.
        """
        inputs: dict[str, Array] = {}
        for name, node in self._graph.inputs().items():
            try:
                values = _concatenated(self._parts[name], samples).swapaxes(0, 1)
            except OSError as error:
                reason = " ".join(str(error).split())
                raise InputDataError(
                    f"{self._where}: '{name}' is damaged in samples {samples.start} to {samples.stop - 1} ({reason}); "
                    "write the file again"
                ) from error
            self._check_values(name, values, samples.start)
            inputs[name] = values.astype(np.uint8 if node.kind == "spike" else np.int16, copy=False)
        return inputs

    def _check_values(self, name: str, values: Array, first: int) -> None:
        """Check one input's values `[T, B, *shape]`, and say in which sample a wrong one stands."""
        alone = Graph(nodes={name: self._graph.nodes[name]}, edges=(), dialect=self._graph.dialect, dt_s=1.0)
        try:
            check_inputs(alone, {name: values})
        except InputDataError:
            for index in range(values.shape[1]):
                try:
                    check_inputs(alone, {name: values[:, index : index + 1]})
                except InputDataError as error:
                    raise InputDataError(f"{self._where}: sample {first + index}: {error}") from None
            raise


def _check_column(what: str, column: Column, node: Input) -> None:
    if column.dtype.kind not in "biuf":
        raise InputDataError(f"{what} has type {column.dtype}, allowed are numbers; save spikes as 0 and 1")
    if len(column.shape) < 3 or tuple(column.shape[2:]) not in (node.shape, (node.size,)):
        allowed = ", ".join(map(str, node.shape))
        raise InputDataError(f"{what} has shape {tuple(column.shape)}, allowed is [N, T, {allowed}]; reshape it")
    chunks = getattr(column, "chunks", None)
    if chunks and int(np.prod(chunks)) * column.dtype.itemsize > MAX_CHUNK_BYTES:
        raise InputDataError(
            f"{what} is stored in chunks of {chunks}, allowed are {MAX_CHUNK_BYTES >> 20} MiB, which are unpacked as a "
            "whole; write it with chunks of one sample"
        )


def _concatenated(parts: Sequence[Column], samples: slice) -> Array:
    """Load samples out of arrays that follow one another."""
    ends = list(accumulate(part.shape[0] for part in parts))
    found = [
        np.asarray(part[max(samples.start - end + part.shape[0], 0) : samples.stop - end + part.shape[0]])
        for part, end in zip(parts, ends, strict=True)
        if samples.start < end and end - part.shape[0] < samples.stop
    ]
    return found[0] if len(found) == 1 else np.concatenate(found)


def array_source(arrays: Mapping[str, Array], graph: Graph) -> SampleSource:
    """Take arrays `[N, T, *shape]` in memory as a data set.

    Raises:
        InputDataError: names, types or shapes do not fit the graph.
    """
    columns = {name: np.asarray(array) for name, array in arrays.items()}
    if set(columns) != set(graph.inputs()):
        raise InputDataError(
            f"inputs: are {', '.join(sorted(columns)) or 'none'}, allowed are exactly "
            f"{', '.join(sorted(graph.inputs()))}; rename the arrays"
        )
    return SampleSource("inputs", {name: [column] for name, column in columns.items()}, graph, None)


@contextmanager
def open_source(path: Path, groups: Sequence[str], graph: Graph, limit: int | None = None) -> Iterator[SampleSource]:
    """Open a data set: HDF5, of which slices are read, or `.npz`, which is held whole.

    Args:
        path: `.npz` or HDF5 with one array per input of the graph.
        groups: HDF5 groups to concatenate; empty for the root.
        graph: either dialect.
        limit: use only the first so many samples.

    Raises:
        NirFileError: a damaged or hostile HDF5 file.
        InputDataError: names, types or shapes do not fit the graph.
    """
    names = set(graph.inputs())
    where = f"input {path}"
    if path.suffix == ".npz":
        arrays = load_arrays(path, groups, names)
        yield SampleSource(where, {name: [arrays[name]] for name in arrays}, graph, limit)
        return
    opened = ExitStack()
    file = opened.enter_context(open_checked(path, MAX_FILE_BYTES))
    try:
        containers = [_container(file, group, where) for group in groups or [""]]
        parts = {name: [_dataset(container, name, where) for container in containers] for name in sorted(names)}
        yield SampleSource(where, parts, graph, limit)
    finally:
        opened.close()  # by hand: what fails while the file is open is no fault of the file


def _container(file: Any, group: str, where: str) -> Any:
    found = file.get(group) if group else file
    if not isinstance(found, h5py.Group):
        raise InputDataError(f"{where}: no group '{group}', allowed are {', '.join(sorted(file))}")
    return found


def _dataset(container: Any, name: str, where: str) -> Any:
    found = container.get(name)
    if not isinstance(found, h5py.Dataset):
        present = sorted(key for key, held in container.items() if isinstance(held, h5py.Dataset))
        raise InputDataError(
            f"{where}: no array '{name}' in {container.name}, there are {', '.join(present) or 'none'}"
        )
    return found
