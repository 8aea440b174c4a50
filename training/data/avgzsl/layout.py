"""Where everything lies in the layout of the AVCA family, and which names are accepted from its files.

```
<root>/<name>/
  class-split/all_class.txt                       every original class name, one a line
  class-split/*_class_names.csv                   columns original, manual[, clip_class_name][, category]
  class-split/<split>/<stage>.txt, .csv           class names; clips, one a row, with a column label
  features/<features>/{audio,video}/<stage>/<ClassName>.h5     averaged: data [n, d], video_urls [n]
  features/<features>/{audio,video}/<stage>/<ClassName>.pkl    not averaged: features, video_names, fps
  features/<features>/text/word_embeddings_*_normed.npy        0-d object array: dict class name -> vector
```

As in ExplainableML/AVCA-GZSL (README, `src/dataset.py`); the pickles as in TCAF-GZSL and ClipClap-GZSL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import TrainingError
from ..classes import check_origin

MODALITIES = ("audio", "video")
STAGE = {
    "train": "stage_1_train",
    "val_seen": "stage_1_val_seen",
    "val_unseen": "stage_1_val_unseen",
    "test_seen": "stage_2_test_seen",
    "test_unseen": "stage_2_test_unseen",
}
"""Partition → its stage's name on disk."""
ORIGIN_FILE = "origin.txt"
"""Our own addition to the layout: one line that says where the clips come from."""
MAX_ORIGIN_BYTES = 4096
UNION = "stage_2_train"
"""Clips of `train`, `val_seen` and `val_unseen` again; stage B is trained on those three."""
SUFFIXES = (".h5", ".pkl")
MAX_NAME_BYTES = 200
MAX_FILES = 20_000


@dataclass(frozen=True)
class Layout:
    """Folders of one data set.

    Attributes:
        root: folder that holds the data set's folder.
        name: the data set's folder.
        features: kind of features.
        split: kind of class split.
    """

    root: Path
    name: str
    features: str
    split: str

    def __post_init__(self) -> None:
        for folder in (self.set_folder, self.split_folder, self.feature_folder):
            if not folder.is_dir():
                raise TrainingError(f"data {folder}: no such folder; unpack the data set there, see docs/data.md")

    @property
    def set_folder(self) -> Path:
        """The data set's folder."""
        return self.root / self.name

    @property
    def split_folder(self) -> Path:
        """Folder of the stages' lists."""
        return self.set_folder / "class-split" / self.split

    @property
    def feature_folder(self) -> Path:
        """Folder of `audio`, `video` and `text`."""
        return self.set_folder / "features" / self.features

    def origin(self) -> str:
        """Return where the clips come from; empty if nothing says so, as in the field's own data.

        Raises:
            TrainingError: it is no short line.
        """
        path = self.set_folder / ORIGIN_FILE
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
            text = stream.read(MAX_ORIGIN_BYTES).decode("utf-8", errors="replace")
        try:
            return check_origin(text.strip())
        except TrainingError as error:
            raise TrainingError(f"{path}: {error}") from error

    def class_names_files(self) -> list[Path]:
        """Return the csv files that map original to manual names; ClipClap's data may have two."""
        folder = self.set_folder / "class-split"
        found = sorted(folder.glob("*_class_names.csv"))
        if not found:
            raise TrainingError(f"{folder}: no *_class_names.csv; unpack the data set's class-split folder there")
        return found

    def word_vector_file(self) -> Path:
        """Return the one npy file of word vectors.

        Raises:
            TrainingError: none or several.
        """
        folder = self.feature_folder / "text"
        found = sorted(folder.glob("word_embeddings_*_normed.npy"))
        if len(found) != 1:
            raise TrainingError(
                f"{folder}: {len(found)} files word_embeddings_*_normed.npy, allowed is one; put it there, or name the "
                "file in text_files"
            )
        return found[0]

    def class_files(self, modality: str, stage: str) -> Mapping[str, Path]:
        """Return the feature files of a stage by class name in lower case; empty if the stage has no folder.

        Raises:
            TrainingError: an unusable name, a link that leads elsewhere, or two files of one class.
        """
        folder = self.feature_folder / modality / stage
        if not folder.is_dir():
            return {}
        inside = folder.resolve()
        files: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix not in SUFFIXES:
                continue
            name = checked_name(path.stem, str(folder)).lower()
            if name in files or len(files) >= MAX_FILES:
                raise TrainingError(f"{path}: a second file of '{name}', or more than {MAX_FILES}; remove one")
            if path.resolve().parent != inside or not path.is_file():
                raise TrainingError(f"{path}: no plain file of this folder; replace it by the file itself")
            files[name] = path
        return files


def checked_name(name: str, where: str) -> str:
    """Return a class name that can be a file's name in a folder, and only there.

    Raises:
        TrainingError: empty, too long, leading out of the folder, or with characters that are not printed.
    """
    bad = not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable()
    if bad or len(name.encode()) > MAX_NAME_BYTES:
        raise TrainingError(
            f"{where}: class name {name[:40]!r}, allowed are printed characters without / and \\, no leading dot, at "
            f"most {MAX_NAME_BYTES} bytes; correct that line or file name"
        )
    return name
