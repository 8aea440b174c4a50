"""A folder of videos to a data set and back."""

import json
import shutil

import h5py
import numpy as np
import pytest

from hardware_profiles.errors import ConfigError
from training.data.classes import UNSTATED_ORIGIN, ClassTable, write_classes
from training.data.dataset import load_partition, open_dataset
from training.data.events import EventConfig, visual_event_counts
from training.data.prepare import PreparationConfig, clip_features, frame_features, prepare_dataset
from training.data.video import VideoConfig, load_video
from training.errors import TrainingError, VideoError

from .clips import write_clip, write_mute

TABLE = ClassTable(
    names=("square", "disc"),
    splits=("seen", "test_unseen"),
    attributes=np.eye(2, dtype=np.float32),
    attribute_names=("corners", "round"),
    origin="squares and discs of this test",
)


@pytest.fixture
def labelled(tmp_path):
    videos = tmp_path / "videos"
    for place in ("train/square/000", "train/square/001", "test_seen/square/000", "test_unseen/disc/000"):
        write_clip(videos / f"{place}.mp4")
    write_classes(videos / "classes.json", TABLE)
    return videos


def test_labelled_round_trip(labelled, tmp_path):
    config = PreparationConfig()
    manifest = prepare_dataset(config, labelled, tmp_path / "out")
    assert manifest["num_clips"] == 4 and manifest["skipped"] == {} and manifest["truncated"] == []
    dataset = open_dataset(tmp_path / "out")
    assert dataset.num_clips == {"train": 2, "test_seen": 1, "test_unseen": 1}
    assert dataset.classes.names == TABLE.names and dataset.classes.splits == TABLE.splits
    np.testing.assert_array_equal(dataset.classes.attributes, TABLE.attributes)
    assert dataset.origin == dataset.classes.origin == manifest["origin"] == TABLE.origin
    assert PreparationConfig(video=VideoConfig(**dataset.config["video"])) == config

    train = load_partition(tmp_path / "out", "train")
    assert train.path == ("train/square/000.mp4", "train/square/001.mp4")
    assert len(train) == 2 and train.num_bins == 16
    expected = clip_features(load_video(labelled / train.path[1], config.video), config)
    for name, array in expected._asdict().items():
        np.testing.assert_array_equal(getattr(train, name)[1], array)
        assert getattr(train, name).dtype == array.dtype
    assert [train.visual_events.shape, train.audio_events.shape] == [(2, 16, 512), (2, 16, 64)]
    assert [train.frame_features.shape, train.audio_features.shape] == [(2, 16, 192), (2, 16, 32)]
    for spikes in (train.visual_events, train.audio_events):
        assert spikes.any() and not spikes.all()
    assert load_partition(tmp_path / "out" / "dataset.h5", "test_unseen").label.tolist() == [1]


def test_preparing_again_with_two_workers_gives_equal_bytes(labelled, tmp_path):
    for name, num_workers in (("a", 1), ("b", 2)):
        prepare_dataset(PreparationConfig(), labelled, tmp_path / name, num_workers=num_workers)
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()
    assert (tmp_path / "a/dataset.h5").read_bytes() == (tmp_path / "b/dataset.h5").read_bytes()


def test_up_to_date_until_a_clip_or_the_config_changes(labelled, tmp_path):
    out = tmp_path / "out"
    assert prepare_dataset(PreparationConfig(), labelled, out) is not None
    assert prepare_dataset(PreparationConfig(), labelled, out) is None
    assert prepare_dataset(PreparationConfig(num_bins=8), labelled, out) is not None
    shutil.copy(labelled / "train/square/000.mp4", labelled / "train/square/002.mp4")
    assert prepare_dataset(PreparationConfig(num_bins=8), labelled, out)["num_clips"] == 5
    text = (labelled / "classes.json").read_text()
    (labelled / "classes.json").write_text(text.replace("corners", "edges"))
    assert prepare_dataset(PreparationConfig(num_bins=8), labelled, out) is not None
    assert open_dataset(out).classes.attribute_names == ("edges", "round")


