"""The benchmark on disk: layout, determinism, flipped pairs, and what every knob changes."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest

from hardware_profiles.errors import ArtifactError, ConfigError
from training.data.activity import draw_activity
from training.data.attributes import ORIGIN, parse_class
from training.data.classes import PARTITION_SPLIT, read_classes
from training.data.render import SCENE, BenchmarkConfig, PlannedClip, plan_clips, render_benchmark, render_clip
from training.data.scenes import draw_scene, object_cover
from training.data.video import VideoConfig, load_video
from training.errors import TrainingError

SMALL = BenchmarkConfig(
    num_seen=6, num_val_unseen=1, num_test_unseen=1, train_clips=2, val_seen_clips=1, val_unseen_clips=3,
    test_clips=1, flipped_clips=1, num_frames=5, size_px=32,
)  # fmt: skip
BIASED = BenchmarkConfig(background_bias=1.0, background_bias_test=1.0, background_bias_flipped=-1.0, flipped_clips=5)
TABLE = BIASED.classes()


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    out = tmp_path_factory.mktemp("render") / "videos"
    assert render_benchmark(SMALL, out) is not None
    return out


def test_layout(rendered):
    table = read_classes(rendered / "classes.json")
    assert table.names == SMALL.classes().names
    clips = Counter(path.relative_to(rendered).parts[0] for path in rendered.rglob("*.mp4"))
    assert clips == {
        "train": 12, "val_seen": 6, "val_unseen": 3, "test_seen": 7, "test_unseen": 1, "flipped_seen": 7,
        "flipped_unseen": 1,
    }  # fmt: skip
    held = {partition: set() for partition in clips}
    for path in rendered.rglob("*.mp4"):
        partition, name, _ = path.relative_to(rendered).parts
        held[partition].add(table.splits[table.names.index(name)])
    assert {partition: tuple(sorted(splits)) for partition, splits in held.items()} == {
        partition: tuple(sorted(splits)) for partition, splits in PARTITION_SPLIT.items()
    }
    manifest = json.loads((rendered / "manifest.json").read_text())
    assert manifest["stage"] == "render" and manifest["config"]["num_seen"] == 6 and manifest["num_clips"] == 37


def test_it_says_itself_that_it_is_synthetic(rendered):
    assert "synthetic" in ORIGIN
    assert read_classes(rendered / "classes.json").origin == ORIGIN
    assert json.loads((rendered / "manifest.json").read_text())["origin"] == ORIGIN


def test_two_workers_write_the_bytes_of_one(rendered, tmp_path):
    render_benchmark(SMALL, tmp_path / "again", num_workers=2)
    files = {path.relative_to(rendered): path.read_bytes() for path in rendered.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*.*")}
    assert files == again
    assert len({content for path, content in files.items() if path.suffix == ".mp4"}) == 37


def test_no_clip_is_another_ones_twin(rendered):
    config = VideoConfig(height_px=32, width_px=32)
    frames = {load_video(path, config).frames.tobytes() for path in rendered.rglob("*.mp4")}
    assert len(frames) == 37


def test_a_clip_does_not_depend_on_how_many_there_are(rendered, tmp_path):
    changed = dataclasses.replace(SMALL, train_clips=1, test_clips=2, flipped_clips=2)
    render_benchmark(changed, tmp_path / "other")
    for path in (tmp_path / "other").rglob("000.mp4"):
        assert path.read_bytes() == (rendered / path.relative_to(tmp_path / "other")).read_bytes()


def test_up_to_date_is_not_rendered_again(rendered):
    before = (rendered / "manifest.json").stat().st_mtime_ns
    assert render_benchmark(SMALL, rendered) is None
    assert (rendered / "manifest.json").stat().st_mtime_ns == before


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    with pytest.raises(ArtifactError, match=r"holds no manifest\.json"):
        render_benchmark(SMALL, tmp_path / "mine")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["thesis.txt"]


def test_no_worker_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(TrainingError, match="workers: are 0, allowed is at least 1"):
        render_benchmark(SMALL, tmp_path / "out", num_workers=0)
    assert list(tmp_path.iterdir()) == []


def test_the_plan_lists_every_clip_once():
    clips = plan_clips(BenchmarkConfig(), TABLE)
    assert len(set(clips)) == len(clips) == 30 * (16 + 5 + 5) + 10 * (10 + 5) + 12 * 5 == 990
    assert {clip.partition for clip in clips}.isdisjoint({"flipped_seen", "flipped_unseen"})
    flipped = plan_clips(BIASED, TABLE)[990:]
    assert Counter(clip.partition for clip in flipped) == {"flipped_seen": 40 * 5, "flipped_unseen": 12 * 5}


def scene_of(clip):
    """Cover [F, S, S] and activity of a clip, from its stream of random numbers as documented."""
    place = list(PARTITION_SPLIT).index(clip.partition)
    rng = np.random.default_rng([BIASED.seed, place, clip.label, clip.number, SCENE])
    combination = parse_class(TABLE.names[clip.label])
    scene = draw_scene(combination.object, combination.motion, rng)
    activity = draw_activity(BIASED.rest_share, rng)
    return object_cover(scene, activity, num_frames=BIASED.num_frames, size_px=BIASED.size_px), activity


@pytest.mark.parametrize("split", ["seen", "val_unseen", "test_unseen"])
def test_a_flipped_clip_is_its_test_clip_before_another_background(split):
    label = TABLE.splits.index(split)
    kind = "unseen" if split == "test_unseen" else "seen"
    for number in range(3):
        test = PlannedClip(f"test_{kind}", label, number)
        flipped = PlannedClip(f"flipped_{kind}", label, number)
        (frames, sound), (other_frames, other_sound) = (render_clip(c, TABLE, BIASED) for c in (test, flipped))
        np.testing.assert_array_equal(sound, other_sound)
        cover, _ = scene_of(test)
        inside, outside = cover == 1, cover == 0
        assert inside.any() and outside.any()
        np.testing.assert_array_equal(frames[inside], other_frames[inside])
        difference = frames[outside].astype(int) - other_frames[outside]
        assert np.abs(difference).max(axis=1).mean() > 15
        # what changes from frame to frame outside the object is the camera's noise, and that is the same
        still = outside.all(axis=0)
        steps, other_steps = (np.diff(f[:, still].astype(int), axis=0) for f in (frames, other_frames))
        assert np.abs(steps - other_steps).max() <= 2 and steps.any()


def test_the_sound_is_loud_while_the_object_moves_and_the_distractor_while_it_rests():
    quiet = dataclasses.replace(BIASED, distractor_probability=0.0)
    loud = dataclasses.replace(BIASED, distractor_probability=1.0)
    for label in range(0, 52, 5):
        clip = PlannedClip("val_unseen", label, 0)
        _, activity = scene_of(clip)
        time = np.arange(17_000) / 16_000
        moving, resting = activity.speed(time) > 0.5, activity.rests().speed(time) > 0.5
        alone, both = render_clip(clip, TABLE, quiet).sound, render_clip(clip, TABLE, loud).sound
        assert alone[moving].std() > 7 * alone[resting].std() and alone[resting].std() < 0.008
        assert both[resting].std() > 7 * alone[resting].std()
        np.testing.assert_array_equal(both[moving & (activity.rests().speed(time) == 0)], alone[moving])


KNOBS = [
    ("background_bias", 0.0, {"frames"}),
    ("rest_share", 0.0, {"frames", "sound"}),
    ("audible_motion", 0.0, {"sound"}),
    ("distractor_probability", 0.0, {"sound"}),
    ("distractor_level", 0.0, {"sound"}),
    ("camera_noise", 0.0, {"frames"}),
    ("seed", 1, {"frames", "sound"}),
]


@pytest.mark.parametrize(("name", "value", "changed"), KNOBS)
def test_a_knob_changes_what_it_is_for_and_nothing_else(name, value, changed):
    base = dataclasses.replace(BIASED, distractor_probability=1.0)
    other = dataclasses.replace(base, **{name: value})
    for number in range(2):
        clip = PlannedClip("train", 3, number)
        one, two = render_clip(clip, TABLE, base), render_clip(clip, TABLE, other)
        assert {
            field for field in one._fields if not np.array_equal(getattr(one, field), getattr(two, field))
        } == changed


def test_effects_at_zero_are_off():
    off = dataclasses.replace(BIASED, rest_share=0.0, distractor_level=0.0, camera_noise=0.0)
    clip = PlannedClip("train", 3, 0)
    rendered = render_clip(clip, TABLE, off)
    # a background without noise stands still to the last bit, and the object never does
    assert not np.diff(rendered.frames[:, :2, :2].astype(int), axis=0).any()
    assert np.diff(rendered.frames.astype(int), axis=0).any(axis=(1, 2, 3)).all()
    unheard = dataclasses.replace(off, distractor_probability=0.0)
    np.testing.assert_array_equal(rendered.sound, render_clip(clip, TABLE, unheard).sound)


def test_a_test_clips_bias_is_its_own():
    for name, partition in (("background_bias_test", "test_seen"), ("background_bias_flipped", "flipped_seen")):
        other = dataclasses.replace(BIASED, **{name: 0.0})
        for where in ("train", "test_seen", "flipped_seen"):
            clip = PlannedClip(where, 3, 0)
            same = np.array_equal(render_clip(clip, TABLE, BIASED).frames, render_clip(clip, TABLE, other).frames)
            assert same == (where != partition)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"background_bias": 1.5}, "background_bias is 1.5, allowed are 0..1"),
        ({"background_bias_test": -2.0}, "background_bias_test is -2.0, allowed are -1..1"),
        ({"size_px": 65}, "size_px is 65, allowed are even"),
        ({"sample_rate_hz": 16_001}, "sample_rate_hz is 16001, allowed"),
        ({"num_seen": 140}, "at most 144 together"),
        ({"flipped_clips": 6}, r"flipped_clips is 6, allowed are 0\.\.5"),
        ({"rest_share": 0.8}, r"rest_share is 0.8, allowed are 0\.\.0.7"),
        ({"audible_motion": float("nan")}, "audible_motion is nan, allowed"),
        ({"distractor_probability": -0.1}, "distractor_probability is -0.1, allowed"),
        ({"distractor_level": 3.0}, "distractor_level is 3.0, allowed"),
        ({"camera_noise": 17.0}, "camera_noise is 17.0, allowed"),
        ({"seed": -1}, "seed is -1, allowed"),
    ],
)
def test_config_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        BenchmarkConfig(**values)
