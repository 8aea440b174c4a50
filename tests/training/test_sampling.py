"""Which clips a step takes, and the learning rate of an epoch."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.source import Int
from training.errors import TrainingError
from training.sampling import ClipOrder, TrainingBatches, make_loader
from training.schedule import learning_rate

from .tiny import tiny_data, tiny_training

LABEL = np.repeat(np.arange(5), [40, 1, 7, 2, 17])


def batches(order: ClipOrder, epoch: int = 0, start: int = 0) -> list[Int]:
    order.epoch, order.start = epoch, start
    return list(order)


def test_shuffled_epochs_hold_every_clip_once_in_another_order() -> None:
    order = ClipOrder(LABEL, tiny_training(batch_size=16), stage=0)
    first, second = batches(order, 0), batches(order, 1)
    assert [len(batch) for batch in first] == [16, 16, 16, 16, 3] and len(order) == 5
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(len(LABEL)))
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], batches(ClipOrder(LABEL, tiny_training(batch_size=16), stage=1))[0])
    assert not np.array_equal(first[0], batches(ClipOrder(LABEL, tiny_training(batch_size=16, seed=1), stage=0))[0])


def test_a_batch_of_one_clip_is_left_out() -> None:
    order = ClipOrder(LABEL, tiny_training(batch_size=33), stage=0)
    assert [len(batch) for batch in batches(order)] == [33, 33] and len(order) == 2
    with pytest.raises(TrainingError, match="1 training clips: at least 2 per device are needed"):
        ClipOrder(LABEL[:1], tiny_training(), stage=0)


@pytest.mark.parametrize("sampling", [{}, {"sampling": "balanced", "batches_per_epoch": 6}])
def test_an_epoch_goes_on_where_it_is_told_to(sampling: dict[str, object]) -> None:
    order = ClipOrder(LABEL, tiny_training(batch_size=16, **sampling), stage=0)
    whole, rest = batches(order, 3), batches(order, 3, start=2)
    assert len(rest) == len(whole) - 2 == len(order) - 2
    assert all(np.array_equal(a, b) for a, b in zip(whole[2:], rest, strict=True))


def test_balanced_batches_draw_classes_alike() -> None:
    order = ClipOrder(LABEL, tiny_training(batch_size=500, sampling="balanced", batches_per_epoch=20), stage=0)
    drawn = np.concatenate(batches(order))
    shares = np.bincount(LABEL[drawn]) / len(drawn)
    assert len(drawn) == 10_000 and np.abs(shares - 0.2).max() < 0.02  # 5 standard deviations
    clips = np.bincount(drawn, minlength=len(LABEL))
    assert clips.min() > 0 and clips[LABEL == 1].tolist() == [round(shares[1] * len(drawn))]
    of_the_first_class = clips[LABEL == 0]
    assert of_the_first_class.min() > 20 and of_the_first_class.max() < 85, "50 each"


@pytest.mark.parametrize("sampling", [{}, {"sampling": "balanced", "batches_per_epoch": 4}])
def test_processes_share_each_batch(sampling: dict[str, object]) -> None:
    whole = batches(ClipOrder(LABEL, tiny_training(batch_size=16, **sampling), stage=0))
    two = tiny_training(batch_size=16, devices=2, **sampling)
    first, second = (batches(ClipOrder(LABEL, two, 0, process)) for process in (0, 1))
    assert len(first) == len(second) == 4, "3 clips are too few for two processes"
    for batch, *parts in zip(whole[:4], first, second, strict=True):
        assert sorted(np.concatenate(parts)) == sorted(batch) and [len(part) for part in parts] == [8, 8]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_loader_hands_out_whole_batches_with_places_among_the_training_classes(num_workers: int) -> None:
    data = tiny_data()
    clips, seen = data.training_clips("A"), data.roles("A").seen
    config = tiny_training(num_workers=num_workers)
    order = ClipOrder(clips.label, config, stage=0)
    loaded = list(make_loader(TrainingBatches(clips, seen), order, config))
    assert len(loaded) == len(order)
    for index, (batch, label) in zip(order, loaded, strict=True):
        assert np.array_equal(seen[label.numpy()], clips.label[index])
        for got, wanted in zip(batch, clips.batch(index), strict=True):
            assert got.equal(wanted)


def test_learning_rates_by_hand() -> None:
    def rates(schedule: str, hms: list[float]) -> list[float]:
        config = tiny_training(epochs=8, learning_rate=0.1, schedule=schedule)
        return [learning_rate(config, hms[:epoch]) for epoch in range(len(hms) + 1)]

    assert rates("constant", [5.0] * 7) == [0.1] * 8
    cosine = rates("cosine", [5.0] * 8)
    assert cosine[0] == 0.1 and cosine[4] == pytest.approx(0.05) and cosine[8] == pytest.approx(0)
    # better in epoch 1; the 4th epoch after it that is no better lowers the rate, a better one in between would not
    worse = [1.0, 5.0, 5.0, 4.0, 3.0, 2.0, 9.0]
    assert rates("plateau", worse) == pytest.approx([0.1] * 6 + [0.01] * 2)
    assert rates("plateau", [1.0, 5.0, 5.0, 4.0, 6.0, 2.0, 1.0]) == [0.1] * 8
