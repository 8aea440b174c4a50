"""The whole of `fit`, its tables, and scores of any world."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from export.checkpoint import load_checkpoint
from export.errors import NirFileError
from hardware_profiles.artifact import read_json
from training.config import PAIRS, ProtocolConfig
from training.data.prepared import open_prepared
from training.data.source import ZeroShotData
from training.errors import TrainingError
from training.evaluation import embed
from training.fit import run_fit
from training.model.mdst import from_config
from training.protocol import EMBEDDINGS, chance
from training.scoring import run_score

from .separable import CLIPS, ORIGIN, model_config, training_config, write_dataset

NUM_TEST = 36
"""4 clips of 6 seen, 1 validation-unseen and 2 unseen classes."""
PROTOCOL = ProtocolConfig()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ZeroShotData:
    folder = tmp_path_factory.mktemp("dataset")
    return open_prepared(write_dataset(folder, partitions=(*CLIPS, "flipped_seen", "flipped_unseen")))


@pytest.fixture(scope="module")
def training(data: ZeroShotData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    run_fit(data, model_config(), training_config(epochs=12), PROTOCOL, folder, folder / "work")
    shutil.rmtree(folder / "work")
    return folder


def embeddings(data: ZeroShotData, training: Path, pair: str = "test") -> dict[str, np.ndarray]:
    """Both heads' embeddings of a pair of partitions, by the model in the checkpoint."""
    state, config = load_checkpoint(training / "checkpoint.safetensors")
    model, _ = from_config(config)
    model.load_state_dict(state)
    parts = [embed(model, data.load(name)) for name in PAIRS[pair]]
    return {EMBEDDINGS[head]: np.concatenate([part[head] for part in parts]) for head in EMBEDDINGS}


def write_outputs(path: Path, arrays: dict[str, np.ndarray], world: str | None = "a world") -> Path:
    with h5py.File(path, "w") as file:
        if world is not None:
            file.attrs["world"] = world
        for name, array in arrays.items():
            file[name] = array
    return path


def test_fit_writes_checkpoint_metrics_table_and_curves(training: Path) -> None:
    assert {path.name for path in training.iterdir()} == {
        "checkpoint.safetensors", "metrics.json", "result.json", "result.md", "tensorboard",
    }  # fmt: skip
    boards = {path.name for path in (training / "tensorboard").iterdir()}
    assert boards == {"mdst_A", "mdst_B", "context_only_A", "context_only_B"}
    metrics = read_json(training / "metrics.json")
    assert metrics["format"] == "axonport-training-1" and metrics["origin"] == ORIGIN
    history = metrics["history"]
    assert [row["epoch"] for row in history] == list(range(12))
    assert len(metrics["history_stage_b"]) == metrics["epoch"] + 1
    chosen = history[metrics["epoch"]]
    assert chosen["val_hm"] == max(row["val_hm"] for row in history)
    assert metrics["offset"] == chosen["offset"] == metrics["offsets"]["video"]
    for pair in PAIRS:
        assert metrics[pair] == metrics["heads"][pair]["video"] != metrics["heads"][pair]["joint"]
        assert set(metrics[pair]) == {"S", "U", "HM", "ZSL"}
    assert metrics["test"] != metrics["flipped"]
    assert metrics["test"]["HM"] > metrics["context_only"]["HM"] + 10, "motion tells the class, the context does not"
    assert metrics["chance"] == pytest.approx({"S": 100 / 9, "U": 100 / 9, "HM": 100 / 9, "ZSL": 50.0})


def test_the_table_says_what_was_measured_and_how(training: Path) -> None:
    metrics, result = read_json(training / "metrics.json"), read_json(training / "result.json")
    rows = {row.pop("method"): row for row in result["rows"]}
    assert rows["this run, video head (chose the epoch)"] == metrics["test"]
    assert rows["this run, joint head"] == metrics["heads"]["test"]["joint"]
    assert rows["this run, joint head, flipped backgrounds"] == metrics["heads"]["flipped"]["joint"]
    assert rows["context only, video head"] == metrics["context_only"]
    assert rows["context only, video head, flipped backgrounds"] == metrics["context_only_flipped"]
    assert rows["chance"] == metrics["chance"] and len(rows) == 7
    text = (training / "result.md").read_text()
    assert f"data: {ORIGIN}" in text and f"| {metrics['test']['HM']:6.2f} |" in text
    assert "stage B trained anew on train, val_seen and val_unseen for as many epochs" in text


