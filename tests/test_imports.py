"""Imports point one way, hardware_profiles <- export <- {training, lava_runtime}, and only lava_runtime needs Lava."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "hardware_profiles": set(),
    "export": {"hardware_profiles"},
    "training": {"export", "hardware_profiles"},
    "lava_runtime": {"export", "hardware_profiles"},
}
OURS = {*MAY_IMPORT, "tests", "benchmarks"}
EXECUTED_BY_LAVA = "lava_runtime.processes."
"""Lava's compiler executes the files beside a Process outside of their package, so they import absolutely."""
NEED_LAVA = ("lava_runtime.backend", "lava_runtime.processes", "lava_runtime.session")
"""The only modules that may need an installed Lava to be imported (docs/lava.md)."""


def violations(module: str, source: str) -> list[str]:
    """Every import in `source` that breaks a rule, in words; `module` is its dotted name, `__init__` included."""
    package = module.split(".")[0]
    composes = module.split(".")[-1] == "__main__"
    found = []
    for line, level, imported in imports(ast.parse(source)):
        target = imported.split(".")[0]
        if level:
            if level >= len(module.split(".")):
                found.append(f"{module}:{line}: relative import leaves the package")
        elif target == package:
            if not module.startswith(EXECUTED_BY_LAVA):
                found.append(f"{module}:{line}: imports {imported} absolutely from within its package")
        elif is_forbidden(package, target, composes):
            found.append(f"{module}:{line}: {package} imports {imported}")
    return found


def is_forbidden(package: str, target: str, composes: bool) -> bool:
    if target == "lava":
        return package != "lava_runtime"
    allowed = set(MAY_IMPORT) if composes else MAY_IMPORT[package]
    return target in OURS - allowed


def imports(tree: ast.Module) -> Iterator[tuple[int, int, str]]:
    """Yield (line, level, name) of every import, wherever it stands, those by a constant name included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, 0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.level, node.module or ""
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name, argument = ast.unparse(node.func), node.args[0].value
            if name.split(".")[-1] in {"import_module", "__import__"} and isinstance(argument, str):
                yield node.lineno, len(argument) - len(argument.lstrip(".")), argument.lstrip(".")


def modules(root: Path) -> dict[str, Path]:
    """Dotted name to file of every module of the four packages."""
    files = sorted(path for package in MAY_IMPORT for path in (root / package).rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in files}


def violations_of_tree(root: Path) -> list[str]:
    return [line for name, path in modules(root).items() for line in violations(name, path.read_text(encoding="utf-8"))]


def test_imports_point_one_way() -> None:
    found = modules(ROOT)
    assert {name.split(".")[0] for name in found} == set(MAY_IMPORT) and len(found) > 100
    assert violations_of_tree(ROOT) == []


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("hardware_profiles.energy", "from export.graph import Graph", "hardware_profiles imports export.graph"),
        ("hardware_profiles.report.render", "import lava_runtime.counts", "hardware_profiles imports lava_runtime"),
        ("hardware_profiles.energy", "def f():\n    import export", "hardware_profiles.energy:2"),
        ("export.graph", "from training.model.mdst import MDST", "export imports training.model.mdst"),
        ("export.graph", "import hardware_profiles, lava_runtime", "export imports lava_runtime"),
        ("export.graph", "class A:\n    def f(self):\n        from training import loop", "export.graph:3"),
        ("training.loop", "from lava_runtime.layerwise import run_processes", "training imports lava_runtime"),
        ("lava_runtime.session", "from training import loop", "lava_runtime imports training"),
        ("lava_runtime.processes.delay_line.models", "from training import loop", "lava_runtime imports training"),
        ("lava_runtime.session", "if TYPE_CHECKING:\n    import training", "lava_runtime imports training"),
        ("export.graph", "import importlib\nimportlib.import_module('training.loop')", "export imports training.loop"),
        ("export.graph", "__import__('lava')", "export imports lava"),
        ("export.graph", "from lava.proc.lif.process import LIF", "export imports lava.proc"),
        ("training.__main__", "import lava.proc", "training imports lava.proc"),
        ("export.graph", "from export.nodes import Node", "export.nodes absolutely from within its package"),
        ("lava_runtime.session", "import lava_runtime.compat", "absolutely from within its package"),
        ("export.__main__", "from export.nodes import Node", "absolutely from within its package"),
        ("export.graph", "from ..training import loop", "relative import leaves the package"),
        ("export.passes.__init__", "from ...training import loop", "relative import leaves the package"),
        ("export.__main__", "from tests.networks import mixed_network", "export imports tests.networks"),
        ("training.loop", "from benchmarks import timing", "training imports benchmarks"),
    ],
)
def test_a_violation_is_seen(module: str, source: str, message: str) -> None:
    (found,) = violations(module, source)
    assert message in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("export.graph", "import numpy\nfrom hardware_profiles.errors import AxonportError\nfrom .nodes import Node"),
        ("export.passes.quantize", "from ..nodes import Node\nfrom . import freeze_thresholds"),
        ("hardware_profiles.__main__", "def f():\n    from export.arrays import load_arrays"),
        ("lava_runtime.processes.delay_line.models", "from lava_runtime.processes.ports import PORT\nimport lava.proc"),
        ("lava_runtime.compat", "import importlib\nimportlib.import_module('lava.magma')"),
        ("export.deployment", "import importlib\nimportlib.import_module(name_from_the_user)"),
    ],
)
def test_what_is_allowed_is_not_reported(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_violation_planted_in_the_tree_is_seen(tmp_path: Path) -> None:
    for package in MAY_IMPORT:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert violations_of_tree(tmp_path) == []
    with (tmp_path / "export" / "passes" / "quantize.py").open("a", encoding="utf-8") as file:
        file.write("\nimport training\n")
    (line,) = violations_of_tree(tmp_path)
    assert line.startswith("export.passes.quantize:") and line.endswith("export imports training")


IMPORT_WITHOUT_LAVA = """
import importlib, sys
sys.modules["lava"] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
print(sorted(name for name in sys.modules if name.split(".")[0] == "lava"))
try:
    import lava_runtime.session
except Exception as error:
    print(type(error).__name__)
"""


def test_everything_else_imports_without_lava() -> None:
    """Indirectly too: in a process in which `import lava` fails."""
    names = [name.removesuffix(".__init__") for name in modules(ROOT)]
    names = [name for name in names if not name.startswith(NEED_LAVA)]
    assert {"lava_runtime.layerwise", "lava_runtime.fused.run", "lava_runtime.__main__", "training.model.mdst"} <= set(
        names
    )
    done = subprocess.run([sys.executable, "-c", IMPORT_WITHOUT_LAVA, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['lava']\nLavaRuntimeError\n"
