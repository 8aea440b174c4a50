"""Which clips each step takes: a function of seed, stage, epoch and step, so a resumed run takes the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .config import TrainingConfig
from .data.source import Batch, Clips, Int
from .errors import TrainingError

ORDER, STEP, LOADER = range(3)
"""What a random number is drawn for; first word of its seed."""


def derive_seed(*words: int) -> int:
    """Return a 64-bit seed for a tuple of small numbers."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


class ClipOrder(Sampler[Int]):
    """Batches of clip numbers, epoch after epoch; `epoch` and `start` say where the next iteration begins.

    With `shuffle`, an epoch is every clip once; a last batch with fewer than 2 clips per process is left out, since
    neither a triplet nor a batch's statistics can be made of one. With `balanced`, every clip is drawn by first drawing
    a class, all alike, and then one of its clips (AVCA-GZSL's sampler with alpha = 1).
    """

    def __init__(self, label: Int, config: TrainingConfig, stage: int, process: int = 0) -> None:
        """Prepare for the clips with these labels; `process` is this one's place among `config.devices`.

        Raises:
            TrainingError: too few clips for one batch.
        """
        self._label, self._config, self._stage, self._process = label, config, stage, process
        self.epoch, self.start = 0, 0
        if len(label) < 2 * config.devices:
            raise TrainingError(f"{len(label)} training clips: at least 2 per device are needed; add clips")

    def __len__(self) -> int:
        if self._config.sampling == "balanced":
            return self._config.batches_per_epoch
        whole, rest = divmod(len(self._label), self._config.batch_size)
        return whole + (rest >= 2 * self._config.devices)

    def __iter__(self) -> Iterator[Int]:
        for batch in self._batches()[self.start :]:
            yield batch[self._process :: self._config.devices]

    def _batches(self) -> list[Int]:
        rng = np.random.default_rng(derive_seed(ORDER, self._config.seed, self._stage, self.epoch))
        size = self._config.batch_size
        if self._config.sampling == "shuffle":
            order = rng.permutation(len(self._label))
            return [order[number * size : (number + 1) * size] for number in range(len(self))]
        by_class = np.argsort(self._label, kind="stable")
        _, first, count = np.unique(self._label[by_class], return_index=True, return_counts=True)
        drawn = rng.integers(len(count), size=(len(self), size))
        return list(by_class[first[drawn] + rng.integers(count[drawn])])


class TrainingBatches(Dataset[tuple[Batch, torch.Tensor]]):
    """The clips of a stage, a whole batch per item: inputs, and index into the sorted training classes, int64 `[B]`."""

    def __init__(self, clips: Clips, seen: Int) -> None:
        self._clips, self._local = clips, np.searchsorted(seen, clips.label)

    def __getitem__(self, index: Int) -> tuple[Batch, torch.Tensor]:
        return self._clips.batch(index), torch.from_numpy(self._local[index])


def make_loader(batches: TrainingBatches, order: ClipOrder, config: TrainingConfig) -> DataLoader[Any]:
    """Return a loader that takes its batches as they are, without copying clip by clip."""
    draws = torch.Generator().manual_seed(derive_seed(LOADER, config.seed))  # not from the generator that dropout uses
    return DataLoader(
        batches, batch_size=None, sampler=order, num_workers=config.num_workers, collate_fn=_as_it_is, generator=draws
    )


def _as_it_is(item: Any) -> Any:
    return item
