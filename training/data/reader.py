"""Section [data] chooses the reader."""

from __future__ import annotations

from pathlib import Path

from ..config import DataConfig
from .prepared import open_prepared
from .source import ZeroShotData


def open_data(config: DataConfig) -> ZeroShotData:
    """Open the data set that [data] names; the one place where `kind` chooses a reader.

    Raises:
        TrainingError: it is missing, damaged, or not what `kind` says.
    """
    return open_prepared(Path(config.folder))
