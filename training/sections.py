"""The sections of a training configuration file, `configs/demo.toml` for one."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from hardware_profiles.config import from_mapping, read_toml
from hardware_profiles.errors import ConfigError

T = TypeVar("T")

SECTIONS = ("benchmark", "preparation", "model", "training")


def read_section(path: Path, name: str, cls: type[T]) -> T:
    """Read one section of a configuration file as the frozen dataclass `cls`.

    Other sections are left to the commands that they belong to, but their names are checked.

    Raises:
        ConfigError: no such file or section, an unknown section, or an unknown key or bad value in this one.
    """
    values = read_toml(path)
    for section in values:
        if section not in SECTIONS:
            raise ConfigError(f"config {path}: unknown section '{section}'; allowed are {', '.join(SECTIONS)}")
    if name not in values:
        raise ConfigError(f"config {path}: section [{name}] is missing; add it, see configs/demo.toml")
    return from_mapping(cls, values[name], f"{path} [{name}]")
