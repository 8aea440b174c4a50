"""The picture: a PNG with the frames and both colours in it."""

import numpy as np
import pytest
from matplotlib.image import imread

from hardware_profiles.errors import ConfigError
from training.data.picture import OFF_RGB, ON_RGB, draw_picture, polarity_image
from training.data.prepare import PreparationConfig
from training.errors import VideoError

from .clips import write_clip, write_mute


def test_colours_of_events():
    image = polarity_image(np.array([[[0, 9, 0]], [[0, 0, 9]]]))
    np.testing.assert_allclose(image, [[[1, 1, 1], ON_RGB, OFF_RGB]])


def share_of(image, rgb):
    return (np.abs(image[..., :3] - np.asarray(rgb)).max(axis=-1) < 0.05).mean()


@pytest.mark.parametrize("write", [write_clip, write_mute])
def test_picture_shows_frames_and_events(tmp_path, write):
    clip = write(tmp_path / "clip.mp4")
    draw_picture(clip, tmp_path / "clip.png", PreparationConfig(), size_px=64, num_columns=4)
    image = imread(tmp_path / "clip.png")
    assert image.shape[1] > image.shape[0] > 300
    for rgb in (ON_RGB, OFF_RGB, np.array([70, 70, 70]) / 255):
        assert share_of(image, rgb) > 0.002
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["clip.mp4", "clip.png"]


def test_bad_input_leaves_no_picture(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        draw_picture(tmp_path / "none.mp4", tmp_path / "a.png", PreparationConfig())
    with pytest.raises(ConfigError, match="--size 8 --columns 8: allowed"):
        draw_picture(write_clip(tmp_path / "clip.mp4"), tmp_path / "a.png", PreparationConfig(), size_px=8)
    assert not (tmp_path / "a.png").exists()
