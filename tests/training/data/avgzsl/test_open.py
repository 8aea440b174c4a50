"""A folder in the AVCA family's layout, opened as the data set that training reads."""

import numpy as np
import pytest

from hardware_profiles.errors import ConfigError
from training.data.avgzsl import clips
from training.data.avgzsl.config import AvgzslConfig
from training.data.avgzsl.open import open_avgzsl
from training.data.avgzsl.surrogate_events import piecewise_spikes, ramp_spikes
from training.errors import TrainingError

from .files import Made, real, write_h5, write_layout, write_pkl


def config_of(root, made, **changes):
    return AvgzslConfig(root=str(root), name=made.name, features=made.features, split=made.split, **changes)


@pytest.fixture
def small(tmp_path):
    write_layout(tmp_path, Made())
    return tmp_path


def batch_of(data, partition):
    part = data.load(partition)
    return part.batch(np.arange(len(part.label)))


def test_names_roles_sizes_and_labels(small):
    data = open_avgzsl(config_of(small, Made(), num_steps=6, dt_s=0.5))
    assert data.names == ("Apple", "Bee, wasp", "Cut", "Dig")
    assert data.splits == ("seen", "val_unseen", "seen", "test_unseen")
    assert data.roles("A").seen.tolist() == [0, 2] and data.roles("A").unseen.tolist() == [1]
    assert data.roles("B").seen.tolist() == [0, 1, 2] and data.roles("B").unseen.tolist() == [3]
    sizes = data.sizes
    assert (sizes.visual_shape, sizes.audio_shape) == ((14,), (10,))
    assert (sizes.frame_features, sizes.audio_features, sizes.attributes) == (7, 5, 4)
    assert (sizes.num_steps, sizes.dt_s) == (6, 0.5)
    assert data.partitions == ("train", "val_seen", "val_unseen", "test_seen", "test_unseen")
    assert {name: data.load(name).label.tolist() for name in data.partitions} == {
        "train": [0, 0, 0, 0, 2, 2, 2],
        "val_seen": [0, 0, 2],
        "val_unseen": [1, 1, 1],
        "test_seen": [0, 1, 1, 2],
        "test_unseen": [3, 3],
    }
    assert len(data.training_clips("B").label) == 13
    assert "surrogate" in data.origin and "main_features" in data.title


def test_features_are_those_of_the_files_and_events_those_of_the_features(small):
    made = Made()
    rows = np.arange(20, dtype=np.float32).reshape(4, 5) / 10 - 1
    folder = small / "Small/features/main_features/audio/stage_1_train"
    urls = [f"v_Apple_stage_1_train_{number:04d}" for number in range(4)]
    write_h5(folder / "Apple.h5", rows, urls)
    data = open_avgzsl(config_of(small, made, num_steps=8))
    part = data.load("train")
    batch = part.batch(np.array([3, 0, 5]))
    assert [tuple(field.shape) for field in batch] == [(3, 8, 14), (3, 8, 10), (3, 1, 7), (3, 1, 5)]
    np.testing.assert_array_equal(batch.audio_features[:2, 0], rows[[3, 0]])
    whole = batch_of(data, "train")
    scale = np.sqrt(whole.audio_features[:, 0].numpy().astype(np.float64).var(axis=0).mean())
    level_q = np.rint(rows.astype(np.float64) / scale * 65536).astype(np.int64)
    np.testing.assert_array_equal(whole.audio_events[:4], ramp_spikes(level_q, 8, (16384, 16384)))
    for events in (whole.audio_events, whole.visual_events):
        assert events.any() and not events.all() and set(events.unique().tolist()) == {0, 1}


def test_only_training_clips_set_the_contrast(small):
    made = Made()
    before = open_avgzsl(config_of(small, made))
    seen = {name: batch_of(before, name) for name in ("train", "val_seen")}
    folder = small / "Small/features/main_features"
    for modality, size in (("audio", 5), ("video", 7)):
        urls = [f"v_Dig_stage_2_test_unseen_{number:04d}" for number in range(2)]
        write_h5(folder / modality / "stage_2_test_unseen/Dig.h5", np.full((2, size), 50, np.float32), urls)
    after = open_avgzsl(config_of(small, made))
    for name, batch in seen.items():
        for got, expected in zip(batch_of(after, name), batch, strict=True):
            np.testing.assert_array_equal(got, expected)
    assert batch_of(after, "test_unseen").audio_events[..., :5].all()


