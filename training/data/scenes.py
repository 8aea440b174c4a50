"""Frames of the embedded benchmark: one anti-aliased shape that crosses a still, textured background."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TEXTURES = ("stripes", "checks", "waves", "grain")
DIRECTION = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
"""Unit step (x to the right, y downward) of each motion."""
LUMA = np.array([0.299, 0.587, 0.114])
BACKGROUND_LUMA = 0.3
TEXTURE_CONTRAST = 0.08
NOISE_SD = 1.0 / 255
"""Sensor noise of one grey level: real, but far below a contrast threshold."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one clip shows; lengths are fractions of the frame's side.

    Attributes:
        shape: `disc`, `square` or `triangle`.
        motion: `left`, `right`, `up` or `down`.
        radius: of the disc; the other shapes have the disc's area.
        travel: distance covered in the whole clip.
        offset: (x, y) of the path's middle from the frame's middle.
        drift: sideways movement in the whole clip.
        turn_rad: rotation of the shape.
        object_rgb: colour, 0..1.
        background: number of the background type, 0..num_backgrounds − 1.
        num_backgrounds: types that there are.
    """

    shape: str
    motion: str
    radius: float
    travel: float
    offset: tuple[float, float]
    drift: float
    turn_rad: float
    object_rgb: tuple[float, float, float]
    background: int
    num_backgrounds: int


def draw_scene(shape: str, motion: str, background: int, num_backgrounds: int, rng: np.random.Generator) -> Scene:
    """Draw everything that the class does not fix: size, path, rotation, colour and brightness."""
    return Scene(
        shape=shape,
        motion=motion,
        radius=rng.uniform(0.14, 0.20),
        travel=rng.uniform(0.40, 0.55),
        offset=(rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)),
        drift=rng.uniform(-0.05, 0.05),
        turn_rad=rng.uniform(-0.15, 0.15),
        object_rgb=tint(rng.uniform(), luma=rng.uniform(0.65, 0.95), chroma=0.35),
        background=background,
        num_backgrounds=num_backgrounds,
    )


def tint(hue: float, *, luma: float, chroma: float) -> tuple[float, float, float]:
    """Return the RGB colour of a hue 0..1 with exactly this luma, and at most this chroma, inside 0..1."""
    pure = np.array(colorsys.hsv_to_rgb(hue, 1.0, 1.0))
    away = pure - LUMA @ pure
    room = np.where(away > 0, 1 - luma, luma) / np.maximum(np.abs(away), 1e-9)
    red, green, blue = luma + min(chroma, float(room.min())) * away
    return float(red), float(green), float(blue)


def render_frames(scene: Scene, *, num_frames: int, size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a clip.

    Args:
        scene: what it shows.
        num_frames: F.
        size_px: side S of the square frame.
        rng: draws the texture's phase and the sensor noise.

    Returns:
        uint8 RGB `[F, S, S, 3]`.
    """
    axis = (np.arange(size_px) + 0.5) / size_px - 0.5
    background_HWC = _background(scene, size_px, rng)
    step = np.array(DIRECTION[scene.motion])
    side = step[::-1]
    progress_F = np.linspace(-0.5, 0.5, num_frames)[:, None]
    centre_F2 = np.array(scene.offset) + progress_F * (scene.travel * step + scene.drift * side)
    x_FHW = np.broadcast_to(axis[None, None, :] - centre_F2[:, 0, None, None], (num_frames, size_px, size_px))
    y_FHW = np.broadcast_to(axis[None, :, None] - centre_F2[:, 1, None, None], (num_frames, size_px, size_px))
    inside_FHW = _inside(scene, x_FHW, y_FHW)
    # a pixel's coverage by the shape: the signed distance, one pixel wide
    cover = np.clip(0.5 + inside_FHW * size_px, 0, 1)[..., None]
    image = background_HWC * (1 - cover) + np.array(scene.object_rgb) * cover
    image += NOISE_SD * rng.standard_normal(image.shape[:3])[..., None]
    frames: NDArray[np.uint8] = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return frames


def _inside(scene: Scene, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the shape's edge, positive inside, for points relative to its centre."""
    cos, sin = np.cos(scene.turn_rad), np.sin(scene.turn_rad)
    x, y = cos * x + sin * y, cos * y - sin * x
    if scene.shape == "disc":
        return np.asarray(scene.radius - np.hypot(x, y))
    if scene.shape == "square":
        return np.asarray(scene.radius * np.sqrt(np.pi) / 2 - np.maximum(np.abs(x), np.abs(y)))
    # equilateral triangle of the disc's area, tip up: inside all three sides, each `inradius` from the centre
    inradius = scene.radius * np.sqrt(np.pi / (3 * np.sqrt(3)))
    half, slope = 0.5, np.sqrt(3) / 2
    return np.asarray(inradius - np.maximum(y, slope * np.abs(x) - half * y))


def _background(scene: Scene, size_px: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the still background `[S, S, 3]`, 0..1: the type's hue and texture, at a random phase and angle."""
    axis = np.arange(size_px) / size_px
    x, y = axis[None, :], axis[:, None]
    phase = rng.uniform(0, 2 * np.pi, 2)
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    texture = TEXTURES[scene.background % len(TEXTURES)]
    if texture == "stripes":
        pattern = np.sin(2 * np.pi * 6 * along + phase[0])
    elif texture == "checks":
        pattern = np.sign(np.sin(2 * np.pi * 4 * along + phase[0]) * np.sin(2 * np.pi * 4 * across + phase[1]))
    elif texture == "waves":
        pattern = np.sin(2 * np.pi * 2 * along + phase[0] + 2 * np.sin(2 * np.pi * across + phase[1]))
    else:
        pattern = np.kron(rng.uniform(-1, 1, (16, 16)), np.ones((-(-size_px // 16),) * 2))[:size_px, :size_px]
    base = np.array(tint(scene.background / scene.num_backgrounds, luma=BACKGROUND_LUMA, chroma=0.3))
    return np.asarray(base + TEXTURE_CONTRAST * pattern[..., None])
