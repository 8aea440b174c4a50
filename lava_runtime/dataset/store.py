"""Finished shards on disk: one file each, beside the folder that they become when all are there.

`run/` is made in `.run.partial/`: `manifest.json` (of what run the shards are), `lock`, `shard-00012.h5` …, `merged/`.
A file appears under its name only when it is whole, so a killed run leaves whole shards and nothing to repair. The
folder may be shared: whoever runs the same task with `--part` adds shards to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hardware_profiles.activity import LayerActivity
from hardware_profiles.artifact import MANIFEST, atomic_file, read_manifest, write_json
from hardware_profiles.config import from_mapping

from ..errors import LavaRuntimeError
from .compute import ShardResult
from .layout import Layout
from .shards import Shard

LOCK = "lock"
LOCK_S = 5.0
"""How long a run waits for the lock: workers of a run that was killed hold it until they have died too."""


class PartialFolder:
    """The shards of one run that are finished.

    Attributes:
        path: the folder.
    """

    def __init__(self, out: Path, manifest: Mapping[str, Any]) -> None:
        """Name the folder; nothing is touched yet.

        Args:
            out: what the shards become.
            manifest: see `artifact.provenance`.
        """
        out = out.resolve()
        self.path = out.with_name(f".{out.name}.partial")
        self._out, self._manifest = out, manifest

    @property
    def is_of_this_run(self) -> bool:
        """Tell whether shards of this very run are there; `read_manifest` is empty where nothing is."""
        return bool(read_manifest(self.path).get("key") == self._manifest["key"])

    @contextlib.contextmanager
    def opened(self, *, shared: bool) -> Iterator[bool]:
        """Hold the folder; gives whether shards of another run were thrown away.

        Args:
            shared: others may add shards at the same time; nothing is thrown away then.

        Raises:
            LavaRuntimeError: another run holds the folder, or (shared) it has shards of another run.
        """
        lock = self._locked(shared)
        try:
            is_foreign = not self.is_of_this_run and any(self.path.glob("shard-*"))
            if is_foreign and shared:
                raise LavaRuntimeError(
                    f"--out {self._out}: {self.path} holds shards of a run with other settings or inputs; finish that "
                    "run, or remove the folder"
                )
            if not shared:
                self._clear(keep_shards=not is_foreign)
            if not self.is_of_this_run:
                write_json(self.path / MANIFEST, self._manifest)
            yield is_foreign
        finally:
            if not shared and not any(self.path.glob("shard-*")):
                self.remove()
            os.close(lock)

    def _locked(self, shared: bool) -> int:
        until = time.monotonic() + LOCK_S
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                if os.stat(self.path / LOCK).st_ino == os.fstat(lock).st_ino:
                    return lock
            except (BlockingIOError, FileNotFoundError):  # somebody holds it, or has just finished and removed it
                pass
            os.close(lock)
            if time.monotonic() > until:
                raise LavaRuntimeError(
                    f"--out {self._out}: another run is at work in {self.path}; wait for it, or name another folder"
                )
            time.sleep(0.05)

    def _clear(self, *, keep_shards: bool) -> None:
        """Remove what a killed run left half-written, and shards that are of no use."""
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name.startswith(".") or (not keep_shards and entry.name != "lock"):
                entry.unlink()

    def remove(self) -> None:
        """Remove the folder and everything in it, the lock last: nobody is to hold what is left of it."""
        with contextlib.suppress(OSError):  # FileNotFoundError, or another run has just locked the empty folder
            for path in self.path.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
            (self.path / LOCK).unlink()
            self.path.rmdir()

    def shard_path(self, shard: Shard) -> Path:
        """Return where a shard's results are, or will be."""
        return self.path / f"shard-{shard.index:05}.h5"

    def holds(self, shard: Shard) -> bool:
        """Tell whether a shard is finished; a file that is damaged or of another run counts as missing."""
        try:
            with h5py.File(self.shard_path(shard), "r") as file:
                return bool(file.attrs["task"] == self._task(shard))
        except (OSError, KeyError):
            return False

    def _task(self, shard: Shard) -> str:
        return f"{self._manifest['key']} {shard.start} {shard.stop}"

    def write(self, shard: Shard, result: ShardResult, layout: Layout) -> None:
        """Write a shard's results: whole, or not at all. Runs in the worker."""
        with atomic_file(self.shard_path(shard)) as work:
            with h5py.File(work, "w") as file:
                outputs, records = file.create_group("outputs"), file.create_group("records")
                for name, counts in result.output_counts.items():
                    outputs.create_dataset(name, data=counts)
                for probe, values in result.records.items():
                    record = layout.create_record(records, probe, shard.num_samples)
                    for index in range(shard.num_samples):
                        record[index] = values[:, index]
                layers = json.dumps([dataclasses.asdict(layer) for layer in result.layers])
                file.create_dataset("layers", data=np.bytes_(layers.encode()))
                file.attrs["task"] = self._task(shard)
            with work.open("rb") as written:
                os.fsync(written.fileno())  # a power cut, too, leaves whole shards only

    @contextlib.contextmanager
    def read(self, shard: Shard) -> Iterator[Any]:
        """Open a finished shard."""
        try:
            with h5py.File(self.shard_path(shard), "r") as file:
                yield file
        except OSError as error:
            raise LavaRuntimeError(
                f"{self.shard_path(shard)}: cannot be read ({' '.join(str(error).split())}); remove it and run again"
            ) from error


def read_layers(file: Any) -> tuple[LayerActivity, ...]:
    """Return the event counts of an open shard."""
    rows = json.loads(file["layers"][()].decode())
    return tuple(from_mapping(LayerActivity, row, "layers") for row in rows)