def test_start_and_thresholds_change_the_events(small):
    made = Made()
    plain, mean, coarse = (
        batch_of(open_avgzsl(config_of(small, made, **options)), "train").visual_events
        for options in ({}, {"start": "training_mean"}, {"contrast_on": 1.5, "contrast_off": 1.5})
    )
    assert (plain != mean).any() and 0 < coarse.sum() < plain.sum()


def test_legacy_order_is_said_in_the_title(small):
    named, legacy = (open_avgzsl(config_of(small, Made(), legacy_order=legacy)) for legacy in (False, True))
    assert (named.attributes != legacy.attributes).any()
    assert "published code's order" in legacy.title and "published code's order" not in named.title


def test_ucf_whole_with_real_splits(tmp_path):
    made = real("UCF", num_audio=6, num_video=8, num_words=12)
    write_layout(tmp_path, made.with_union())
    data = open_avgzsl(config_of(tmp_path, made))
    assert {name: len(data.load(name).label) for name in data.partitions} == {
        "train": 3174,
        "val_seen": 353,
        "val_unseen": 1467,
        "test_seen": 555,
        "test_unseen": 1267,
    }
    assert len(data.training_clips("B").label) == 4994
    assert len(data.names) == 51 and [len(role) for role in data.roles("B")] == [42, 9]


def test_cls_split_leaves_out_files_of_other_classes(tmp_path):
    made = real("UCF", "cls_split", features="cls_features")
    write_layout(tmp_path, made)
    data = open_avgzsl(config_of(tmp_path, made))
    left_out = sum(made.clips["stage_2_test_unseen"][name] for name in ("BandMarching", "BrushingTeeth", "Typing"))
    assert len(data.load("test_unseen").label) == 1267 - left_out
    assert len(data.names) == 48 and "BandMarching, BrushingTeeth, Typing" in data.origin


def test_clips_that_are_not_averaged_become_one_vector_per_step(tmp_path):
    made = Made(averaged=False)
    write_layout(tmp_path, made)
    data = open_avgzsl(config_of(tmp_path, made, num_steps=4))
    batch = batch_of(data, "train")
    assert [tuple(field.shape) for field in batch] == [(7, 4, 14), (7, 4, 10), (7, 4, 7), (7, 4, 5)]
    scale = data.load("train")._contrasts["video"].scale
    level_q = np.rint(batch.frame_features.numpy().astype(np.float64) / scale * 65536).astype(np.int64)
    np.testing.assert_array_equal(batch.visual_events, piecewise_spikes(level_q, (16384, 16384)))
    off = batch.visual_events.reshape(7, 4, 2, 7)[:, 1:, 1]
    assert batch.visual_events.any() and off.any()
    again = batch_of(open_avgzsl(config_of(tmp_path, made, num_steps=4)), "train")
    np.testing.assert_array_equal(again.frame_features, batch.frame_features)


def test_long_clips_are_trimmed_in_both_modalities_alike(tmp_path):
    made = Made(averaged=False, num_audio=2, num_video=2)
    write_layout(tmp_path, made)
    folder = tmp_path / "Small/features/main_features"
    ramp = np.repeat(np.arange(100, dtype=np.float32)[:, None], 2, axis=1)
    urls = [f"{number}" for number in range(8)]
    for stage in ("stage_1_train", "stage_1_val_seen"):
        for modality in ("audio", "video"):
            write_pkl(folder / modality / stage / "Cut.pkl", [ramp.copy() for _ in range(8)], urls)
    data = open_avgzsl(config_of(tmp_path, made, num_steps=10, train_trim=10, test_trim=20))
    part = data.load("train")
    train = part.batch(np.flatnonzero(part.label == 2))
    np.testing.assert_array_equal(np.diff(train.frame_features[:, :, 0]), 1)
    assert len(set(train.frame_features[:, 0, 0].tolist())) > 3
    np.testing.assert_array_equal(train.frame_features, train.audio_features)
    part = data.load("val_seen")
    val = part.batch(np.flatnonzero(part.label == 2))
    np.testing.assert_array_equal(val.frame_features[:, :, 0], np.tile(np.arange(10) * 2 + 40.5, (8, 1)))


