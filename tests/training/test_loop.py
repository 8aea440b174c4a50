"""Training learns what there is to learn; the protocol's stages; a run that dies goes on where it stood, to the bit."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tensorboardX.proto.event_pb2 import Event
from torch import nn

from training import loop
from training.config import ProtocolConfig
from training.data.source import TRAINED_ON
from training.errors import TrainingError
from training.evaluation import embed, embed_and_compare, embed_classes, judge
from training.loop import best, check_device
from training.protocol import score
from training.stages import Outcome, candidates, run_stages

from .tiny import GROUPS, PROTOCOL, TinyModel, make_tiny, tiny_data, tiny_training

STEPS = {"A": 4, "B": 5}
"""108 and 154 clips in batches of 32."""


def run(work: Path, protocol: ProtocolConfig = PROTOCOL, **changes: Any) -> Outcome:
    return run_stages(tiny_data(), make_tiny(), tiny_training(**changes), protocol, work)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def outcome(work: Path) -> Outcome:
    data = tiny_data(extra=("flipped_seen", "flipped_unseen"))
    return run_stages(data, make_tiny(), tiny_training(epochs=8), PROTOCOL, work)


def equal(one: Outcome, other: Outcome) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert list(ours) == list(theirs)
    same = all(torch.equal(value, theirs[name]) for name, value in ours.items())
    return same and one.history == other.history and one.scores == other.scores and one.offsets == other.offsets


def test_loss_falls_and_classes_are_told_apart(outcome: Outcome) -> None:
    history = outcome.history["A"]
    assert [row["epoch"] for row in history] == list(range(8))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert all(row["loss"] == pytest.approx(row["triplet"] + row["projection"]) for row in history)
    scores = outcome.scores["test"]["video"]
    assert scores["HM"] > 40 and scores["ZSL"] > 70, scores  # chance: 6.25, 50


def test_validation_chooses_epoch_and_offset(outcome: Outcome) -> None:
    chosen = best(outcome.history["A"])
    hms = [row["val_hm"] for row in outcome.history["A"]]
    assert chosen["epoch"] == outcome.epoch == hms.index(max(hms)) and min(hms) < max(hms)
    assert chosen["offset"] == chosen["val"]["video"]["offset"] == outcome.offsets["video"]
    assert chosen["val_hm"] == chosen["val"]["video"]["HM"]
    assert outcome.offsets == {head: values["offset"] for head, values in chosen["val"].items()}
    assert best([{"epoch": 0, "val_hm": 3.0}, {"epoch": 1, "val_hm": 3.0}])["epoch"] == 0, "the first of equals"


def test_the_other_head_may_choose_another_epoch(tmp_path: Path, outcome: Outcome) -> None:
    joint = run(tmp_path, ProtocolConfig(head="joint", stages="A"), epochs=8)
    rows = joint.history["A"]
    assert [row["val"] for row in rows] == [row["val"] for row in outcome.history["A"]], "the same training"
    assert [row["val_hm"] for row in rows] == [row["val"]["joint"]["HM"] for row in rows]
    assert rows != outcome.history["A"]


def test_stage_b_trains_anew_with_stage_as_epochs_and_rates(outcome: Outcome) -> None:
    rows = outcome.history["B"]
    assert [row["epoch"] for row in rows] == list(range(outcome.epoch + 1))
    rates = [row["learning_rate"] for row in outcome.history["A"]]
    assert [row["learning_rate"] for row in rows] == rates[: len(rows)] and len(set(rates)) == 8
    assert not {"val_hm", "val", "offset"} & set(rows[0]), "its unseen classes are trained on"


def test_plateau_rates_are_replayed(tmp_path: Path) -> None:
    falling = run(tmp_path / "falling", epochs=12, schedule="plateau", learning_rate=0.05)
    rates = [row["learning_rate"] for row in falling.history["A"]]
    assert len(set(rates)) > 1, rates
    steady = run(tmp_path / "steady", epochs=12, schedule="plateau", learning_rate=0.003)
    assert steady.epoch > 4, "without stage A's rates, stage B's would have fallen by then"
    for outcome in (falling, steady):
        rates = [row["learning_rate"] for row in outcome.history["A"]]
        assert [row["learning_rate"] for row in outcome.history["B"]] == rates[: outcome.epoch + 1]


def test_each_stage_learns_from_its_partitions_and_no_test_clip_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, loaded = tiny_data(), []
    honest = data.load
    object.__setattr__(data, "load", lambda name: (loaded.append(name), honest(name))[1])
    tasks: list[loop.Task] = []
    train = loop.train
    monkeypatch.setattr(
        "training.stages.train", lambda model, task, *rest: (tasks.append(task), train(model, task, *rest))[1]
    )
    run_stages(data, make_tiny(), tiny_training(epochs=1), PROTOCOL, tmp_path)
    for task, stage in zip(tasks, "AB", strict=True):
        assert task.stage == stage
        assert len(task.clips.label) == sum(len(honest(name).label) for name in TRAINED_ON[stage])
        assert set(task.clips.label) == set(task.roles.seen)
    assert loaded[-2:] == ["test_seen", "test_unseen"]
    assert not [name for name in loaded[:-2] if name.startswith("test")]


def test_scores_are_those_of_the_returned_model(outcome: Outcome) -> None:
    data = tiny_data(extra=("flipped_seen", "flipped_unseen"))
    assert not outcome.model.training and set(outcome.scores) == {"test", "flipped"}
    for pair, heads in outcome.scores.items():
        clips = [data.load(f"{pair}_{role}") for role in ("seen", "unseen")]
        nearest = embed_and_compare(outcome.model, clips, data.attributes, data.roles("B"))
        assert heads == {head: vars(score(found, outcome.offsets[head])) for head, found in nearest.items()}
    assert outcome.scores["test"] != outcome.scores["flipped"]


def test_a_model_of_stage_a_alone_is_tested_with_its_own_classes(tmp_path: Path) -> None:
    protocol = ProtocolConfig(stages="A")
    outcome = run(tmp_path, protocol, epochs=6)
    assert set(outcome.history) == {"A"} and not (tmp_path / "B").exists()
    data = tiny_data()
    roles = candidates(data, protocol)
    assert len(roles.seen) == 12 and len(roles.unseen) == 2 and len(candidates(data, PROTOCOL).seen) == 14
    clips = [data.load(name) for name in ("val_seen", "val_unseen")]
    judged = judge(embed_and_compare(outcome.model, clips, data.attributes, data.roles("A")), protocol)
    assert best(outcome.history["A"])["val_hm"] == judged["video"].scores.HM, "the best epoch's weights are kept"
    assert outcome.epoch < 5, "else the last epoch would do as well"


def test_embedding_is_in_order_and_in_eval_mode() -> None:
    clips, model = tiny_data().load("train"), make_tiny()()
    together = embed(model, clips)
    model.eval()
    with torch.no_grad():
        expected = model(clips.batch(np.arange(len(clips.label))))[-1]
        classes = model.embed_classes(torch.from_numpy(tiny_data().attributes))
    for head in ("video", "joint"):
        assert np.abs(together[head] - getattr(expected, head).numpy()).max() < 1e-6
    assert not np.array_equal(together["video"], together["joint"])
    assert np.array_equal(embed_classes(model, tiny_data().attributes), classes.numpy())


def die_at(number: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> list[tuple[str, int, int]]:
    """Let the `number`-th step fail; return where all steps were: (stage, epoch, step)."""
    honest, steps = loop._Lightning.training_step, []

    def dying(self: loop._Lightning, batch: Any, index: int) -> torch.Tensor:
        steps.append((self.task.stage, len(self.history), self.step))
        if len(steps) == number:
            raise error
        return honest(self, batch, index)

    monkeypatch.setattr(loop._Lightning, "training_step", dying)
    return steps


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("checkpoint_steps", "number", "first"),
    [
        (0, 3, ("A", 0, 0)),  # within the first epoch: from the start
        (0, 11, ("A", 2, 0)),
        (3, 11, ("A", 2, 0)),
        (2, 12, ("A", 2, 2)),  # within an epoch
        (1, 12, ("A", 2, 3)),
        (2, 4 * 4 + 4, ("B", 0, 2)),  # stage A is not repeated
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Outcome,
    checkpoint_steps: int,
    number: int,
    first: tuple[str, int, int],
) -> None:
    with monkeypatch.context() as patch:
        die_at(number, patch, RuntimeError("power cut"))
        with pytest.raises(RuntimeError, match="power cut"):
            run(tmp_path, checkpoint_steps=checkpoint_steps)
    torch.manual_seed(12345)  # what else the process draws is of no matter
    steps = die_at(0, monkeypatch, RuntimeError())
    resumed = run(tmp_path, checkpoint_steps=checkpoint_steps)
    every = [(stage, epoch, step) for stage in "AB" for epoch in range(4) for step in range(STEPS[stage])]
    assert whole.epoch == 3 and steps == every[every.index(first) :]
    assert equal(resumed, whole)
    steps.clear()
    assert equal(run(tmp_path, checkpoint_steps=checkpoint_steps), whole)
    assert steps == [], "a training that is finished is not repeated"


def test_another_seed_gives_another_model(tmp_path: Path, whole: Outcome) -> None:
    assert equal(run(tmp_path / "same"), whole)
    assert not equal(run(tmp_path / "other", seed=1), whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"},
        {"gradient_clip": 0.1},
        {"sampling": "balanced", "batches_per_epoch": 4},
        {"precision": "bf16-mixed"},
        {"schedule": "constant"},
    ],
)
def test_every_option_trains_and_is_felt(tmp_path: Path, whole: Outcome, changes: dict[str, Any]) -> None:
    changed = run(tmp_path, ProtocolConfig(stages="A"), **changes)
    assert changed.history["A"][-1]["loss"] < changed.history["A"][0]["loss"]
    assert changed.history["A"] != whole.history["A"]


class Plain(TinyModel):
    """Without anything drawn and without batch statistics: clips count alone, so halves of a batch make the whole."""

    @staticmethod
    def _encoder(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(2 * 2 * GROUPS, 16), nn.ReLU(), nn.Linear(16, width))

    def loss(self, stages: Any, label: torch.Tensor, attributes: torch.Tensor) -> Any:
        word = self.embed_classes(attributes)
        projection = sum(F.mse_loss(heads.video, word[label]) for heads in stages)
        reconstruction = F.mse_loss(word @ self.classes.weight, attributes)
        return projection + reconstruction, {"projection": projection, "reconstruction": reconstruction}


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    def train(devices: int) -> Outcome:
        def make() -> Plain:
            torch.manual_seed(0)
            return Plain()

        config = tiny_training(epochs=6, devices=devices)
        return run_stages(tiny_data(), make, config, PROTOCOL, tmp_path / str(devices))

    one, two = train(1), train(2)
    for stage in "AB":
        assert [row["epoch"] for row in two.history[stage]] == [row["epoch"] for row in one.history[stage]]
        for ours, theirs in zip(two.history[stage], one.history[stage], strict=True):
            assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    assert one.history["A"][5]["loss"] < 0.9 * one.history["A"][0]["loss"]
    written = sorted(path.name for path in (tmp_path / "2" / "A").iterdir())
    assert written == ["last.ckpt", "stage.json", "tensorboard", "weights.safetensors"]
    assert len(list((tmp_path / "2" / "A" / "tensorboard").iterdir())) == 1, "only one process writes"


def test_two_processes_draw_differently_and_resume_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole", devices=2)
    assert not equal(whole, run(tmp_path / "one"))
    with monkeypatch.context() as patch:
        die_at(12, patch, RuntimeError("power cut"))  # counted in each process
        with pytest.raises(TrainingError, match="a training process of several ended: RuntimeError: power cut"):
            run(tmp_path / "cut", devices=2, checkpoint_steps=2)
    resumed = torch.load(tmp_path / "cut" / "A" / "last.ckpt", weights_only=True)
    assert len(resumed["history"]) == 2 and resumed["within_epoch"]["step"] == 2
    assert equal(run(tmp_path / "cut", devices=2, checkpoint_steps=2), whole)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_loss_that_explodes_is_one_line(tmp_path: Path, devices: int) -> None:
    with pytest.raises(TrainingError, match=r"stage A, epoch 0: the loss is nan; lower learning_rate") as caught:
        run_stages(
            tiny_data(), lambda: Exploding(), tiny_training(epochs=2, devices=devices), PROTOCOL, tmp_path / "work"
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "work" / "A" / "stage.json").exists()


class Exploding(TinyModel):
    def loss(self, *inputs: Any) -> Any:
        total, terms = super().loss(*inputs)
        return total * torch.nan, terms


def test_missing_hardware_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert check_device(tiny_training(accelerator="auto")) == "cpu"
    with pytest.raises(
        TrainingError, match="accelerator 'gpu', devices 1: torch sees 0 CUDA devices; set accelerator = "
    ):
        check_device(tiny_training(accelerator="gpu"))
    with pytest.raises(TrainingError, match="precision '16-mixed': trains on a GPU only"):
        check_device(tiny_training(accelerator="auto", precision="16-mixed"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert check_device(tiny_training(accelerator="auto", precision="16-mixed")) == "gpu"
    with pytest.raises(TrainingError, match="devices 2: torch sees 1 CUDA devices; set devices = 1"):
        check_device(tiny_training(accelerator="auto", devices=2))


def test_ctrl_c_stays_a_keyboard_interrupt_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    die_at(2, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, epochs=1)
    assert signal.getsignal(signal.SIGINT) == handler


def read_scalars(folder: Path) -> dict[tuple[str, int], float]:
    """(name, step) to value, from TensorBoard's own file format: length, check sum, event, check sum."""
    found = {}
    for path in folder.iterdir():
        data, place = path.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place : place + 8], "little")
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 12 + length + 4
            found.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
    return found


def test_tensorboard_shows_losses_rates_and_scores(work: Path, outcome: Outcome) -> None:
    shown = read_scalars(work / "A" / "tensorboard")
    for row in outcome.history["A"]:
        for name in ("loss", "triplet", "projection", "learning_rate", "val_hm"):
            assert shown[f"train/{name}", row["epoch"]] == np.float32(row[name])
        for head in ("video", "joint"):
            for name in ("S", "U", "HM", "ZSL"):
                assert shown[f"val_{head}/{name}", row["epoch"]] == np.float32(row["val"][head][name])
        assert shown["spike_rate/video", row["epoch"]] == 0.25
    assert {name for name, _ in read_scalars(work / "B" / "tensorboard")} == {
        "train/loss", "train/triplet", "train/projection", "train/learning_rate", "spike_rate/video",
    }  # fmt: skip
