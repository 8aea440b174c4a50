"""Section [data] of a configuration file: which data set, and which reader opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hardware_profiles.config import read_section, read_toml
from hardware_profiles.errors import ConfigError

from .avgzsl.config import AvgzslConfig
from .avgzsl.layout import Layout


@dataclass(frozen=True, kw_only=True)
class PreparedConfig:
    """A data set that `python -m training prepare` wrote.

    Attributes:
        kind: tells this section from other data sets' sections.
        folder: its folder, as seen from where the command runs.
    """

    kind: Literal["prepared"] = "prepared"
    folder: str


DataConfig = PreparedConfig | AvgzslConfig
KINDS: dict[str, type[PreparedConfig] | type[AvgzslConfig]] = {"prepared": PreparedConfig, "avgzsl": AvgzslConfig}


def read_data_section(path: Path) -> DataConfig:
    """Read [data]; its `kind` says what else it holds.

    Raises:
        ConfigError: no such section, unknown kind, or a wrong key in it.
    """
    section = read_toml(path).get("data")
    kind = section.get("kind") if isinstance(section, dict) else None
    if section is not None and kind not in KINDS:
        raise ConfigError(f"config {path} [data] kind: is {kind!r}, allowed are {', '.join(map(repr, KINDS))}")
    return read_section(path, "data", KINDS.get(str(kind), PreparedConfig))


def data_inputs(config: DataConfig) -> dict[str, Path]:
    """Return the files whose hashes say which data it is, by name."""
    if isinstance(config, PreparedConfig):
        return {"data": Path(config.folder)}
    layout = Layout(Path(config.root), config.name, config.features, config.split)
    files = [
        path
        for folder in (layout.split_folder, layout.feature_folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return {str(path.relative_to(layout.set_folder)): path for path in files}
