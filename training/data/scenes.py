"""Frames of the embedded benchmark: one anti-aliased shape that moves in bursts before a still background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .activity import Activity
from .backgrounds import tint

DIRECTION = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
"""Unit step (x to the right, y downward) of each motion across the frame."""
GROWTH = {"approach": 1.0, "recede": -1.0}
"""Sign of the change of size of each motion along the line of sight."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one clip shows before its background; lengths are fractions of the frame's side.

    Attributes:
        shape: one of `attributes.OBJECTS`.
        motion: one of `attributes.MOTIONS`.
        radius: of the disc in the middle of the way; the other shapes have the disc's area.
        travel: distance covered by a motion across the frame.
        zoom: ratio of the radii at both ends of a motion along the line of sight.
        offset: (x, y) of the path's middle from the frame's middle.
        drift: sideways movement in the whole clip.
        turn_rad: rotation of the shape.
        object_rgb: colour, 0..1.
    """

    shape: str
    motion: str
    radius: float
    travel: float
    zoom: float
    offset: tuple[float, float]
    drift: float
    turn_rad: float
    object_rgb: tuple[float, float, float]


def draw_scene(shape: str, motion: str, rng: np.random.Generator) -> Scene:
    """Draw everything that the class does not fix: size, path, rotation, colour and brightness."""
    return Scene(
        shape=shape,
        motion=motion,
        radius=rng.uniform(0.14, 0.19),
        travel=rng.uniform(0.40, 0.55),
        zoom=rng.uniform(2.0, 2.5),
        offset=(rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)),
        drift=rng.uniform(-0.05, 0.05),
        turn_rad=rng.uniform(-0.15, 0.15),
        object_rgb=tint(rng.uniform(), luma=rng.uniform(0.65, 0.95), chroma=0.35),
    )


def render_frames(
    scene: Scene, activity: Activity, background: NDArray[np.float32], *, num_frames: int, noise: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Draw a clip.

    Args:
        scene: the object and its way.
        activity: when it moves.
        background: float32 `[S, S, 3]`, 0..1.
        num_frames: F; the first frame shows the begin of the clip, the last its end.
        noise: float32 `[F, S, S]`, what the camera adds to all three colours, in grey levels of 255.

    Returns:
        uint8 RGB `[F, S, S, 3]`.
    """
    cover = object_cover(scene, activity, num_frames=num_frames, size_px=len(background))[..., None]
    object_rgb = np.array(scene.object_rgb, np.float32)
    image = 255 * (background + cover * (object_rgb - background)) + noise[..., None]
    frames: NDArray[np.uint8] = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return frames


def object_cover(scene: Scene, activity: Activity, *, num_frames: int, size_px: int) -> NDArray[np.float32]:
    """Return the part of each pixel that the object covers, float32 `[F, S, S]`, 0..1."""
    axis = ((np.arange(size_px) + 0.5) / size_px - 0.5).astype(np.float32)
    done_F = activity.progress(np.linspace(0, 1, num_frames)) - 0.5
    step = np.array(DIRECTION.get(scene.motion, (0.0, 0.0)))
    side = step[::-1] if step.any() else np.array((1.0, 0.0))
    centre_F2 = np.array(scene.offset) + done_F[:, None] * (scene.travel * step + scene.drift * side)
    radius_F = scene.radius * scene.zoom ** (GROWTH.get(scene.motion, 0.0) * done_F)
    centre_F2, radius_F11 = centre_F2.astype(np.float32), radius_F.astype(np.float32)[:, None, None]
    x_F1W = axis[None, None, :] - centre_F2[:, 0, None, None]
    y_FH1 = axis[None, :, None] - centre_F2[:, 1, None, None]
    inside_FHW = distance_inside(scene.shape, scene.turn_rad, x_F1W / radius_F11, y_FH1 / radius_F11) * radius_F11
    # the signed distance, one pixel wide
    return np.clip(0.5 + inside_FHW * np.float32(size_px), 0, 1)


def distance_inside(shape: str, turn_rad: float, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distance to the shape's edge, positive inside, for points relative to its centre.

    Lengths are in units of the radius of the disc with the shape's area. Beyond corners the distance is a bound.
    """
    cos, sin = np.float32(np.cos(turn_rad)), np.float32(np.sin(turn_rad))
    x, y = cos * x + sin * y, cos * y - sin * x
    if shape == "disc":
        return np.asarray(1 - np.hypot(x, y))
    if shape == "ring":  # hole of half the outer radius
        outer = np.float32(np.sqrt(4 / 3))
        return np.asarray(outer / 4 - np.abs(np.hypot(x, y) - 0.75 * outer))
    if shape == "triangle":  # equilateral, tip up: inside all three sides, each `inradius` from the centre
        inradius = np.float32(np.sqrt(np.pi / (3 * np.sqrt(3))))
        half, slope = np.float32(0.5), np.float32(np.sqrt(3) / 2)
        return np.asarray(inradius - np.maximum(y, slope * np.abs(x) - half * y))
    if shape == "bar":  # on the diagonal: it is equally wide for all directions
        diagonal = np.float32(np.sqrt(0.5))
        x, y = diagonal * (x + y), diagonal * (y - x)
        return _box(x, y, np.sqrt(3 * np.pi / 4), np.sqrt(np.pi / 12))
    if shape == "cross":  # two boxes three times as long as wide
        arm = np.sqrt(9 * np.pi / 20)
        return np.maximum(_box(x, y, arm, arm / 3), _box(x, y, arm / 3, arm))
    half_side = np.sqrt(np.pi) / 2
    return _box(x, y, half_side, half_side)


def _box(x: NDArray[np.float32], y: NDArray[np.float32], half_x: float, half_y: float) -> NDArray[np.float32]:
    """Return the distance to the edge of a rectangle, positive inside."""
    return np.minimum(np.float32(half_x) - np.abs(x), np.float32(half_y) - np.abs(y))