def test_any_folder_is_one_unlabelled_partition(tmp_path):
    for name in ("b/2.mp4", "a.mp4"):
        write_clip(tmp_path / "videos" / name)
    prepare_dataset(PreparationConfig(), tmp_path / "videos", tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.classes is None and dataset.num_clips == {"clips": 2}
    assert dataset.origin == UNSTATED_ORIGIN
    clips = load_partition(tmp_path / "out", "clips")
    assert clips.label.tolist() == [-1, -1] and clips.path == ("a.mp4", "b/2.mp4")


def test_events_of_a_bin_are_those_of_its_frames(tmp_path):
    # the square advances two pixels to the right in each of 16 intervals: ON columns follow it
    clip = load_video(write_clip(tmp_path / "a.mp4"), VideoConfig())
    config = PreparationConfig(events=EventConfig(cells=32, min_events=4))
    spikes = clip_features(clip, config).visual_events.reshape(16, 2, 32, 32)
    leading = [np.nonzero(spikes[b, 0, 14:18].all(axis=0))[0].tolist() for b in range(16)]
    trailing = [np.nonzero(spikes[b, 1, 14:18].all(axis=0))[0].tolist() for b in range(16)]
    assert leading == [[12 + b] for b in range(16)]
    assert trailing == [[4 + b] for b in range(16)]


def test_duration_selects_the_first_seconds(tmp_path):
    clip = load_video(write_clip(tmp_path / "a.mp4"), VideoConfig())
    whole = clip_features(clip, PreparationConfig(num_bins=16))
    half = clip_features(clip, PreparationConfig(num_bins=8, duration_s=0.5))
    np.testing.assert_array_equal(half.visual_events, whole.visual_events[:8])
    np.testing.assert_array_equal(half.frame_features, whole.frame_features[:8])
    longer = clip_features(clip, PreparationConfig(num_bins=32, duration_s=2.0))
    np.testing.assert_array_equal(longer.visual_events[:16], whole.visual_events)
    assert not longer.visual_events[16:].any() and not longer.audio_events[20:].any()


def test_binning_conserves_events(tmp_path):
    clip = load_video(write_clip(tmp_path / "a.mp4"), VideoConfig())
    totals = {
        num_bins: visual_event_counts(
            clip.frames, clip.times_us, EventConfig(), num_bins=num_bins, duration_us=clip.duration_us
        ).sum()
        for num_bins in (1, 7, 16, 100)
    }
    assert len(set(totals.values())) == 1 and totals[1] > 1000


def test_frame_features_are_averages_and_empty_bins_repeat():
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    frames[0, :2, :2, 0] = 255
    frames[1, :, :, 1] = 51
    frames[2, :, :, 1] = 153
    features = frame_features(frames, np.array([0, 10, 40]), num_bins=4, duration_us=40, frame_cells=2)
    assert features.shape == (4, 12) and features.dtype == np.float32
    # bin 0 holds the frames at 0 and 10 µs; bins 1 and 2 none; bin 3 the one at 40
    np.testing.assert_allclose(features[0].reshape(2, 2, 3)[0, 0], [0.5, 0.1, 0], rtol=1e-6)
    np.testing.assert_array_equal(features[1], features[0])
    np.testing.assert_array_equal(features[2], features[0])
    np.testing.assert_allclose(features[3].reshape(4, 3), [[0, 0.6, 0]] * 4, rtol=1e-6)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_bad_clip_is_refused_and_nothing_is_left(tmp_path, num_workers):
    write_clip(tmp_path / "videos/a.mp4")
    (tmp_path / "videos/b.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"b\.mp4: unreadable or damaged"):
        prepare_dataset(PreparationConfig(), tmp_path / "videos", tmp_path / "out", num_workers=num_workers)
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_bad_clips_are_skipped_on_request_and_named(tmp_path, num_workers):
    write_clip(tmp_path / "videos/a.mp4")
    (tmp_path / "videos/b.mp4").write_text("no video")
    write_mute(tmp_path / "videos/c.avi")
    config = PreparationConfig(bad_clips="skip")
    manifest = prepare_dataset(config, tmp_path / "videos", tmp_path / "out", num_workers=num_workers)
    assert set(manifest["skipped"]) == {"b.mp4", "c.avi"} and manifest["num_clips"] == 1
    assert json.loads((tmp_path / "out/manifest.json").read_text())["skipped"] == manifest["skipped"]
    (tmp_path / "videos/a.mp4").unlink()
    with pytest.raises(VideoError, match="no clip could be read; the first says"):
        prepare_dataset(config, tmp_path / "videos", tmp_path / "out2")


def test_silent_clip_gives_no_audio_spikes(tmp_path):
    write_mute(tmp_path / "videos/a.avi")
    config = PreparationConfig(video=VideoConfig(silent="zeros"))
    prepare_dataset(config, tmp_path / "videos", tmp_path / "out")
    clips = load_partition(tmp_path / "out", "clips")
    assert clips.visual_events.any() and not clips.audio_events.any() and not clips.audio_features.any()


def test_truncated_clips_are_named(tmp_path):
    write_clip(tmp_path / "videos/a.mp4")
    config = PreparationConfig(video=VideoConfig(max_frames=9, too_long="truncate"))
    assert prepare_dataset(config, tmp_path / "videos", tmp_path / "out")["truncated"] == ["a.mp4"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("train/disc/000.mp4", "class disc is 'test_unseen', allowed in train are classes of seen only: a held-out"),
        ("test_seen/disc/000.mp4", "allowed in test_seen are classes of seen and val_unseen only"),
        ("train/cat/000.mp4", "not at <partition>/<class>/<clip>"),
        ("dev/square/000.mp4", "not at <partition>/<class>/<clip>"),
        ("loose.mp4", "not at <partition>/<class>/<clip>"),
    ],
)
def test_misplaced_clip(labelled, tmp_path, place, message):
    write_clip(labelled / place)
    with pytest.raises(TrainingError, match=message):
        prepare_dataset(PreparationConfig(), labelled, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_bins": 0}, "num_bins is 0, allowed"),
        ({"duration_s": -1.0}, "duration_s is -1.0, allowed"),
        ({"frame_cells": 7}, "frame_cells is 7, allowed are divisors"),
        ({"events": EventConfig(cells=48)}, "cells is 48, allowed are divisors"),
        ({"bad_clips": "ignore"}, "bad_clips is 'ignore', allowed"),
        (
            {
                "events": EventConfig(contrast_on=0.01),
                "video": VideoConfig(height_px=1024, width_px=1024, max_frames=100),
            },
            "raise contrast_on",
        ),
    ],
)
def test_config_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        PreparationConfig(**values)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.attrs.__setitem__("format", "other"), "format 'other', allowed is"),
        (lambda f: f.__delitem__("train"), "no partition 'train'; it holds test_seen"),
        (lambda f: f["train"].__delitem__("audio_events"), "lacks 'audio_events'"),
        (lambda f: f["train/label"].resize(1, axis=0), r"visual_events: shape \(2, 16, 512\), allowed is"),
        (lambda f: f["train/frame_features"].__setitem__((0, 0, 0), np.nan), "frame_features: NaN"),
        (lambda f: f["train/visual_events"].__setitem__((0, 0, 0), 7), "visual_events: NaN or values outside 0..1"),
        (lambda f: f["train/label"].__setitem__(0, 9), "label: outside 0..1"),
        (lambda f: f["train/label"].__setitem__(0, 1), "holds disc, allowed are classes of seen only"),
        (lambda f: f["classes/attributes"].__setitem__((0, 0), np.inf), "NaN, infinity"),
        (lambda f: f.create_group("extra"), r"unknown groups \['extra'\]"),
        (lambda f: f.attrs.__setitem__("config", "{"), "damaged"),
        (lambda f: f.attrs.__delitem__("origin"), "damaged"),
        (lambda f: f.attrs.__setitem__("origin", 3), "origin: allowed is one line"),
        (
            lambda f: (f["train"].__delitem__("label"), f["train"].__setitem__("label", h5py.ExternalLink("x", "/y"))),
            "lacks 'label'",
        ),
    ],
)
def test_damaged_dataset(labelled, tmp_path, damage, message):
    prepare_dataset(PreparationConfig(), labelled, tmp_path / "out")
    with h5py.File(tmp_path / "out/dataset.h5", "r+") as file:
        damage(file)
    with pytest.raises(TrainingError, match=message) as caught:
        load_partition(tmp_path / "out", "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"not hdf5", "cut"])
def test_no_dataset(labelled, tmp_path, content):
    path = tmp_path / "dataset.h5"
    if content == "cut":
        prepare_dataset(PreparationConfig(), labelled, tmp_path / "out")
        whole = (tmp_path / "out/dataset.h5").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match="no such file" if content is None else "damaged"):
        open_dataset(path)
