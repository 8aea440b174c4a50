"""The source files behind a factory, so that an export made from other code is not taken for current."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from hardware_profiles.artifact import PACKAGES

MAX_FILES = 1000


def source_files(factory: str) -> dict[str, Path]:
    """Return the user's own modules behind `module:function`, found without running any of them.

    Imports are followed within the folder that the module was found in; installed packages and this project's, whose
    hash every manifest holds anyway, are left out. A module that cannot be found is reported when it is imported.
    """
    name = factory.partition(":")[0]
    for root in ("", *sys.path):
        if name and name.split(".")[0] not in PACKAGES and _file(Path(root), name) is not None:
            return _follow(Path(root), name)
    return {}


def _follow(root: Path, first: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = [first]
    while waiting and len(found) < MAX_FILES:
        name = waiting.pop()
        path = _file(root, name)
        if path is None or f"module {name}" in found or name.split(".")[0] in PACKAGES:
            continue
        found[f"module {name}"] = path
        waiting += _imports(path, name if path.name == "__init__.py" else name.rpartition(".")[0])
        waiting += [parent for parent in [name.rpartition(".")[0]] if parent]
    return found


def _file(root: Path, name: str) -> Path | None:
    """Return a module's file below a folder, or None."""
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    base = root.joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _imports(path: Path, package: str) -> Iterator[str]:
    """Yield the modules that a file may import, absolute; names that are no modules are not found later."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
