"""Folders that a stage hands to the next: whole or absent, and telling what they were made from.

Every stage writes into a temporary sibling folder that is renamed at the end, with a `manifest.json`
holding the stage, version, commit, configuration and the hash of every input. A stage whose manifest
key is unchanged need not run again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import ArtifactError
from .interrupts import raise_if_interrupted

VERSION = "0.1.0"
MANIFEST = "manifest.json"
PACKAGES = ("hardware_profiles", "export", "lava_runtime", "training")
MAX_JSON_BYTES = 200_000_000
ROOT = Path(__file__).resolve().parent.parent


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's manifest (which names all that it was made from)."""
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; run the stage that writes it first")
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def source_sha256() -> str:
    """Return one hash over the source of all packages, so that changed code makes artefacts stale."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in {".py", ".toml", ".j2", ".css"}:
                digest.update(str(path.relative_to(ROOT)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the git commit of the source tree, with `+changes` when dirty, or `unknown`."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def machine() -> str:
    """Describe the machine in words: processor, cores, operating system."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def provenance(stage: str, config: Mapping[str, Any], inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Return the manifest of a stage: what it is, and the hash of everything that it depends on."""
    key = {
        "stage": stage,
        "config": dict(config),
        "inputs_sha256": {name: file_sha256(Path(path)) for name, path in sorted(inputs.items())},
        "source_sha256": source_sha256(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return {
        **key,
        "key": digest,
        "version": VERSION,
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
    }


def is_current(out: Path, manifest: Mapping[str, Any]) -> bool:
    """Tell whether `out` already holds the result that `manifest` describes."""
    return bool(read_manifest(out).get("key") == manifest["key"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder that a stage wrote; empty if there is none or it is not one of ours."""
    try:
        values = read_json(folder / MANIFEST)
    except ArtifactError:
        return {}
    return values if isinstance(values, dict) and {"stage", "key", "source_sha256"} <= values.keys() else {}


def check_replaceable(out: Path) -> None:
    """Refuse to replace what Axonport did not write; long work asks before it starts.

    Raises:
        ArtifactError: `out` exists and was not written by Axonport, so replacing it could lose data.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not read_manifest(out):
        raise ArtifactError(f"--out {out}: exists and holds no {MANIFEST} of Axonport; name a new or an empty folder")


@contextlib.contextmanager
def atomic_folder(out: Path, manifest: Mapping[str, Any], work: Path | None = None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `out` only if the block succeeds.

    Args:
        out: the folder.
        manifest: what is written beside its content, see `provenance`.
        work: the temporary folder; what a killed run left there is removed. A new one beside `out` by default.

    Raises:
        ArtifactError: `out` is not to be replaced, see `check_replaceable`, or cannot be created.
    """
    out = out.resolve()  # `.` has no name, and a link stays a link
    check_replaceable(out)
    if work is None:
        work = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:  # from before it exists: Ctrl-C may come right after
        shutil.rmtree(work, ignore_errors=True)
        _make_folder(work, out)
        yield work
        raise_if_interrupted()
        write_json(work / MANIFEST, manifest)
        _put_in_place(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _make_folder(work: Path, out: Path) -> None:
    try:
        work.mkdir(parents=True)
    except OSError as error:
        raise ArtifactError(f"--out {out}: cannot be created ({error.strerror}); name another folder") from error


def _put_in_place(work: Path, out: Path) -> None:
    """Rename `work` to `out`; what was there goes only when that is done, and comes back if it is not."""
    old = out.with_name(f".{out.name}.old-{os.getpid()}")
    try:
        if out.exists():
            out.rename(old)
        work.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` that is renamed to it only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield work
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically; NaN and infinities are refused."""
    text = json.dumps(value, indent=1, sort_keys=False, allow_nan=False)
    with atomic_file(path) as work:
        work.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage wrote.

    Raises:
        ArtifactError: missing, too large, or not JSON.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; run the stage that writes it first")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ArtifactError(f"{path}: {path.stat().st_size} bytes; at most {MAX_JSON_BYTES} are read")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also: bad UTF-8, integers of thousands of digits, deep nesting
        raise ArtifactError(f"{path}: not valid JSON ({error}); run the stage that writes it again") from error
