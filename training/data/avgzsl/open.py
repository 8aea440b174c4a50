"""Feature files in the AVCA family's layout as the data set that training reads."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from ...errors import TrainingError
from ...published import data_sets
from ..source import TRAINED_ON, InputSizes, ZeroShotData
from .clips import FeatureClips, StageFeatures, read_stage, training_contrast
from .config import AvgzslConfig
from .counts import count_on_disk, differences
from .layout import MODALITIES, STAGE, Layout
from .splits import ClassSplits, read_splits
from .surrogate_events import Contrast
from .time_windows import Trim
from .words import read_class_vectors

(TRAIN,) = TRAINED_ON["A"]
"""The partition whose clips alone set the contrast, in both stages: test clips never do."""
SURROGATE = "events are surrogates made from features, there are no frames"


def open_avgzsl(config: AvgzslConfig) -> ZeroShotData:
    """Open a data set; partitions are read when they are asked for, once.

    Raises:
        TrainingError: anything missing, damaged or contradictory, in one line.
    """
    source = _Source(config)
    attributes = read_class_vectors(source.layout, source.splits, config.text_files, legacy_order=config.legacy_order)
    text = ", word vectors in the published code's order" if config.legacy_order else ""
    stated = source.layout.origin()
    origin = f"{stated}; " if stated else ""
    notes = "".join(f"; {line}" for line in source.findings())
    return ZeroShotData(
        title=f"{config.name}-GZSL, {config.features}, {config.split}{text}",
        origin=f"feature files {source.layout.feature_folder}; {origin}{SURROGATE}{notes}",
        names=source.names,
        attributes=attributes,
        splits=tuple(source.splits.role(name) for name in source.names),
        sizes=source.sizes(attributes.shape[1]),
        partitions=tuple(STAGE),
        load=source.load,
        published_as=(config.name, config.features) if config.name in data_sets() else None,
    )


class _Source:
    """What an open data set remembers: partitions that were read, and the training clips' contrast."""

    def __init__(self, config: AvgzslConfig) -> None:
        self.config = config
        self.layout = Layout(Path(config.root), config.name, config.features, config.split)
        self.splits: ClassSplits = read_splits(self.layout)
        self.names = self.splits.used_names
        self._clips: dict[str, FeatureClips] = {}

    def findings(self) -> tuple[str, ...]:
        """Return where files, lists and published numbers differ."""
        return differences(self.config.name, self.splits, count_on_disk(self.layout, with_pickles=False))

    def load(self, partition: str) -> FeatureClips:
        """Return a partition's clips.

        Raises:
            TrainingError: see `read_stage`; also features unlike those of the training clips.
        """
        if partition not in self._clips:
            features = self._training if partition == TRAIN else self._read(partition)
            self._check_like_training(partition, features)
            self._clips[partition] = FeatureClips(features, self._contrasts, self.config.num_steps)
        return self._clips[partition]

    def sizes(self, num_attributes: int) -> InputSizes:
        """Return the shapes of inputs, as the training clips have them."""
        audio, video = self._training.audio.shape[2], self._training.video.shape[2]
        return InputSizes(
            visual_shape=(2 * video,),
            audio_shape=(2 * audio,),
            frame_features=video,
            audio_features=audio,
            attributes=num_attributes,
            num_steps=self.config.num_steps,
            dt_s=self.config.dt_s,
        )

    @cached_property
    def _training(self) -> StageFeatures:
        return self._read(TRAIN)

    @cached_property
    def _contrasts(self) -> dict[str, Contrast]:
        return {
            modality: training_contrast(
                getattr(self._training, modality),
                self.config.start,
                on=self.config.contrast_on,
                off=self.config.contrast_off,
            )
            for modality in MODALITIES
        }

    def _read(self, partition: str) -> StageFeatures:
        """Read a partition; in files that are not averaged, windows are kept as in the field.

        A random window in training, else the middle. The field draws a new one in every epoch; here a clip keeps its
        window, so that a resumed training sees the same inputs, and validation clips keep the middle in stage B.
        """
        config = self.config
        is_training = partition == TRAIN
        trim = Trim(
            longest=config.train_trim if is_training else config.test_trim,
            num_parts=config.num_steps,
            seed=config.seed if is_training else None,
        )
        classes = {name: self.names.index(name) for name in self.splits.stages[STAGE[partition]]}
        return read_stage(self.layout, partition, classes, trim)

    def _check_like_training(self, partition: str, features: StageFeatures) -> None:
        for modality in MODALITIES:
            found, expected = getattr(features, modality).shape[2], getattr(self._training, modality).shape[2]
            if found != expected or features.is_averaged != self._training.is_averaged:
                raise TrainingError(
                    f"{self.layout.feature_folder}: {STAGE[partition]} has {modality} vectors of {found} values, the "
                    f"training clips {expected}, or only one of them is averaged; unpack the features again"
                )
