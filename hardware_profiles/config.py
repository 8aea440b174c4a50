"""TOML files to frozen dataclasses: unknown keys, wrong types and missing keys are errors."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from .errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

SECTIONS = (
    "benchmark",
    "preparation",
    "data",
    "model",
    "training",
    "protocol",
    "ablation",
    "export",
    "simulation",
    "report",
)
"""The tables that a configuration file may hold; each stage reads its own."""

MAX_TOML_BYTES = 1_000_000
"""A hand-written config is far smaller; anything larger is a mistake or an attack."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read one TOML file.

    Raises:
        ConfigError: the file is missing, larger than 1 MB, or not TOML.
    """
    if not path.is_file():
        raise ConfigError(f"config {path}: no such file; give a TOML file, for example configs/demo.toml")
    if path.stat().st_size > MAX_TOML_BYTES:
        raise ConfigError(f"config {path}: {path.stat().st_size} bytes; at most {MAX_TOML_BYTES} are read")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also: bad UTF-8, integers of thousands of digits, deep nesting
        raise ConfigError(f"config {path}: not valid TOML ({error}); mend that line") from error


def read_section(path: Path, section: str, cls: type[T]) -> T:
    """Read one table of a configuration file as `cls`.

    Raises:
        ConfigError: unreadable file, unknown table, missing table, or a wrong key in it.
    """
    tables = read_toml(path)
    for name in tables:
        if name not in SECTIONS:
            raise ConfigError(f"config {path}: unknown table [{name}]; allowed are {', '.join(SECTIONS)}")
    if section not in tables:
        raise ConfigError(f"config {path}: table [{section}] is missing; add it, see configs/demo.toml")
    return from_mapping(cls, tables[section], f"config {path} [{section}]")


def from_mapping(cls: type[T], values: dict[str, Any], where: str) -> T:
    """Build the frozen dataclass `cls` from `values`, checking every key and type.

    Args:
        cls: a dataclass whose fields are bool, int, float, str, tuples of those, or such dataclasses.
        values: the mapping, as TOML gives it.
        where: how messages name the mapping, for example `configs/demo.toml [training]`.

    Raises:
        ConfigError: unknown key, missing key, a value of another type, or a number that is not finite.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: is {type(values).__name__}, allowed is a table of keys")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key '{key}'; allowed are {', '.join(sorted(fields))}")
    built: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            built[name] = _convert(hints[name], values[name], f"{where} {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: key '{name}' is missing; add it")
    try:
        return cls(**built)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the type `hint` asks for; ints are taken for floats, nothing else is bent."""
    if isinstance(hint, types.UnionType):  # X | None: JSON's null
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return None if value is None else _convert(options[0], value, where)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{where}: is {value!r}, allowed are {', '.join(map(repr, typing.get_args(hint)))}")
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: is {value!r}, allowed is a list")
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # TOML knows nan and inf, and integers of any size
            raise ConfigError(f"{where}: is {value}, allowed is a finite number")
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: is {value!r} ({type(value).__name__}), allowed is {hint.__name__}")
    return value


def as_mapping(config: Any) -> dict[str, Any]:
    """Turn a config dataclass back into plain TOML/JSON values (tuples become lists)."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(config).items()
    }
