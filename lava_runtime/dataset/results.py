"""Reads what was recorded of a data set, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from export.hdf5_guard import open_checked
from export.trace import Array

from ..errors import LavaRuntimeError
from .merge import RECORDS_FILE, RECORDS_FORMAT
from .source import MAX_CHUNK_BYTES, MAX_FILE_BYTES


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerRecord:
    """What was recorded of one layer in one sample.

    Attributes:
        name: the layer.
        s: spikes, uint8 [T, n].
        v: membranes, [T, n].
        threshold: what membranes are compared with, in units of v: [n], or [T, 1] where it moves and was recorded.
    """

    name: str
    s: Array | None
    v: Array | None
    threshold: Array | None


class Records:
    """An open `records.h5`.

    Attributes:
        layers: names of the layers of which something was recorded.
        dt_s: duration of a time step in seconds.
        world: how it ran, in words.
    """

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path
        if bytes(file.attrs.get("format", b"")).decode(errors="replace") != RECORDS_FORMAT:
            raise LavaRuntimeError(
                f"{path}: is not of format '{RECORDS_FORMAT}'; run python -m lava_runtime with --record"
            )
        self.dt_s = float(file.attrs["dt_s"])
        self.world = bytes(file.attrs["world"]).decode(errors="replace")
        self.layers = tuple(name for name, group in file.items() if isinstance(group, h5py.Group))

    def read(self, layer: str, sample: int) -> LayerRecord:
        """Read one layer of one sample.

        Raises:
            LavaRuntimeError: no such layer or sample, or damaged records.
        """
        if layer not in self.layers:
            raise LavaRuntimeError(f"layer '{layer}': was not recorded, there are {', '.join(self.layers)}")
        theta = self._sample(layer, "theta", sample)
        threshold = self._file[layer].get("threshold")
        if theta is not None:
            theta = theta[:, None] * float(self._file[layer]["theta"].attrs["unit_of_v"])
        return LayerRecord(
            name=layer,
            s=self._sample(layer, "s", sample),
            v=self._sample(layer, "v", sample),
            threshold=theta if threshold is None else np.asarray(threshold[()]),
        )

    def _sample(self, layer: str, variable: str, sample: int) -> Array | None:
        record = self._file[layer].get(variable)
        if record is None:
            return None
        if record.ndim != (2 if variable == "theta" else 3) or int(np.prod(record.shape[1:])) * 8 > MAX_CHUNK_BYTES:
            raise LavaRuntimeError(f"{self._path}: {layer}/{variable} has shape {record.shape}; run it again")
        if not 0 <= sample < len(record):
            raise LavaRuntimeError(f"sample {sample}: allowed are 0 to {len(record) - 1}")
        return np.asarray(record[sample])


@contextmanager
def open_records(folder: Path) -> Iterator[Records]:
    """Open the records of a folder that `python -m lava_runtime` wrote.

    Raises:
        NirFileError: a damaged or hostile file.
        LavaRuntimeError: nothing was recorded, or the file is foreign.
    """
    path = folder / RECORDS_FILE
    if not path.is_file():
        raise LavaRuntimeError(
            f"{folder}: holds no {RECORDS_FILE}; run python -m lava_runtime with --record, as in l1.s,l1.v"
        )
    opened = ExitStack()
    file = opened.enter_context(open_checked(path, MAX_FILE_BYTES))
    try:
        yield Records(file, path)
    finally:
        opened.close()  # by hand: what fails while the file is open is no fault of the file
