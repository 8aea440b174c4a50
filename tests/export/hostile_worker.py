"""Reads mutated files, one after the other, in a process of its own with little memory: `test_hostile_files` starts it.

Usage: python -m tests.export.hostile_worker KIND SEEDS_FOLDER FIRST COUNT

Prints one line per mutation: its number and "valid", "refused" or "broken: reason". A line that is missing when the
process has died names the mutation that killed it.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from export.checkpoint import load_checkpoint
from export.graph_file import load_graph
from export.nir_file import read_nir
from hardware_profiles.errors import AxonportError

MEMORY_BYTES = 1 << 30
"""Address space beyond what the imported packages take."""
SECONDS = 20
READERS: dict[str, Callable[[Path], object]] = {
    "nir": read_nir,
    "h5": load_graph,
    "pt": load_checkpoint,
    "safetensors": load_checkpoint,
}


def main(kind: str, seeds: Path, first: int, count: int) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a hang dies, whatever C code it is in
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    warnings.simplefilter("ignore")
    files = sorted(seeds.glob(f"*.{kind}"))
    target = seeds / f"mutated_{first}" / f"file.{kind}"
    target.parent.mkdir(exist_ok=True)
    for number in range(first, first + count):
        rng = random.Random(f"{kind} {number}")
        source = files[number % len(files)]
        target.write_bytes(source.read_bytes())
        mutate(kind, target, [file.read_bytes() for file in files], rng)
        signal.alarm(SECONDS)
        print(number, outcome(READERS[kind], target), flush=True)
        signal.alarm(0)


def outcome(reader: Callable[[Path], object], path: Path) -> str:
    try:
        reader(path)
    except AxonportError as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"broken: {str(error)!r}"
    except BaseException as error:
        return f"broken: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "valid"


def mutate(kind: str, path: Path, others: list[bytes], rng: random.Random) -> None:
    if rng.random() < 0.45 and kind in ("nir", "h5"):
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            mutate_hdf5(path, rng)
    elif rng.random() < 0.5 and kind == "pt":
        mutate_zip(path, rng)
    elif rng.random() < 0.6 and kind == "safetensors":
        mutate_header(path, rng)
    else:
        path.write_bytes(mutate_bytes(path.read_bytes(), others, rng))


def mutate_bytes(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    mutated, choice = bytearray(data), rng.randrange(7)
    at, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 64, 512))
    if choice <= 1:
        for _ in range(rng.randint(1, 40)):
            mutated[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif choice == 2:
        del mutated[at:]
    elif choice == 3:
        mutated[at : at + length] = bytes([rng.choice((0, 0xFF))]) * length
    elif choice == 4:
        other = rng.choice(others)
        begin = rng.randrange(len(other))
        mutated[at : at + length] = other[begin : begin + length]
    elif choice == 5:
        begin = rng.randrange(len(data))
        mutated[at:at] = data[begin : begin + length]
    else:
        mutated[at] ^= 1 << rng.randrange(8)
    return bytes(mutated)


def mutate_zip(path: Path, rng: random.Random) -> None:
    """Change a file inside a zip whose checksums fit again."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = rng.choice([entry for entry in entries if rng.random() < 0.3 or entry.endswith("data.pkl")])
    if rng.random() < 0.1:
        del entries[name]
    elif entries[name]:
        entries[name] = mutate_bytes(entries[name], [entries[name]], rng)
    compression = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)


HOSTILE_TEXT = (
    "",
    "x",
    "../x",
    "a\nb",
    "{",
    "[" * 5000,
    "9" * 5000,
    '{"a": NaN}',
    "\x00",
    "LIF",
    "NIRGraph",
    "Input",
    "é",
)
HOSTILE_NUMBERS = (0, -1, 1, 2, 3, 7, 1 << 20, 1 << 31, (1 << 63) - 1, float("nan"), float("inf"), -0.5, 1e-300, 1e300)