def test_a_class_without_file_is_an_error(small):
    for modality in ("audio", "video"):
        (small / f"Small/features/main_features/{modality}/stage_2_test_seen/Cut.h5").unlink()
    data = open_avgzsl(config_of(small, Made()))
    assert "clips on disk differ from the csv: Cut 0 of 1" in data.origin
    with pytest.raises(TrainingError, match="stage_2_test_seen: no file for class 'Cut'; unpack"):
        data.load("test_seen")


def rewrite(root, stage, name, audio, video, count):
    for modality, size in (("audio", audio), ("video", video)):
        path = root / f"Small/features/main_features/{modality}/{stage}/{name}.h5"
        rows = np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)
        write_h5(path, rows, [f"{number}" for number in range(count)])


def test_vectors_of_another_size_are_an_error(small):
    rewrite(small, "stage_2_test_unseen", "Dig", 5, 9, 2)
    data = open_avgzsl(config_of(small, Made()))
    with pytest.raises(TrainingError, match="video vectors of 9 values, the training clips 7"):
        data.load("test_unseen")
    rewrite(small, "stage_1_train", "Cut", 4, 7, 3)
    with pytest.raises(TrainingError, match="class 'Cut': audio vectors of 4 values, before it 5"):
        open_avgzsl(config_of(small, Made()))


def test_averaged_and_other_files_are_not_mixed(small):
    folder = small / "Small/features/main_features"
    for modality, size in (("audio", 5), ("video", 7)):
        (folder / modality / "stage_1_train/Cut.h5").unlink()
        write_pkl(folder / modality / "stage_1_train/Cut.pkl", [np.ones((2, size), np.float32)], ["a"])
    with pytest.raises(TrainingError, match="averaged and other files are mixed"):
        open_avgzsl(config_of(small, Made()))


def test_an_outlier_beyond_the_event_rules_integers_is_an_error(small):
    path = small / "Small/features/main_features/audio/stage_2_test_unseen/Dig.h5"
    urls = [f"v_Dig_stage_2_test_unseen_{number:04d}" for number in range(2)]
    write_h5(path, np.full((2, 5), 1e6, np.float32), urls)
    data = open_avgzsl(config_of(small, Made()))
    with pytest.raises(TrainingError, match="audio features: values up to 1e\\+06, allowed are 1024"):
        data.load("test_unseen")


def test_a_partition_that_does_not_fit_is_refused(small, monkeypatch):
    monkeypatch.setattr(clips, "MAX_PARTITION_BYTES", 100)
    with pytest.raises(TrainingError, match="more than 100 bytes"):
        open_avgzsl(config_of(small, Made()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../UCF"}, "name is '../UCF', allowed is the plain name"),
        ({"features": "/etc"}, "features is '/etc'"),
        ({"split": ""}, "split is ''"),
        ({"text_files": ("a/b.npy",)}, "text_files is 'a/b.npy'"),
        ({"contrast_on": 0.0}, r"contrast_on is 0.0, allowed are 0.01..100"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"train_trim": 0}, "train_trim is 0"),
        ({"dt_s": 0.0}, "dt_s is 0.0"),
    ],
)
def test_settings_out_of_range(changes, message):
    settings = {"root": ".", "name": "UCF", "features": "main_features", **changes}
    with pytest.raises(ConfigError, match=message):
        AvgzslConfig(**settings)


def test_training_learns_from_generated_features(tmp_path):
    """The fixture's features do carry their class: nearest training mean beats chance on validation clips."""
    made = real("UCF", num_audio=32, num_video=32, num_words=16)
    write_layout(tmp_path, made)
    data = open_avgzsl(config_of(tmp_path, made))
    train, val = data.load("train"), data.load("val_seen")
    vectors = train.batch(np.arange(len(train.label))).frame_features[:, 0].numpy()
    classes = np.unique(train.label)
    means = np.stack([vectors[train.label == index].mean(axis=0) for index in classes])
    query = val.batch(np.arange(len(val.label))).frame_features[:, 0].numpy()
    nearest = classes[((query[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)]
    assert (nearest == val.label).mean() > 0.9
