"""Training learns what there is to learn, and a run that dies goes on where it stood."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from training import loop
from training.config import TrainingConfig
from training.data.dataset import Partition, load_partition, open_dataset
from training.fit import class_roles
from training.loop import ClassRoles, embed, embed_classes, fit, make_split
from training.mdst import MDST
from training.protocol import score

from .separable import SIZES, model_config, training_config, write_dataset

NUM_STEPS_PER_EPOCH = 5
"""72 clips in batches of 16."""


class Data(NamedTuple):
    classes: ClassRoles
    train: Partition
    validation: tuple[Partition, Partition]
    test: tuple[Partition, Partition]


class Trained(NamedTuple):
    model: MDST
    history: list[dict[str, float]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    path = write_dataset(tmp_path_factory.mktemp("dataset"))
    parts = {name: load_partition(path, name) for name in open_dataset(path).num_clips}
    return Data(
        classes=class_roles(open_dataset(path)),
        train=parts["train"],
        validation=(parts["val_seen"], parts["val_unseen"]),
        test=(parts["test_seen"], parts["test_unseen"]),
    )


def train(data: Data, work: Path, config: TrainingConfig, **model_changes: object) -> Trained:
    pl.seed_everything(config.seed, verbose=False)
    model = MDST(SIZES, model_config(**model_changes))
    return Trained(model, fit(model, data.classes, config, data.train, data.validation, work))


@pytest.fixture(scope="module")
def trained(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(data, tmp_path_factory.mktemp("work"), training_config(epochs=10))


@pytest.fixture(scope="module")
def context_only(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(data, tmp_path_factory.mktemp("work"), training_config(epochs=10), use_motion=False)


def best(history: list[dict[str, float]]) -> dict[str, float]:
    return max(history, key=lambda row: row["val_hm"])


def test_loss_falls_and_classes_are_told_apart(data: Data, trained: Trained) -> None:
    history = trained.history
    assert [row["epoch"] for row in history] == list(range(10))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    scores = score(make_split(trained.model, data.classes, "test", *data.test), best(history)["offset"])
    assert scores.S > 70 and scores.ZSL > 80 and scores.HM > 50, scores  # chance: 12.5, 50, 12.5


def test_the_best_epoch_is_kept(data: Data, trained: Trained) -> None:
    row = best(trained.history)
    assert row["val_hm"] == score(make_split(trained.model, data.classes, "val", *data.validation), row["offset"]).HM
    assert row["val_hm"] > min(entry["val_hm"] for entry in trained.history)
    assert not trained.model.training


def with_other_events(partition: Partition) -> Partition:
    return replace(
        partition, visual_events=1 - partition.visual_events, audio_events=np.zeros_like(partition.audio_events)
    )


def test_context_only_ignores_motion_and_learns_nothing_here(data: Data, context_only: Trained) -> None:
    seen = data.test[0]
    before = embed(context_only.model, seen)
    assert np.array_equal(before, embed(context_only.model, with_other_events(seen)))
    assert not np.array_equal(before, embed(context_only.model, replace(seen, frame_features=1 - seen.frame_features)))
    assert best(context_only.history)["val_hm"] < 40


def test_the_full_model_sees_motion_and_context(data: Data, trained: Trained) -> None:
    seen = data.test[0]
    before = embed(trained.model, seen)
    assert not np.array_equal(before, embed(trained.model, with_other_events(seen)))
    assert not np.array_equal(before, embed(trained.model, replace(seen, frame_features=1 - seen.frame_features)))


def test_permuting_the_chips_outputs_hurts(data: Data, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    offset = best(trained.history)["offset"]
    before = make_split(trained.model, data.classes, "test", *data.test)
    honest = trained.model.motion_rates

    def permuted(*inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: rates.flip(1) for name, rates in honest(*inputs).items()}

    monkeypatch.setattr(trained.model, "motion_rates", permuted)
    after = make_split(trained.model, data.classes, "test", *data.test)
    assert (before.embedding != after.embedding).any(axis=1).all()
    assert score(after, offset).HM < score(before, offset).HM - 20


def test_thresholds_are_trained(trained: Trained) -> None:
    pl.seed_everything(0, verbose=False)
    fresh = MDST(SIZES, model_config()).state_dict()
    moved = {name for name, value in trained.model.state_dict().items() if not torch.equal(value, fresh[name])}
    for stream in ("visual", "audio"):
        for part in ("linear.0.weight", "lif.0.threshold_block.weight_count", "lif.1.threshold_block.weight_context"):
            assert f"chip.{stream}.{part}" in moved


def test_embeddings_do_not_depend_on_the_other_clips(data: Data, trained: Trained) -> None:
    """Class "other batch shape": floats may round differently, decisions of the thresholds may not (see test_mdst)."""
    seen = data.test[0]
    alone = replace(seen, **{
        name: getattr(seen, name)[:1]
        for name in ("visual_events", "audio_events", "frame_features", "audio_features", "label")
    })  # fmt: skip
    assert np.abs(embed(trained.model, alone) - embed(trained.model, seen)[:1]).max() < 1e-5


def test_class_embeddings_are_those_of_the_text_branch(data: Data, trained: Trained) -> None:
    embedding = embed_classes(trained.model, data.classes)
    with torch.no_grad():
        expected = trained.model.text(torch.from_numpy(data.classes.attributes)).numpy()
    assert np.array_equal(embedding, expected) and embedding.shape == (9, 8)


def die_in_epoch(number: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    honest = loop._Lightning.training_step

    def dying(self: loop._Lightning, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        if self.current_epoch == number and index == 1:
            raise error
        return honest(self, batch, index)

    monkeypatch.setattr(loop._Lightning, "training_step", dying)


def test_a_resumed_run_equals_an_uninterrupted_one(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = training_config(epochs=4)
    whole = train(data, tmp_path / "whole", config)
    with monkeypatch.context() as patch:
        die_in_epoch(2, patch, RuntimeError("power cut"))
        with pytest.raises(RuntimeError, match="power cut"):
            train(data, tmp_path / "cut", config)
    steps: list[int] = []
    honest = loop._Lightning.training_step
    monkeypatch.setattr(
        loop._Lightning, "training_step", lambda *args: (steps.append(args[0].current_epoch), honest(*args))[1]
    )
    resumed = train(data, tmp_path / "cut", config)
    assert steps == [2] * NUM_STEPS_PER_EPOCH + [3] * NUM_STEPS_PER_EPOCH
    assert resumed.history == whole.history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    steps.clear()
    again = train(data, tmp_path / "cut", config)
    assert steps == [], "a training that is finished is not repeated"
    assert again.history == whole.history


def test_ctrl_c_stays_a_keyboard_interrupt_and_the_next_one_works(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    die_in_epoch(0, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "work", training_config(epochs=1))
    assert signal.getsignal(signal.SIGINT) == handler