def mutate_header(path: Path, rng: random.Random) -> None:
    """Change safetensors' JSON header, or its length."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    entry = header[rng.choice([key for key in header if key != "__metadata__"])]
    choice = rng.randrange(6)
    if choice == 0:
        entry["shape"] = [rng.choice((0, -1, 1, 3, 1 << 40)) for _ in range(rng.randint(0, 5))]
    elif choice == 1:
        entry["dtype"] = rng.choice(("F64", "F16", "BF16", "BOOL", "I64", "U8", "F8_E4M3", "X", "C64"))
    elif choice == 2:
        entry["data_offsets"] = [rng.choice((0, -1, 8, 1 << 40)), rng.choice((0, 4, 64, 1 << 50))]
    elif choice == 3:
        header["__metadata__"] = {"config": rng.choice(HOSTILE_TEXT)}
    elif choice == 4:
        header[rng.choice(HOSTILE_TEXT)] = dict(entry)
    text = json.dumps(header).encode()
    stated = rng.choice((len(text), len(text), len(text), 0, 1 << 62, length)) if choice == 5 else len(text)
    path.write_bytes(stated.to_bytes(8, "little") + text + data[8 + length :])


def mutate_hdf5(path: Path, rng: random.Random) -> None:
    """Change an object of an HDF5 file through HDF5 itself, so that the file stays well-formed."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        if not names:
            return
        name = rng.choice(names)
        mutation = rng.choice(MUTATIONS)
        try:
            mutation(file, name, rng)
        except (OSError, ValueError, TypeError, RuntimeError, KeyError, IndexError, OverflowError, MemoryError):
            return  # what HDF5 does not let us write, no one can send


def _replace(file: h5py.File, name: str, **how: object) -> None:
    del file[name]
    file.create_dataset(name, **how)


def _values(file: h5py.File, name: str, rng: random.Random) -> None:
    dataset = file[name]
    if isinstance(dataset, h5py.Dataset) and dataset.shape:
        place = tuple(rng.randrange(length) for length in dataset.shape)
        dataset[place] = rng.choice(HOSTILE_NUMBERS if dataset.dtype.kind in "iuf" else HOSTILE_TEXT)
    elif isinstance(dataset, h5py.Dataset):
        _replace(file, name, data=rng.choice((*HOSTILE_NUMBERS, *HOSTILE_TEXT)))


def _dtype(file: h5py.File, name: str, rng: random.Random) -> None:
    kinds = [
        "i1",
        "u8",
        "f2",
        "f8",
        "c8",
        "?",
        "S3",
        "V4",
        h5py.string_dtype(),
        h5py.vlen_dtype(np.int32),
        h5py.ref_dtype,
    ]
    kinds += [np.dtype([("a", "f4"), ("b", "i4")]), h5py.enum_dtype({"A": 1})]
    shape = getattr(file[name], "shape", (3,))
    _replace(file, name, shape=shape, dtype=rng.choice(kinds))


def _shape(file: h5py.File, name: str, rng: random.Random) -> None:
    shape = rng.choice(((), (0,), (1,), (2,), (3, 3), (1, 1, 1, 1), (7, 0, 2), (2,) * 20))
    _replace(file, name, data=np.full(shape, rng.choice((0.0, 1.0, 0.5)), dtype=rng.choice(("f4", "i8"))))


def _bomb(file: h5py.File, name: str, rng: random.Random) -> None:
    shape = rng.choice(((1 << 20, 1 << 20), (1 << 33,), (1 << 28,), (60_000, 4_000)))
    kind = rng.choice(("f4", "i8", "i1", h5py.string_dtype()))
    _replace(file, name, shape=shape, dtype=kind, chunks=tuple(min(64, n) for n in shape), fillvalue=None)


def _compressed_bomb(file: h5py.File, name: str, rng: random.Random) -> None:
    _replace(file, name, data=np.zeros((rng.choice((1 << 12, 1 << 22)),)), compression="gzip", compression_opts=9)


