"""The benchmark on disk: layout, determinism, and the background-bias knob."""

import json
from collections import Counter

import numpy as np
import pytest

from hardware_profiles.errors import ArtifactError, ConfigError
from training.data.classes import PARTITION_SPLIT, read_classes
from training.data.render import BenchmarkConfig, draw_background, plan_clips, render_benchmark
from training.data.video import VideoConfig, load_video

SMALL = BenchmarkConfig(
    num_seen=4, num_val_unseen=1, num_test_unseen=1, train_clips=2, val_clips=1, test_clips=1, num_frames=5, size_px=32
)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    out = tmp_path_factory.mktemp("render") / "videos"
    assert render_benchmark(SMALL, out) is not None
    return out


def test_layout(rendered):
    table = read_classes(rendered / "classes.json")
    assert table.names == SMALL.classes().names
    clips = Counter(path.relative_to(rendered).parts[0] for path in rendered.rglob("*.mp4"))
    assert clips == {"train": 8, "val_seen": 4, "val_unseen": 1, "test_seen": 4, "test_unseen": 1}
    for path in rendered.rglob("*.mp4"):
        partition, name, _ = path.relative_to(rendered).parts
        assert table.splits[table.names.index(name)] == PARTITION_SPLIT[partition]
    manifest = json.loads((rendered / "manifest.json").read_text())
    assert manifest["stage"] == "render" and manifest["config"]["num_seen"] == 4 and manifest["num_clips"] == 18


def test_two_renders_decode_to_equal_frames_and_sound(rendered, tmp_path):
    render_benchmark(SMALL, tmp_path / "again")
    config = VideoConfig(height_px=32, width_px=32)
    paths = sorted(rendered.rglob("*.mp4"))
    seen = set()
    for path in paths:
        first = load_video(path, config)
        second = load_video(tmp_path / "again" / path.relative_to(rendered), config)
        np.testing.assert_array_equal(first.frames, second.frames)
        np.testing.assert_array_equal(first.sound, second.sound)
        seen.add(first.frames.tobytes())
    assert len(seen) == len(paths)


def test_a_clip_does_not_depend_on_how_many_there_are(rendered, tmp_path):
    import dataclasses

    render_benchmark(dataclasses.replace(SMALL, train_clips=1, test_clips=2), tmp_path / "other")
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


@pytest.mark.parametrize(
    ("bias", "own", "following"), [(1.0, 1, 0), (-1.0, 0, 1), (0.8, 0.825, 0.025), (0.0, 1 / 8, 1 / 8)]
)
def test_background_bias(bias, own, following):
    rng = np.random.default_rng(0)
    drawn = Counter(draw_background(7, 8, bias, rng) for _ in range(4000))
    assert drawn[7] / 4000 == pytest.approx(own, abs=0.03)
    assert drawn[0] / 4000 == pytest.approx(following, abs=0.03)


def test_the_plan_lists_every_clip_once():
    config = BenchmarkConfig()
    clips = plan_clips(config, config.classes())
    assert len(set(clips)) == len(clips) == 16 * (20 + 6 + 8) + 4 * 6 + 4 * 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"background_bias": 1.5}, "background_bias is 1.5, allowed are 0..1"),
        ({"background_bias_test": -2.0}, "background_bias_test is -2.0, allowed are -1..1"),
        ({"size_px": 65}, "size_px is 65, allowed are even"),
        ({"sample_rate_hz": 16_001}, "sample_rate_hz is 16001, allowed"),
        ({"num_seen": 40}, "at most 36 together"),
        ({"seed": -1}, "seed is -1, allowed"),
    ],
)
def test_config_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        BenchmarkConfig(**values)
