"""Which files of a user's an export depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.factory_source import source_files


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__dot__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_imports_are_followed_within_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        net="import torch\nfrom layers import a\n",
        alone="",
        layers__dot____init__="from . import b\n",
        layers__dot__a="from .c import x\n",
        layers__dot__b="import net\n",
        layers__dot__c="raise ValueError\n",
    )
    found = {name: path.as_posix() for name, path in source_files("net:make").items()}
    assert found == {
        "module net": "net.py",
        "module layers": "layers/__init__.py",
        "module layers.a": "layers/a.py",
        "module layers.b": "layers/b.py",
        "module layers.c": "layers/c.py",
    }


def test_packages_hash_themselves_and_what_is_not_there_is_left_to_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, broken="def f(:\n")
    assert source_files("training.deploy:make") == source_files("no_such:f") == source_files("") == {}
    assert source_files("../net:f") == source_files("..net:f") == {}
    assert list(source_files("broken:f")) == ["module broken"]
