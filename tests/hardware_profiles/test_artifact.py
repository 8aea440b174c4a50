"""Folders and files are whole or absent, whatever happens, and know what they were made from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hardware_profiles import artifact
from hardware_profiles.artifact import (
    MANIFEST,
    atomic_file,
    atomic_folder,
    check_replaceable,
    file_sha256,
    is_current,
    provenance,
    read_json,
    write_json,
)
from hardware_profiles.errors import ArtifactError

ROOT = Path(__file__).resolve().parents[2]
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def manifest(**config: Any) -> dict[str, Any]:
    return provenance("toy", config, {})


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that an earlier run wrote."""
    with atomic_folder(tmp_path / "out", manifest(run=1)) as work:
        (work / "result.txt").write_text("one")
    return tmp_path / "out"


def test_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == SHA256_OF_ABC


def test_hash_of_a_folder_is_that_of_its_manifest(out: Path) -> None:
    assert file_sha256(out) == file_sha256(out / MANIFEST)


@pytest.mark.parametrize("name", ["none", "folder"])
def test_a_missing_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArtifactError, match="no such file; run the stage that writes it first"):
        provenance("toy", {}, {"input": tmp_path / name})


def test_the_key_follows_stage_configuration_and_inputs(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"abc")
    second.write_bytes(b"abd")
    manifests = [
        provenance("toy", {"a": 1, "b": 2}, {"x": first}),
        provenance("other", {"a": 1, "b": 2}, {"x": first}),
        provenance("toy", {"a": 1, "b": 3}, {"x": first}),
        provenance("toy", {"a": 1}, {"x": first}),
        provenance("toy", {"a": 1, "b": 2}, {"x": second}),
        provenance("toy", {"a": 1, "b": 2}, {"y": first}),
        provenance("toy", {"a": 1, "b": 2}, {"x": first, "y": first}),
    ]
    assert len({entry["key"] for entry in manifests}) == len(manifests)
    assert manifests[0]["inputs_sha256"] == {"x": SHA256_OF_ABC}


def test_the_key_does_not_follow_names_of_places_or_order(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).write_bytes(b"abc")
    here, there = tmp_path / "here", tmp_path / "there"
    left = provenance("toy", {"a": 1, "b": 2}, {"x": here, "y": here})
    assert left["key"] == provenance("toy", {"b": 2, "a": 1}, {"y": there, "x": there})["key"]


def test_the_key_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in artifact.PACKAGES:
        (tmp_path / package).mkdir()
    source = tmp_path / "export" / "a.py"
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    hashes = []
    changes = [("a.py", "x = 1"), ("a.py", "x = 2"), ("b.py", "x = 2"), ("b.toml", ""), ("b.toml", "y = 1")]
    for name, text in changes:
        source.with_name(name).write_text(text)
        hashes.append(artifact.source_sha256.__wrapped__())
    assert len(set(hashes)) == len(changes)
    source.with_name("notes.txt").write_text("no source")
    assert artifact.source_sha256.__wrapped__() == hashes[-1]
    keys = set()
    for digest in hashes[:2]:
        monkeypatch.setattr(artifact, "source_sha256", lambda digest=digest: digest)
        keys.add(manifest()["key"])
    assert len(keys) == 2


def test_a_tree_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert artifact.commit.__wrapped__() == "unknown"


