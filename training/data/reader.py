"""Section [data]: which reader opens the data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .prepared import open_prepared
from .source import ZeroShotData


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the data set is.

    Attributes:
        kind: `prepared`: what `python -m training prepare` wrote.
        folder: its folder, as seen from where the command runs.
    """

    kind: Literal["prepared"]
    folder: str


def open_data(config: DataConfig) -> ZeroShotData:
    """Open the data set that [data] names; the one place where `kind` chooses a reader.

    Raises:
        TrainingError: it is missing, damaged, or not what `kind` says.
    """
    return open_prepared(Path(config.folder))