def _links(file: h5py.File, name: str, rng: random.Random) -> None:
    choice = rng.randrange(5)
    parent = name.rpartition("/")[0] or "/"
    if choice == 0:
        file[f"{parent}/loop"] = h5py.SoftLink(rng.choice(("/", "/node", "/nothing", name)))
    elif choice == 1:
        file[f"{parent}/outside"] = h5py.ExternalLink("/etc/passwd", "/")
    elif choice == 2:
        file[f"{parent}/again"] = file[rng.choice(("/", parent))]  # a group within itself
    elif choice == 3:
        del file[name]
        file[name] = h5py.SoftLink(name)
    else:
        layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
        del file[name]
        file.create_virtual_dataset(name, layout)


def _deep(file: h5py.File, name: str, rng: random.Random) -> None:
    parent = name.rpartition("/")[0] or "/"
    file.create_group(parent + "/" + "/".join("d" * rng.choice((10, 300))))


def _delete(file: h5py.File, name: str, rng: random.Random) -> None:
    del file[name]


def _move(file: h5py.File, name: str, rng: random.Random) -> None:
    parent = name.rpartition("/")[0] or "/"
    file.move(name, f"{parent}/{rng.choice(HOSTILE_TEXT[1:]).replace('/', '_')[:50]}")


def _copy(file: h5py.File, name: str, rng: random.Random) -> None:
    names: list[str] = []
    file.visit(names.append)
    other = rng.choice(names)
    if isinstance(file[name], h5py.Dataset):
        del file[name]
        file.copy(other, name)
    else:
        file.copy(other, f"{name}/copied")


def _edges(file: h5py.File, name: str, rng: random.Random) -> None:
    where = "node/edges" if "node" in file else "edges"
    edges = file[where][()]
    row, column = rng.randrange(len(edges)), rng.randrange(edges.shape[1])
    other = rng.choice((edges[rng.randrange(len(edges)), 0], b"nothing", b"", b"x"))
    if rng.random() < 0.3:
        edges = np.concatenate([edges, edges[rng.randrange(len(edges)) :]])
    else:
        edges[row, column] = other
    _replace(file, where, data=edges, dtype=h5py.string_dtype())


def _attributes(file: h5py.File, name: str, rng: random.Random) -> None:
    item = rng.choice((file, file[name]))
    keys = list(item.attrs)
    key = rng.choice(keys) if keys else "x"
    old = item.attrs.get(key)
    if isinstance(old, str) and old.startswith("{") and rng.random() < 0.7:
        item.attrs[key] = _mutated_json(old, rng)
    elif rng.random() < 0.2 and keys:
        del item.attrs[key]
    else:
        item.attrs[key] = rng.choice((*HOSTILE_TEXT, *HOSTILE_NUMBERS, np.zeros(9), np.array([[1, 2]])))


def _notes(file: h5py.File, name: str, rng: random.Random) -> None:
    noted = [key for key in _all_names(file) if key.endswith("metadata/axonport")]
    if noted:
        key = rng.choice(noted)
        _replace(file, key, data=_mutated_json(file[key][()].decode(), rng))


def _all_names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return names


def _mutated_json(text: str, rng: random.Random) -> str:
    values = json.loads(text)
    if not values or rng.random() < 0.1:
        return rng.choice(HOSTILE_TEXT)
    key = rng.choice(list(values))
    old = values[key]
    if isinstance(old, list) and old and rng.random() < 0.7:
        old[rng.randrange(len(old))] = rng.choice((0, -1, 2, 1 << 20, 1 << 40, "x", None, [1]))
    else:
        values[key] = rng.choice(
            (0, -1, 5, 1 << 70, "x", None, [], {}, [1 << 30] * 3, 1.5, True, "Gather", "Conv", "Pool")
        )
    return json.dumps(values)


MUTATIONS: tuple[Callable[[h5py.File, str, random.Random], None], ...] = (
    _values,
    _values,
    _values,
    _dtype,
    _shape,
    _bomb,
    _compressed_bomb,
    _links,
    _deep,
    _delete,
    _move,
    _copy,
    _edges,
    _attributes,
    _notes,
)

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
