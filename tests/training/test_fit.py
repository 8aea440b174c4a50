"""Classes by role, the whole of `fit`, and scores of any world."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from export.errors import NirFileError
from hardware_profiles.artifact import read_json
from training.data.dataset import ClipFeatures, DatasetWriter, load_partition, open_dataset
from training.errors import TrainingError
from training.fit import PARTITIONS, class_roles, input_sizes, run_fit, run_score
from training.loop import embed
from training.mdst import from_config
from training.protocol import chance

from .separable import NUM_BINS, SIZES, clip, model_config, table, training_config, write_dataset

NUM_TEST = 36
"""4 clips of 6 seen classes, of 1 that validation holds out, and of 2 unseen ones."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def training(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    run_fit(dataset, model_config(), training_config(epochs=3), folder, folder / "work")
    shutil.rmtree(folder / "work")
    return folder


def test_classes_by_role(dataset: Path) -> None:
    roles = class_roles(open_dataset(dataset))
    assert roles.seen.tolist() == [0, 1, 4, 5, 6, 8]
    assert {role: indices.tolist() for role, indices in roles.unseen.items()} == {"val": [2], "test": [3, 7]}
    assert np.array_equal(roles.attributes, table().attributes)


def test_sizes_are_read_off_the_data(dataset: Path) -> None:
    opened = open_dataset(dataset)
    assert input_sizes(opened, class_roles(opened)) == SIZES


def test_the_time_step_is_derived_from_a_fixed_duration(tmp_path: Path, dataset: Path) -> None:
    copy = shutil.copy(dataset, tmp_path / "dataset.h5")
    with h5py.File(copy, "r+") as file:
        file.attrs["config"] = '{"duration_s": 3.0}'
    opened = open_dataset(copy)
    assert input_sizes(opened, class_roles(opened)).dt_s == 3.0 / NUM_BINS


def write_small(path: Path, splits: tuple[str, ...] | None) -> Path:
    """A data set of one clip, with classes of the given splits or none."""
    classes = None
    if splits is not None:
        whole = table()
        classes = type(whole)(
            names=whole.names[: len(splits)], splits=splits, attributes=whole.attributes[: len(splits)],
            attribute_names=whole.attribute_names,
        )  # fmt: skip
    with h5py.File(path, "w") as file:
        features: ClipFeatures = clip(np.random.default_rng(0), 0, 0)
        writer = DatasetWriter(file, {"duration_s": 0.0}, classes)
        writer.append("clips" if classes is None else "train", features, -1 if classes is None else 0, "0.mp4")
    return path


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (None, "has no classes, so nothing can be learned; prepare a folder with classes.json"),
        (("seen", "val_unseen", "test_unseen"), r"1 seen classes and \[1, 1\] unseen ones \(val, test\)"),
        (("seen", "seen", "val_unseen"), r"2 seen classes and \[1, 0\] unseen ones"),
        (("seen", "seen", "test_unseen"), r"2 seen classes and \[0, 1\] unseen ones"),
    ],
)
def test_too_few_classes_are_refused(tmp_path: Path, splits: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        class_roles(open_dataset(write_small(tmp_path / "dataset.h5", splits)))


def embeddings(dataset: Path, training: Path) -> np.ndarray:
    """Embeddings of the test clips, by the model in the checkpoint."""
    from export.checkpoint import load_checkpoint

    state, config = load_checkpoint(training / "checkpoint.safetensors")
    model, _ = from_config(config)
    model.load_state_dict(state)
    return np.concatenate([embed(model, load_partition(dataset, name)) for name in PARTITIONS])


def write_outputs(path: Path, embedding: np.ndarray | None, world: str | None = "a world") -> Path:
    with h5py.File(path, "w") as file:
        if world is not None:
            file.attrs["world"] = world
        if embedding is not None:
            file["embedding"] = embedding
    return path


def test_fit_writes_checkpoint_and_metrics(training: Path) -> None:
    assert {path.name for path in training.iterdir()} == {"checkpoint.safetensors", "metrics.json"}
    metrics = read_json(training / "metrics.json")
    assert metrics["format"] == "axonport-training-1"
    history = metrics["history"]
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert all(set(row) == {"epoch", "loss", "val_hm", "offset"} for row in history)
    assert metrics["offset"] == max(history, key=lambda row: row["val_hm"])["offset"]
    assert set(metrics["test"]) == set(metrics["context_only"]) == {"S", "U", "HM", "ZSL"}
    assert metrics["test"]["ZSL"] > metrics["context_only"]["ZSL"]


def test_scoring_the_checkpoints_embeddings_gives_the_test_scores(
    dataset: Path, training: Path, tmp_path: Path
) -> None:
    embedding = embeddings(dataset, training)
    shuffled = np.random.default_rng(0).permutation(embedding)
    result = run_score(
        training,
        dataset,
        [write_outputs(tmp_path / "a.h5", embedding), write_outputs(tmp_path / "unnamed.h5", shuffled, None)],
        tmp_path,
    )
    metrics = read_json(training / "metrics.json")
    same, other = result["rows"]
    assert same == {"world": "a world", **metrics["test"]}
    assert other["world"] == "unnamed" and other["ZSL"] < same["ZSL"]
    assert result["chance"] == vars(chance(6, 2)) == {"S": 12.5, "U": 12.5, "HM": 12.5, "ZSL": 50.0}
    assert result["context_only"] == metrics["context_only"]
    assert result["notes"][0].startswith("36 test clips: ")
    assert read_json(tmp_path / "accuracy.json") == result


def test_without_a_baseline_none_is_reported(dataset: Path, tmp_path: Path) -> None:
    config = training_config(epochs=1, train_context_only=False)
    run_fit(dataset, model_config(), config, tmp_path, tmp_path / "work")
    assert "context_only" not in read_json(tmp_path / "metrics.json")
    outputs = write_outputs(tmp_path / "a.h5", embeddings(dataset, tmp_path))
    assert "context_only" not in run_score(tmp_path, dataset, [outputs], tmp_path)


GOOD = np.zeros((NUM_TEST, 8), np.float32)


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (GOOD[:-1], r"embedding is float32 \(35, 8\), allowed are numbers \(36, 8\); run this network on all clips"),
        (GOOD[0], r"embedding is float32 \(8,\)"),
        (np.where(np.arange(8) == 3, np.nan, GOOD).astype(np.float32), "holds NaN or infinite values"),
        (GOOD[:, :1], r"embedding is float32 \(36, 1\)"),
        (np.full((36, 8), b"1"), r"embedding is \|S1 \(36, 8\)"),
        (None, "no array 'embedding'; run export or lava_runtime on this network"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    dataset: Path, training: Path, tmp_path: Path, embedding: np.ndarray | None, message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        run_score(training, dataset, [write_outputs(tmp_path / "a.h5", embedding)], tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "accuracy.json").exists()


def test_a_group_called_embedding_is_refused(dataset: Path, training: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("embedding")
    with pytest.raises(TrainingError, match="no array 'embedding'"):
        run_score(training, dataset, [tmp_path / "a.h5"], tmp_path)


def test_damaged_outputs_are_refused(dataset: Path, training: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"not HDF5")
    with pytest.raises(NirFileError, match="not a readable HDF5 file"):
        run_score(training, dataset, [tmp_path / "a.h5"], tmp_path)
