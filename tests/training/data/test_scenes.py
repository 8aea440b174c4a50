"""Rendered frames: shapes of equal area, movement in the stated direction, in bursts, before a still background."""

import numpy as np
import pytest

from training.data.activity import WHOLE, Activity, Burst
from training.data.attributes import MOTIONS, OBJECTS
from training.data.backgrounds import LUMA, draw_background_image
from training.data.scenes import Scene, draw_scene, object_cover, render_frames

STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
GROWS = {"approach": 1, "recede": -1}


def frames_of(shape, motion, background=0, seed=0, num_frames=9, noise_sd=1.0, activity=WHOLE):
    rng = np.random.default_rng(seed)
    scene = draw_scene(shape, motion, rng)
    noise = noise_sd * rng.standard_normal((num_frames, 64, 64), np.float32)
    image = draw_background_image(background, 64, rng)
    return scene, render_frames(scene, activity, image, num_frames=num_frames, noise=noise)


def bright(image):
    """Pixels of the object, by the luma above the background's brightest."""
    return image @ LUMA > 0.5 * 255


def centre_px(image):
    y, x = np.nonzero(bright(image))
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("shape", OBJECTS)
@pytest.mark.parametrize("motion", MOTIONS)
def test_the_object_moves_as_stated_and_nothing_else_moves(shape, motion):
    for seed in range(4):
        scene, frames = frames_of(shape, motion, background=seed, seed=seed)
        way = centre_px(frames[-1]) - centre_px(frames[0])
        growth = np.log(bright(frames[-1]).sum() / bright(frames[0]).sum()) / 2
        if motion in STEP:
            along = way @ np.array(STEP[motion])
            assert abs(along - 64 * scene.travel) < 1.5
            assert np.linalg.norm(way - along * np.array(STEP[motion])) < 0.06 * 64
            assert abs(growth) < 0.1
        else:
            assert np.linalg.norm(way) < 0.06 * 64
            # a long bar may leave the frame when it is near
            assert 0.7 * np.log(scene.zoom) < GROWS[motion] * growth < 1.15 * np.log(scene.zoom)
        # corners stay background: still up to the camera's noise
        assert np.abs(np.diff(frames[:, :3, :3].astype(int), axis=0)).max() <= 8


def test_the_object_rests_between_bursts():
    activity = Activity((Burst(0.0, 0.4, 1.0), Burst(0.6, 1.0, 1.0)))
    _, frames = frames_of("disc", "right", num_frames=11, noise_sd=0.0, activity=activity)
    changed = np.abs(np.diff(frames.astype(int), axis=0)).max(axis=(1, 2, 3)) > 8
    assert changed.tolist() == [True] * 4 + [False] * 2 + [True] * 4


@pytest.mark.parametrize("shape", OBJECTS)
def test_all_shapes_cover_the_area_of_the_disc(shape):
    scene = Scene(
        shape=shape, motion="left", radius=0.18, travel=0.0, zoom=2.0, offset=(0.0, 0.0), drift=0.0, turn_rad=0.1,
        object_rgb=(0.9, 0.9, 0.9),
    )  # fmt: skip
    cover = object_cover(scene, WHOLE, num_frames=2, size_px=256)
    assert cover.dtype == np.float32 and cover.min() == 0 and cover.max() == 1
    assert cover[0].mean() == pytest.approx(np.pi * 0.18**2, rel=0.02)


def test_shapes_differ():
    scenes = [bright(frames_of(shape, "left")[1][4]) for shape in OBJECTS]
    for i in range(len(OBJECTS)):
        for j in range(i):
            assert np.logical_xor(scenes[i], scenes[j]).sum() > 40, (OBJECTS[i], OBJECTS[j])


def test_the_object_always_stands_out_by_several_thresholds():
    for seed in range(24):
        _, frames = frames_of(OBJECTS[seed % 6], MOTIONS[seed % 5], background=seed, seed=seed)
        level = np.log(frames[0] @ LUMA / 255 + 0.05)
        inside = np.median(level[bright(frames[0])])
        assert inside - np.quantile(level[~bright(frames[0])], 0.5) > 2 * 0.2
