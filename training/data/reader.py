"""Section [data] chooses the reader."""

from __future__ import annotations

from pathlib import Path

from .avgzsl.open import open_avgzsl
from .prepared import open_prepared
from .section import DataConfig, PreparedConfig
from .source import ZeroShotData


def open_data(config: DataConfig) -> ZeroShotData:
    """Open the data set that [data] names; the one place where `kind` chooses a reader.

    Raises:
        TrainingError: it is missing, damaged, or not what `kind` says.
    """
    if isinstance(config, PreparedConfig):
        return open_prepared(Path(config.folder))
    return open_avgzsl(config)
