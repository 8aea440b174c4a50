"""A prepared data set written in the field's layout, and read back equal."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from training.__main__ import main
from training.data.avgzsl.config import AvgzslConfig
from training.data.avgzsl.counts import count_on_disk, differences
from training.data.avgzsl.layout import Layout
from training.data.avgzsl.open import open_avgzsl
from training.data.avgzsl.splits import read_splits
from training.data.avgzsl.write_layout import write_avgzsl_layout
from training.data.classes import ClassTable
from training.data.dataset import ClipFeatures, DatasetWriter, load_partition
from training.errors import TrainingError

TABLE = ClassTable(
    names=("b, c", "A", "held out", "new"),
    splits=("seen", "seen", "val_unseen", "test_unseen"),
    attributes=np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32),
    attribute_names=("x", "y", "z"),
)
CLIPS = {"train": (0, 1, 0, 1, 1), "val_seen": (1, 0), "val_unseen": (2, 2), "test_seen": (0, 1), "test_unseen": (3,)}


def write_dataset(folder: Path, table=TABLE, clips=CLIPS):
    folder.mkdir()
    generator = np.random.default_rng(1)
    with h5py.File(folder / "dataset.h5", "w") as file:
        writer = DatasetWriter(file, {}, table)
        for partition, labels in clips.items():
            for number, label in enumerate(labels):
                events = (generator.random((2, 6, 4)) < 0.3).astype(np.uint8)
                frames, sound = generator.random((6, 7), np.float32), generator.random((6, 5), np.float32)
                writer.append(partition, ClipFeatures(*events, frames, sound), label, f"{partition}/ü/{number}.mp4")
    return folder


def test_round_trip(tmp_path):
    dataset = write_dataset(tmp_path / "dataset")
    assert write_avgzsl_layout(dataset, tmp_path / "out", "Mine")
    data = open_avgzsl(AvgzslConfig(root=str(tmp_path / "out"), name="Mine", features="main_features"))
    assert data.names == tuple(sorted(TABLE.names))
    assert f"; {TABLE.origin}; events are surrogates" in data.origin, "what is synthetic stays so"
    back = [data.names.index(name) for name in TABLE.names]
    np.testing.assert_array_equal(data.attributes[back], TABLE.attributes)
    assert tuple(data.splits[index] for index in back) == TABLE.splits
    for partition in CLIPS:
        written, read = load_partition(dataset, partition), data.load(partition)
        batch = read.batch(np.arange(len(read.label)))
        order = np.argsort(np.asarray(back)[written.label], kind="stable")  # the layout groups clips by class
        np.testing.assert_array_equal(read.label, np.asarray(back)[written.label][order])
        for field in ("frame_features", "audio_features"):
            mean = getattr(written, field).mean(axis=1, dtype=np.float64).astype(np.float32)
            np.testing.assert_array_equal(getattr(batch, field)[:, 0], mean[order])


def test_an_origin_that_is_no_line_is_refused(tmp_path):
    write_avgzsl_layout(write_dataset(tmp_path / "dataset"), tmp_path / "out", "Mine")
    (tmp_path / "out/Mine/origin.txt").write_bytes(b"x" * 5000)
    with pytest.raises(TrainingError, match="origin.txt: origin: allowed is one line"):
        open_avgzsl(AvgzslConfig(root=str(tmp_path / "out"), name="Mine", features="main_features"))


def test_files_and_lists_agree_and_the_union_is_there(tmp_path):
    write_avgzsl_layout(write_dataset(tmp_path / "dataset"), tmp_path / "out", "Mine")
    layout = Layout(tmp_path / "out", "Mine", "main_features", "main_split")
    on_disk = count_on_disk(layout, with_pickles=False)
    assert on_disk["stage_2_train"] == {"a": 4, "b, c": 3, "held out": 2}
    assert differences("Mine", read_splits(layout), on_disk) == ()
    with h5py.File(layout.feature_folder / "video/stage_2_train/held out.h5") as file:
        assert [str(url, "utf-8") for url in file["video_urls"]] == ["val_unseen/ü/0.mp4", "val_unseen/ü/1.mp4"]


def test_numpy_reads_the_word_vectors_as_the_fields_code_does(tmp_path):
    write_avgzsl_layout(write_dataset(tmp_path / "dataset"), tmp_path / "out", "UCF")
    path = tmp_path / "out/UCF/features/main_features/text/word_embeddings_ucf_normed.npy"
    words = np.load(path, allow_pickle=True).item()
    assert list(words) == list(TABLE.names)
    np.testing.assert_array_equal(words["held out"], TABLE.attributes[2])


def test_the_command_and_up_to_date(tmp_path, capsys):
    dataset, out = str(write_dataset(tmp_path / "dataset")), str(tmp_path / "out")
    arguments = ["layout", "--data", dataset, "--out", out, "--name", "Mine"]
    assert main(arguments) == 0 and main(arguments) == 0
    assert capsys.readouterr().out == f"{out}/Mine\n{out}: up to date\n"


def renamed(*names):
    return ClassTable(
        names=names, splits=TABLE.splits, attributes=TABLE.attributes, attribute_names=TABLE.attribute_names
    )


@pytest.mark.parametrize(
    ("table", "clips", "name", "message"),
    [
        (TABLE, CLIPS, "../Mine", "--name: class name '../Mine'"),
        (TABLE, {"train": (0,)}, "Mine", "lacks val_seen, val_unseen, test_seen, test_unseen"),
        (None, {"clips": (-1,)}, "Mine", "lacks train"),
        (renamed("a", "A", "b", "c"), CLIPS, "Mine", "differ in case only"),
        (renamed("a\x07", "b", "c", "d"), CLIPS, "Mine", "printed characters"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, table, clips, name, message):
    dataset = write_dataset(tmp_path / "dataset", table, clips)
    with pytest.raises(TrainingError, match=message) as caught:
        write_avgzsl_layout(dataset, tmp_path / "out", name)
    assert "\n" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["dataset"]
