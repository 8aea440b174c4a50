"""One class's feature files: what is read, and what is refused in one line."""

import h5py
import numpy as np
import pytest

from training.data.avgzsl import features
from training.data.avgzsl.features import count_clips, read_feature_file, read_pair
from training.data.avgzsl.layout import Layout
from training.errors import TrainingError

from .files import Made, write_h5, write_layout, write_pkl

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
URLS = ["a", "b", "ü"]


def h5(tmp_path, name="a.h5", rows=ROWS, urls=URLS):
    with h5py.File(tmp_path / name, "w") as file:
        file["data"] = rows
        file.create_dataset("video_urls", data=[url.encode() for url in urls], dtype="S80")
    return tmp_path / name


def test_averaged_features(tmp_path):
    file = read_feature_file(h5(tmp_path))
    assert file.is_averaged and file.urls == tuple(URLS) and file.num_features == 4
    np.testing.assert_array_equal(np.stack(file.clips)[:, 0], ROWS)
    assert count_clips(tmp_path / "a.h5") == 3


def test_features_of_other_precision_become_float32(tmp_path):
    (first, *_) = read_feature_file(h5(tmp_path, rows=ROWS.astype(np.float64))).clips
    assert first.dtype == np.float32


def test_text_of_any_length(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = ROWS
        file.create_dataset("video_urls", data=URLS, dtype=h5py.string_dtype())
    assert read_feature_file(tmp_path / "a.h5").urls == tuple(URLS)


def test_features_that_are_not_averaged(tmp_path):
    clips = [ROWS[:1], ROWS[:3].astype(np.float64), ROWS[:2]]
    write_pkl(tmp_path / "a.pkl", clips, ["a", "b", "c"])
    file = read_feature_file(tmp_path / "a.pkl")
    assert not file.is_averaged and file.urls == ("a", "b", "c") and [len(clip) for clip in file.clips] == [1, 3, 2]
    for got, expected in zip(file.clips, clips, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == np.float32
    assert count_clips(tmp_path / "a.pkl") == 3


def test_names_of_clips_that_the_fields_writer_skipped_may_remain(tmp_path):
    for modality in ("audio", "video"):
        write_pkl(tmp_path / f"{modality}.pkl", [ROWS], ["a", "skipped"])
    audio, video = read_pair({modality: tmp_path / f"{modality}.pkl" for modality in ("audio", "video")})
    assert len(audio.clips) == len(video.clips) == 1


def pair(tmp_path, **video):
    return {"audio": h5(tmp_path, "audio.h5"), "video": h5(tmp_path, "video.h5", **video)}


def test_audio_and_video_hold_the_same_clips(tmp_path):
    audio, video = read_pair(pair(tmp_path, rows=ROWS[:, :2]))
    assert audio.urls == video.urls and (audio.num_features, video.num_features) == (4, 2)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ({"urls": ["b", "a", "ü"]}, "clip 0 is 'a', in .*video.h5 it is 'b'; allowed is the same order"),
        ({"rows": ROWS[:2], "urls": URLS[:2]}, "3 clips, .*video.h5: 2; allowed are the same clips"),
    ],
)
def test_another_order_or_number_is_refused(tmp_path, video, message):
    with pytest.raises(TrainingError, match=message) as caught:
        read_pair(pair(tmp_path, **video))
    assert "\n" not in str(caught.value)


def damaged(tmp_path, how):
    path = h5(tmp_path)
    with h5py.File(path, "a") as file:
        how(file)
    return path


def replaced(name, value):
    def how(file):
        del file[name]
        file[name] = value

    return how


def external_link(file):
    with h5py.File(file.filename.replace("a.h5", "other.h5"), "w") as other:
        other["data"] = ROWS
    del file["data"]
    file["data"] = h5py.ExternalLink("other.h5", "data")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (external_link, "'data' is a link"),
        (lambda file: file.pop("data"), "allowed are data"),
        (lambda file: file.pop("video_urls"), "allowed are data"),
        (replaced("data", ROWS[0]), "allowed are data"),
        (replaced("data", ROWS.astype(int)), "allowed are data"),
        (replaced("data", ROWS[:2]), "allowed are data"),
        (replaced("video_urls", np.arange(3)), "allowed are data"),
        (replaced("data", np.where(ROWS == 5, np.nan, ROWS)), "NaN"),
        (replaced("video_urls", np.array([b"\xff", b"a", b"b"])), "not UTF-8"),
        (lambda file: (replaced("data", ROWS[:0])(file), replaced("video_urls", np.array([], "S3"))(file)), "0 clips"),
    ],
)
def test_a_damaged_h5_file(tmp_path, how, message):
    path = damaged(tmp_path, how)
    with pytest.raises(TrainingError, match=message) as caught:
        read_feature_file(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_claims_more_than_it_holds(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", shape=(1 << 20, 1 << 10), dtype=np.float32, chunks=(1, 1 << 10))
        file.create_dataset("video_urls", shape=(1 << 20,), dtype="S80", chunks=(1,))
    with pytest.raises(TrainingError, match="too large to read"):
        read_feature_file(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("clips", "urls", "message"),
    [
        ([], [], "0 clips"),
        ([ROWS], [], "1 clips, 0 names"),
        ([ROWS[0]], ["a"], r"must be an array \[t, d\]"),
        ([ROWS[:0]], ["a"], r"must be an array \[t, d\]"),
        ([ROWS.astype(int)], ["a"], r"must be an array \[t, d\]"),
        ([ROWS, ROWS[:, :2]], ["a", "b"], "different length"),
        ([np.full_like(ROWS, np.inf)], ["a"], "NaN or infinity"),
        ([np.zeros((100, 100), np.float32)] * 50, ["a"] * 50, "share their features"),
    ],
)
def test_a_bad_pickle(tmp_path, clips, urls, message):
    write_pkl(tmp_path / "a.pkl", clips, urls)
    with pytest.raises(TrainingError, match=message) as caught:
        read_feature_file(tmp_path / "a.pkl")
    assert "\n" not in str(caught.value)


def test_another_pickle_is_refused(tmp_path):
    np.array([1]).dump(tmp_path / "a.pkl")
    with pytest.raises(TrainingError, match="a dict of features, video_names and fps"):
        read_feature_file(tmp_path / "a.pkl")


def test_no_hdf5_and_no_file(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="not a readable HDF5 file"):
        read_feature_file(tmp_path / "a.h5")
    with pytest.raises(TrainingError, match="no such file"):
        read_feature_file(tmp_path / "b.h5")


def test_vectors_beyond_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "MAX_FEATURES", 3)
    with pytest.raises(TrainingError, match=r"vectors of 4 values, allowed are 1\.\.3"):
        read_feature_file(h5(tmp_path))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    write_layout(tmp_path, Made())
    layout = Layout(tmp_path, "Small", "main_features", "main_split")
    path = layout.feature_folder / "audio/stage_1_train/Cut.h5"
    path.rename(tmp_path / "Cut.h5")
    path.symlink_to(tmp_path / "Cut.h5")
    with pytest.raises(TrainingError, match="no plain file of this folder"):
        layout.class_files("audio", "stage_1_train")


def test_two_files_of_one_class_are_refused(tmp_path):
    write_layout(tmp_path, Made())
    layout = Layout(tmp_path, "Small", "main_features", "main_split")
    write_h5(layout.feature_folder / "audio/stage_1_train/cut.h5", ROWS, ["a", "b", "c"])
    with pytest.raises(TrainingError, match="a second file of 'cut'"):
        layout.class_files("audio", "stage_1_train")
