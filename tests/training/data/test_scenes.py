"""Rendered frames: shapes of equal area, movement in the stated direction, colours of stated luma."""

import numpy as np
import pytest

from training.data.attributes import MOTIONS, OBJECTS
from training.data.scenes import LUMA, Scene, draw_scene, render_frames, tint

STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def frames_of(shape, motion, background=0, seed=0, num_frames=9):
    rng = np.random.default_rng(seed)
    scene = draw_scene(shape, motion, background, 24, rng)
    return scene, render_frames(scene, num_frames=num_frames, size_px=64, rng=rng)


def centre_px(image):
    """Centre of the bright object, (x, y), by the luma above the background's brightest."""
    y, x = np.nonzero(image @ LUMA > 0.5 * 255)
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("shape", OBJECTS)
@pytest.mark.parametrize("motion", MOTIONS)
def test_the_object_moves_as_stated_and_nothing_else_moves(shape, motion):
    for seed in range(4):
        scene, frames = frames_of(shape, motion, background=seed, seed=seed)
        way = centre_px(frames[-1]) - centre_px(frames[0])
        along = way @ np.array(STEP[motion])
        assert abs(along - 64 * scene.travel) < 1.5
        assert np.linalg.norm(way - along * np.array(STEP[motion])) < 0.06 * 64
        # corners stay background: still up to the sensor noise of one grey level
        assert np.abs(np.diff(frames[:, :4, :4].astype(int), axis=0)).max() <= 8


@pytest.mark.parametrize("shape", OBJECTS)
def test_all_shapes_cover_the_area_of_the_disc(shape):
    scene = Scene(
        shape=shape, motion="left", radius=0.18, travel=0.0, offset=(0.0, 0.0), drift=0.0, turn_rad=0.1,
        object_rgb=(0.9, 0.9, 0.9), background=0, num_backgrounds=4,
    )  # fmt: skip
    image = render_frames(scene, num_frames=2, size_px=256, rng=np.random.default_rng(0))[0]
    area = np.mean(image @ LUMA > 0.6 * 255)
    assert area == pytest.approx(np.pi * 0.18**2, rel=0.03)


def test_shapes_differ():
    scenes = [frames_of(shape, "left")[1][4] for shape in OBJECTS]
    for i in range(3):
        bright = [image @ LUMA > 0.5 * 255 for image in (scenes[i], scenes[(i + 1) % 3])]
        assert np.logical_xor(*bright).sum() > 40


def test_the_object_always_stands_out_by_several_thresholds():
    for seed in range(24):
        _, frames = frames_of(OBJECTS[seed % 3], MOTIONS[seed % 4], background=seed, seed=seed)
        level = np.log(frames[0] @ LUMA / 255 + 0.05)
        inside = level[tuple(np.rint(centre_px(frames[0])[::-1]).astype(int))]
        assert inside - np.quantile(level, 0.5) > 2 * 0.2


@pytest.mark.parametrize("hue", np.linspace(0, 1, 13))
@pytest.mark.parametrize("luma", [0.3, 0.65, 0.95])
def test_tint_has_the_luma_asked_for(hue, luma):
    colour = np.array(tint(hue, luma=luma, chroma=0.35))
    assert colour @ LUMA == pytest.approx(luma, abs=1e-9)
    assert colour.min() >= -1e-9 and colour.max() <= 1 + 1e-9
    assert np.ptp(colour) > 0.02


def test_backgrounds_of_different_types_differ_in_colour_or_texture():
    means = [frames_of("disc", "left", background=b)[1][0, :8].reshape(-1, 3).mean(axis=0) for b in (0, 8, 16)]
    for i in range(3):
        assert np.abs(means[i] - means[i - 1]).max() > 20