def test_a_killed_fit_ends_in_the_same_bytes(
    data: ZeroShotData, training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it, context-only baseline and all, stopped in each of the four trainings."""
    from training import loop

    honest, left = loop._Lightning.training_step, iter([30, 40, 60, 40, 10**9])
    budget = [next(left)]

    def dying(self: loop._Lightning, *batch: object) -> object:
        budget[0] -= 1
        if budget[0] < 0:
            raise RuntimeError("power cut")
        return honest(self, *batch)  # type: ignore[arg-type]

    monkeypatch.setattr(loop._Lightning, "training_step", dying)
    (tmp_path / "out").mkdir()
    config = training_config(epochs=12, checkpoint_steps=3)
    cuts = 0
    while True:
        try:
            run_fit(data, model_config(), config, PROTOCOL, tmp_path / "out", tmp_path / "work")
            break
        except RuntimeError:
            cuts += 1
            budget[0] = next(left)
            shutil.rmtree(tmp_path / "out")
            (tmp_path / "out").mkdir()
    assert cuts == 4
    for name in ("checkpoint.safetensors", "metrics.json", "result.md", "result.json"):
        assert (tmp_path / "out" / name).read_bytes() == (training / name).read_bytes(), name


def test_scoring_the_checkpoints_embeddings_gives_the_test_scores(
    data: ZeroShotData, training: Path, tmp_path: Path
) -> None:
    arrays = embeddings(data, training)
    shuffled = {name: np.random.default_rng(0).permutation(array) for name, array in arrays.items()}
    outputs = [write_outputs(tmp_path / "a.h5", arrays), write_outputs(tmp_path / "unnamed.h5", shuffled, None)]
    result = run_score(training, data, outputs, tmp_path)
    metrics = read_json(training / "metrics.json")
    same, other = result["rows"]
    assert same == {"world": "a world", **metrics["test"], "heads": metrics["heads"]["test"]}
    assert other["world"] == "unnamed" and other["HM"] < same["HM"]
    assert result["chance"] == vars(chance(data.roles("B"))) == metrics["chance"]
    assert result["context_only"] == metrics["context_only"]
    assert result["notes"][0] == (
        f"36 clips of test_seen and test_unseen, video head; one training seed; data: {ORIGIN}"
    )
    assert read_json(tmp_path / "accuracy.json") == result


def test_flipped_partitions_are_scored_by_name(data: ZeroShotData, training: Path, tmp_path: Path) -> None:
    outputs = [write_outputs(tmp_path / "a.h5", embeddings(data, training, "flipped"))]
    result = run_score(training, data, outputs, tmp_path, "flipped")
    metrics = read_json(training / "metrics.json")
    assert result["rows"] == [{"world": "a world", **metrics["flipped"], "heads": metrics["heads"]["flipped"]}]
    assert result["context_only"] == metrics["context_only_flipped"]


def test_a_pair_that_is_not_there_is_refused(training: Path, tmp_path: Path) -> None:
    plain = open_prepared(write_dataset(tmp_path))
    with pytest.raises(TrainingError, match="no partition flipped_seen, flipped_unseen; it has train, "):
        run_score(training, plain, [], tmp_path, "flipped")


def test_stage_a_alone_is_said_and_scored_with_its_classes(data: ZeroShotData, tmp_path: Path) -> None:
    protocol = ProtocolConfig(stages="A", head="joint")
    config = training_config(epochs=2, train_context_only=False)
    metrics = run_fit(data, model_config(), config, protocol, tmp_path, tmp_path / "work")
    assert metrics["history_stage_b"] == [] and "context_only" not in metrics
    assert metrics["chance"]["S"] == 100 / 8, "6 seen and 2 unseen classes"
    assert metrics["test"] == metrics["heads"]["test"]["joint"]
    assert "no stage B: the model of stage A is tested" in (tmp_path / "result.md").read_text()
    outputs = write_outputs(tmp_path / "a.h5", embeddings(data, tmp_path))
    result = run_score(tmp_path, data, [outputs], tmp_path)
    assert result["rows"][0]["HM"] == metrics["test"]["HM"] and "context_only" not in result
    assert result["notes"][0].startswith("32 clips"), "the clips of the class that no one trained on are left out"


GOOD = np.zeros((NUM_TEST, 8), np.float32)


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (
            GOOD[:-1],
            r"joint_embedding is float32 \(35, 8\), allowed are numbers \(36, 8\); run this network on all clips",
        ),
        (GOOD[0], r"embedding is float32 \(8,\)"),
        (np.where(np.arange(8) == 3, np.nan, GOOD).astype(np.float32), "holds NaN or infinite values"),
        (GOOD[:, :1], r"embedding is float32 \(36, 1\)"),
        (np.full((36, 8), b"1"), r"embedding is \|S1 \(36, 8\)"),
        (None, "no array 'joint_embedding'; run export or lava_runtime on this network"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    data: ZeroShotData, training: Path, tmp_path: Path, embedding: np.ndarray | None, message: str
) -> None:
    arrays = {"video_embedding": GOOD} | ({} if embedding is None else {"joint_embedding": embedding})
    with pytest.raises(TrainingError, match=message) as caught:
        run_score(training, data, [write_outputs(tmp_path / "a.h5", arrays)], tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "accuracy.json").exists()


def test_a_group_called_embedding_is_refused(data: ZeroShotData, training: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("video_embedding")
    with pytest.raises(TrainingError, match="no array 'video_embedding'"):
        run_score(training, data, [tmp_path / "a.h5"], tmp_path)


def test_damaged_outputs_and_foreign_metrics_are_refused(data: ZeroShotData, training: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"not HDF5")
    with pytest.raises(NirFileError, match="not a readable HDF5 file"):
        run_score(training, data, [tmp_path / "a.h5"], tmp_path)
    shutil.copy(training / "checkpoint.safetensors", tmp_path)
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(TrainingError, match="metrics.json: not of format 'axonport-training-1'; write it with"):
        run_score(tmp_path, data, [], tmp_path)