def test_a_changed_tree_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    (tmp_path / "a").write_text("1")
    for arguments in (["init", "-q"], ["add", "a"], [*author, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    clean = artifact.commit.__wrapped__()
    assert len(clean) == 12 and set(clean) <= set("0123456789abcdef")
    (tmp_path / "a").write_text("2")
    assert artifact.commit.__wrapped__() == clean + "+changes"


def test_only_the_same_key_is_current(out: Path) -> None:
    assert is_current(out, manifest(run=1))
    assert not is_current(out, manifest(run=2))
    assert not is_current(out.with_name("none"), manifest(run=1))


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"key": null}', '{"name": "a web page\'s manifest"}'])
def test_a_damaged_manifest_is_not_current(out: Path, text: str) -> None:
    (out / MANIFEST).write_text(text)
    assert not is_current(out, manifest(run=1))


def test_a_new_folder_appears_at_the_end_with_its_manifest(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with atomic_folder(out, manifest(run=1)) as work:
        (work / "sub").mkdir()
        (work / "sub" / "a").write_text("1")
        assert not out.exists() and work.parent == out.parent
    assert contents(out) == [MANIFEST, "sub", "sub/a"]
    assert read_json(out / MANIFEST) == manifest(run=1)
    assert contents(tmp_path / "deep") == ["out", f"out/{MANIFEST}", "out/sub", "out/sub/a"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_its_own_folder_is_replaced_as_a_whole(out: Path) -> None:
    with atomic_folder(out, manifest(run=2)) as work:
        (work / "other.txt").write_text("two")
    assert contents(out.parent) == ["out", f"out/{MANIFEST}", "out/other.txt"]
    assert is_current(out, manifest(run=2))


def test_what_a_killed_run_left_in_a_named_work_folder_is_removed(out: Path) -> None:
    named = out.with_name("work")
    named.mkdir()
    (named / "half.txt").write_text("ha")
    with atomic_folder(out, manifest(run=2), named) as work:
        assert work == named and contents(work) == []
        (work / "other.txt").write_text("two")
    assert contents(out.parent) == ["out", f"out/{MANIFEST}", "out/other.txt"]


def test_what_may_be_replaced_is_known_before_the_work(out: Path, tmp_path: Path) -> None:
    check_replaceable(out)
    check_replaceable(tmp_path / "new")
    (tmp_path / "own").mkdir()
    check_replaceable(tmp_path / "own")
    (tmp_path / "own" / "photo.jpg").touch()
    with pytest.raises(ArtifactError, match="name a new or an empty folder"):
        check_replaceable(tmp_path / "own")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out", manifest(run=1)):
        pass
    assert contents(tmp_path) == ["out", f"out/{MANIFEST}"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_failure_leaves_the_old_folder_and_nothing_else(out: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), atomic_folder(out, manifest(run=2)) as work:
        (work / "half.txt").write_text("ha")
        raise error
    assert contents(out.parent) == ["out", f"out/{MANIFEST}", "out/result.txt"]
    assert (out / "result.txt").read_text() == "one" and is_current(out, manifest(run=1))


def test_failure_to_write_the_manifest_is_a_failure(out: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"), atomic_folder(out, {"score": float("nan")}):
        pass
    assert is_current(out, manifest(run=1)) and contents(out.parent) == ["out", f"out/{MANIFEST}", "out/result.txt"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def interrupted(source: Path, target: Path) -> Path:
        if target == out and ".old-" not in source.name:
            raise KeyboardInterrupt
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(out, manifest(run=2)):
        pass
    assert contents(out.parent) == ["out", f"out/{MANIFEST}", "out/result.txt"]


@pytest.mark.parametrize("name", ["photo.jpg", MANIFEST])
def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"name": "dear to someone"}')
    with (
        pytest.raises(ArtifactError, match=r"exists and holds no manifest.json of Axonport; name a new or an empty"),
        atomic_folder(tmp_path / "out", manifest()),
    ):
        raise AssertionError("the block must not run")
    assert contents(tmp_path) == ["out", f"out/{name}"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("dear to someone")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(ArtifactError, match="--out .*out.*; name a"), atomic_folder(out, manifest()):
            raise AssertionError("the block must not run")
    assert contents(tmp_path) == ["out"] and (tmp_path / "out").read_text() == "dear to someone"


def test_the_folder_one_stands_in_can_be_written(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out)
    with atomic_folder(Path("."), manifest(run=2)):
        pass
    assert is_current(out, manifest(run=2)) and contents(out.parent) == ["out", f"out/{MANIFEST}"]


def test_a_link_stays_a_link(out: Path) -> None:
    link = out.with_name("link")
    link.symlink_to(out, target_is_directory=True)
    with atomic_folder(link, manifest(run=2)):
        pass
    assert link.is_symlink() and is_current(out, manifest(run=2)) and is_current(link, manifest(run=2))


WRITE_FOR_EVER = """
import sys, time
from pathlib import Path
from hardware_profiles.artifact import atomic_file, atomic_folder
if sys.argv[1] == "folder":
    with atomic_folder(Path("out"), {"stage": "toy"}) as work:
        (work / "result.txt").write_text("tw")
        print("inside", flush=True)
        time.sleep(60)
with atomic_file(Path("out/result.txt")) as work:
    work.write_text("tw")
    print("inside", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("what", ["folder", "file"])
def test_kill_in_the_middle_of_writing_leaves_what_was_there(out: Path, what: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, what],
        cwd=out.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None and child.stdout.readline() == "inside\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert (out / "result.txt").read_text() == "one" and is_current(out, manifest(run=1))
    with atomic_folder(out, manifest(run=2)) as work:  # and what the killed run left behind is in nobody's way
        (work / "result.txt").write_text("two")
    assert contents(out) == [MANIFEST, "result.txt"] and (out / "result.txt").read_text() == "two"


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.nir"
    with atomic_file(path) as work:
        work.write_text("whole")
        assert not path.exists() and work.suffix == ".nir"  # writers that go by the suffix are content
    assert contents(tmp_path) == ["deep", "deep/a.nir"] and path.read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_file(path) as work:
        work.write_text("ha")
        raise error
    assert contents(tmp_path) == ["a"] and path.read_text() == "old"


def test_round_trip(tmp_path: Path) -> None:
    value = {"β": [1, 2.5, None, True], "nested": {"text": "line\nbreak", "big": 2**70}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, {1, 2}])
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises((ValueError, TypeError), match="JSON"):
        write_json(tmp_path / "a.json", value)
    assert contents(tmp_path) == ["a.json"] and read_json(tmp_path / "a.json") == {"old": 1}


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="none.json: no such file; run the stage that writes it first"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content",
    [b"", b'{"a": 1', b"\xff\xfe", b"[" * 100_000, b"9" * 5_000],
    ids=["empty", "cut off", "not UTF-8", "nested without end", "an integer of 5000 digits"],
)
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="a.json: not valid JSON .*; run the stage that writes it again"):
        read_json(tmp_path / "a.json")


def test_the_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "MAX_JSON_BYTES", 10)
    (tmp_path / "a.json").write_text(" " * 9 + "1")
    assert read_json(tmp_path / "a.json") == 1
    (tmp_path / "a.json").write_text(" " * 10 + "1")
    with pytest.raises(ArtifactError, match="11 bytes; at most 10 are read"):
        read_json(tmp_path / "a.json")
