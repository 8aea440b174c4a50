"""Section [data] of a configuration that trains on feature files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from hardware_profiles.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AvgzslConfig:
    """Which feature files are read, and how they become spikes and context vectors.

    Attributes:
        kind: tells this section from other data sets' sections.
        root: folder that holds the data set's folder.
        name: the data set's folder: `UCF`, `ActivityNet`, `VGGSound`, or another one in their layout.
        features: folder below `features/`, e.g. `main_features` (SeLaVi), `cls_features` (C3D, VGGish).
        split: folder below `class-split/`.
        text_files: npy files below `features/<features>/text/` whose vectors are concatenated per class, e.g. CLIP and
            CLAP; empty: the one `word_embeddings_*_normed.npy`.
        legacy_order: give classes the word vectors that published code gives them (a neighbour's, for many classes).
        num_steps: T, time steps of the surrogate events, and of the context vectors of files that are not averaged.
        dt_s: seconds that one step stands for; the files do not say.
        contrast_on: rise of a feature that makes an ON event, in standard deviations of the modality, 0.01..100.
        contrast_off: fall that makes an OFF event.
        start: level that every clip starts at: `zero`, or each feature's mean over the training clips.
        train_trim: most vectors of a training clip that is not averaged; a seeded random window is kept.
        test_trim: most vectors of any other clip; the middle is kept.
        seed: of the random windows.
    """

    kind: Literal["avgzsl"] = "avgzsl"
    root: str
    name: str
    features: str
    split: str = "main_split"
    text_files: tuple[str, ...] = ()
    legacy_order: bool = False
    num_steps: int = 10
    dt_s: float = 0.1
    contrast_on: float = 0.25
    contrast_off: float = 0.25
    start: Literal["zero", "training_mean"] = "zero"
    train_trim: int = 60
    test_trim: int = 300
    seed: int = 42

    def __post_init__(self) -> None:
        for field in ("name", "features", "split"):
            _check_folder(field, getattr(self, field))
        for text_file in self.text_files:
            _check_folder("text_files", text_file)
        for field in ("contrast_on", "contrast_off"):
            if not 0.01 <= getattr(self, field) <= 100:
                raise ConfigError(f"{field} is {getattr(self, field)}, allowed are 0.01..100")
        for field, high in (("num_steps", 256), ("train_trim", 10_000), ("test_trim", 10_000)):
            if not 1 <= getattr(self, field) <= high:
                raise ConfigError(f"{field} is {getattr(self, field)}, allowed are 1..{high}")
        if not 0 < self.dt_s <= 3600:
            raise ConfigError(f"dt_s is {self.dt_s}, allowed are seconds above 0, up to 3600")


def _check_folder(field: str, name: str) -> None:
    if not name or name.startswith(".") or "\\" in name or PurePosixPath(name).parts != (name,) or name == "/":
        raise ConfigError(f"{field} is '{name}', allowed is the plain name of a file or folder")
