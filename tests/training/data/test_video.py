"""The loader on ordinary, odd and broken files."""

import wave

import numpy as np
import pytest

from hardware_profiles.errors import ConfigError
from training.data.video import VideoConfig, find_videos, load_video
from training.errors import VideoError

from .clips import clicks, moving_frames, write_clip, write_mute


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("video") / "clip.mp4")


def refused(path, **settings):
    """The one line that a file is refused with."""
    with pytest.raises(VideoError) as caught:
        load_video(path, VideoConfig(**settings))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_frames_times_and_sound_survive_the_file(path):
    clip = load_video(path, VideoConfig())
    assert clip.frames.shape == (17, 64, 64, 3) and clip.frames.dtype == np.uint8
    assert clip.times_us.tolist() == [62_500 * k for k in range(17)]
    assert clip.timestamps_s[-1] == 1.0 and clip.duration_us == 1_000_000
    assert clip.source_size_px == (64, 64) and not clip.truncated
    # lossy: colour planes are halved, so edges are off by more than flat parts
    error = np.abs(clip.frames.astype(int) - moving_frames())
    assert error.mean() < 2 and np.median(error) <= 2


def test_sound_keeps_time_with_the_pictures(path):
    sound, sent = load_video(path, VideoConfig()).sound, clicks()
    assert sound.dtype == np.float32 and sound.shape == (17_000,)
    lag = np.correlate(sound, sent, "full").argmax() - (len(sent) - 1)
    assert lag == 0
    assert np.corrcoef(sound, sent)[0, 1] > 0.9


def test_size_and_rate_are_those_asked_for(path):
    clip = load_video(path, VideoConfig(height_px=16, width_px=32, sample_rate_hz=8000))
    assert clip.frames.shape == (17, 16, 32, 3)
    assert clip.sound.shape == (8500,) and clip.sample_rate_hz == 8000
    # an area average: a cell of the flat background keeps its value
    assert abs(int(clip.frames[0, 0, -1, 0]) - 70) <= 3


def test_loading_twice_gives_equal_arrays(path):
    first, second = (load_video(path, VideoConfig()) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.sound, second.sound)


def test_missing_file(tmp_path):
    assert "no such file" in refused(tmp_path / "none.mp4")


@pytest.mark.parametrize("content", [b"this is text, not a video\n" * 50, b"", b"\x00\x00\x00\x20ftypisom"])
def test_not_a_video(tmp_path, content, capfd):
    path = tmp_path / "fake.mp4"
    path.write_bytes(content)
    assert "give a" in refused(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("percent", [1, 10, 40, 70, 95])
def test_cut_off_file(path, tmp_path, percent, capfd):
    whole = path.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * percent // 100])
    assert "whole video file" in refused(cut) or "no pictures" in refused(cut)
    assert capfd.readouterr() == ("", "")


def test_file_cut_between_two_packets(path, tmp_path):
    # every packet that is left is whole, so only the stated duration tells
    import av

    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: next(packet.pos for packet in packets if packet.pos and packet.pts == 6144)])
    assert "whole video file" in refused(cut)


def test_sound_file_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x00\x10" * 8000)
    assert "holds no pictures" in refused(path)


def test_video_without_sound(tmp_path):
    path = write_mute(tmp_path / "mute.avi")
    assert 'it has no sound; give a clip with sound, or set silent = "zeros"' in refused(path)
    clip = load_video(path, VideoConfig(silent="zeros"))
    assert clip.sound.shape == (17_000,) and not clip.sound.any() and len(clip.frames) == 17


def test_digital_silence_is_no_sound(tmp_path):
    path = write_clip(tmp_path / "zeros.mp4", sound=np.zeros(17_000, np.float32))
    assert "its sound is all zeros" in refused(path)
    assert not load_video(path, VideoConfig(silent="zeros")).sound.any()


def test_one_frame_is_too_few(tmp_path):
    path = write_clip(tmp_path / "still.mp4", num_frames=1)
    assert "1 frame(s), allowed are 2 or more" in refused(path)


@pytest.mark.parametrize(("limit", "num_frames"), [({"max_frames": 5}, 5), ({"max_duration_s": 0.5}, 9)])
def test_too_long_is_refused_or_truncated(path, limit, num_frames):
    assert 'too_long = "truncate"' in refused(path, **limit)
    clip = load_video(path, VideoConfig(too_long="truncate", **limit))
    assert clip.truncated and len(clip.frames) == num_frames
    # sound ends with the last frame, which is shown for one interval
    assert len(clip.sound) == num_frames * 1000


def test_file_names_are_never_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "concat:a|b.mp4").write_text("text")
    assert "unreadable" in refused((tmp_path / "concat:a|b.mp4").relative_to(tmp_path))


def test_find_videos_is_sorted_recursive_and_skips_hidden_files(tmp_path):
    for name in ("b/2.MP4", "b/1.mkv", "a.avi", ".hidden/x.mp4", ".x.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(p.relative_to(tmp_path)) for p in find_videos(tmp_path)] == ["a.avi", "b/1.mkv", "b/2.MP4"]


def test_folder_without_videos(tmp_path):
    with pytest.raises(VideoError, match="holds no video; allowed are"):
        find_videos(tmp_path)
    with pytest.raises(VideoError, match="no such folder"):
        find_videos(tmp_path / "none")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height_px": 4}, "height_px is 4, allowed"),
        ({"sample_rate_hz": 1}, "sample_rate_hz is 1, allowed"),
        ({"max_duration_s": float("nan")}, "max_duration_s is nan, allowed"),
        ({"max_frames": 1}, "max_frames is 1, allowed"),
        ({"too_long": "cut"}, "too_long is 'cut', allowed"),
        ({"silent": "no"}, "silent is 'no', allowed"),
        ({"width_px": 2048, "height_px": 2048}, "lower max_frames or the size"),
    ],
)
def test_config_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        VideoConfig(**values)
