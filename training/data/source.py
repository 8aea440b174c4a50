"""What training reads, whatever the files look like: clips in batches, classes by role, named partitions.

The field's protocol (ExplainableML/AVCA-GZSL, README and `src/test.py`): stage A trains on `train` and is judged on
`val_seen` and `val_unseen`; stage B trains anew on the three together and is judged, once, on `test_seen` and
`test_unseen`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..errors import TrainingError

Int = npt.NDArray[np.int64]
STAGES = ("A", "B")
TRAINED_ON = {"A": ("train",), "B": ("train", "val_seen", "val_unseen")}
"""Partitions whose clips a stage learns from."""
JUDGED_ON = {"A": ("val_seen", "val_unseen"), "B": ("test_seen", "test_unseen")}
"""Partitions (seen, unseen) that a stage is judged on."""
SEEN = {"A": ("seen",), "B": ("seen", "val_unseen")}
UNSEEN = {"A": ("val_unseen",), "B": ("test_unseen",)}


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """Shapes of a clip's inputs, and of the class vectors, as the data set has them.

    Attributes:
        visual_shape: of one step's visual events: (polarity, row, column), or (channels,) where there is no place.
        audio_shape: of one step's audio events: (polarity, band), or (channels,).
        frame_features: values per frame feature.
        audio_features: values per audio feature.
        attributes: values per class vector (attributes or word vector).
        num_steps: T, time steps of the events.
        dt_s: seconds per time step.
    """

    visual_shape: tuple[int, ...]
    audio_shape: tuple[int, ...]
    frame_features: int
    audio_features: int
    attributes: int
    num_steps: int
    dt_s: float


class Batch(NamedTuple):
    """Inputs of B clips, float32.

    Attributes:
        visual_events: `[B, T, n]`, 0 or 1, the flattened `visual_shape`.
        audio_events: `[B, T, n]`, 0 or 1.
        frame_features: `[B, K, n]`; K = T, or as many vectors as the files hold (1 where they are averaged).
        audio_features: `[B, K, n]`.
    """

    visual_events: torch.Tensor
    audio_events: torch.Tensor
    frame_features: torch.Tensor
    audio_features: torch.Tensor


class Clips(Protocol):
    """The clips of one partition."""

    @property
    def label(self) -> Int:
        """Class index of every clip, `[N]`."""

    def batch(self, index: Int) -> Batch:
        """Return the clips at these places."""


class JoinedClips:
    """Partitions after each other."""

    def __init__(self, parts: Sequence[Clips]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part.label) for part in self._parts])
        self.label: Int = np.concatenate([part.label for part in self._parts])

    def batch(self, index: Int) -> Batch:
        """Return the clips at these places, in this order."""
        place = np.searchsorted(self._ends, index, side="right")
        pieces, order = [], []
        for number, part in enumerate(self._parts):
            here = np.flatnonzero(place == number)
            if len(here):
                start = int(self._ends[number]) - len(part.label)
                pieces.append(part.batch(index[here] - start))
                order.append(here)
        back = torch.from_numpy(np.argsort(np.concatenate(order), kind="stable"))
        return Batch(*(torch.cat(field)[back] for field in zip(*pieces, strict=True)))


class ClassRoles(NamedTuple):
    """Candidate classes of one stage: indices, sorted."""

    seen: Int
    unseen: Int


@dataclass(frozen=True, eq=False, kw_only=True)
class ZeroShotData:
    """A data set under the field's protocol.

    Attributes:
        title: e.g. `UCF-GZSL, main features`.
        origin: where the clips come from, one line that is printed beside every number.
        names: C class names.
        attributes: class vectors, float32 `[C, A]`.
        splits: per class `seen`, `val_unseen` or `test_unseen`.
        sizes: shapes of inputs.
        partitions: names of the partitions there are.
        load: name → clips.
        published_as: (data set, features) under which others' numbers are known (`published.toml`); None if there are
            none that may stand beside ours.
    """

    title: str
    origin: str
    names: tuple[str, ...]
    attributes: npt.NDArray[np.float32]
    splits: tuple[str, ...]
    sizes: InputSizes
    partitions: tuple[str, ...]
    load: Callable[[str], Clips]
    published_as: tuple[str, str] | None = None

    def roles(self, stage: str) -> ClassRoles:
        """Return which classes are seen and unseen in stage A or B.

        Raises:
            TrainingError: fewer than two seen classes, or no unseen one.
        """
        split = np.asarray(self.splits)
        roles = ClassRoles(
            seen=np.flatnonzero(np.isin(split, SEEN[stage])), unseen=np.flatnonzero(np.isin(split, UNSEEN[stage]))
        )
        if len(roles.seen) < 2 or not len(roles.unseen):
            raise TrainingError(
                f"{self.title}: {len(roles.seen)} seen and {len(roles.unseen)} unseen classes in stage {stage}; at "
                "least 2 and 1 are needed"
            )
        return roles

    def training_clips(self, stage: str) -> Clips:
        """Return the clips that a stage learns from."""
        return JoinedClips([self.load(name) for name in TRAINED_ON[stage]])
