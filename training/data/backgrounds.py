"""Backgrounds of rendered clips: one still colour and texture per class, and which clip shows whose."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from .classes import ClassTable

TEXTURES = ("stripes", "checks", "waves", "spots")
LUMA = np.array([0.299, 0.587, 0.114])
BACKGROUND_LUMA, BACKGROUND_CHROMA = 0.3, 0.3
"""The same luma everywhere: how much an object stands out must not depend on the background."""
TEXTURE_CONTRAST = 0.08
ROOM = 0.1
"""Colours keep away from 0 and 1 by this much, for texture and noise: cut off, they would change luma."""
GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, lie far apart: neighbouring types get far hues."""


def tint(hue: float, *, luma: float, chroma: float) -> tuple[float, float, float]:
    """Return the RGB colour of a hue 0..1 with exactly this luma, and at most this chroma, inside 0..1."""
    pure = np.array(colorsys.hsv_to_rgb(hue, 1.0, 1.0))
    away = pure - LUMA @ pure
    room = np.where(away > 0, 1 - luma, luma) / np.maximum(np.abs(away), 1e-9)
    red, green, blue = luma + min(chroma, float(room.min())) * away
    return float(red), float(green), float(blue)


def draw_background(label: int, table: ClassTable, bias: float, rng: np.random.Generator) -> int:
    """Choose the background type of a clip; type k is the one of class k.

    Args:
        label: the clip's class.
        table: all classes.
        bias: −1..1. With probability |bias| the clip shows its own class's type (bias > 0) or a misleading one
            (bias < 0): that of a seen class other than its own which shares the fewest attributes with it. Otherwise
            any type, evenly.
        rng: source of the draw.
    """
    biased, any_type, misleading = rng.uniform() < abs(bias), int(rng.integers(len(table.names))), rng.uniform()
    if not biased:
        return any_type
    if bias > 0:
        return label
    others = misleading_types(label, table)
    return int(others[int(misleading * len(others))])


def misleading_types(label: int, table: ClassTable) -> NDArray[np.int64]:
    """Return the seen classes, other than `label`, that have least in common with it: the smallest dot product."""
    seen = np.array([k for k, split in enumerate(table.splits) if split == "seen" and k != label], np.int64)
    shared = table.attributes[seen] @ table.attributes[label]
    return np.asarray(seen[shared <= shared.min() + 1e-6])


def draw_background_image(background: int, size_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a still background: its type fixes hue, texture, angle and phase; angle and phase waver a little.

    Args:
        background: number of the type, 0 or more.
        size_px: side S.
        rng: draws the wavering.

    Returns:
        float32 `[S, S, 3]`, 0..1, of equal mean luma for all types.
    """
    axis = np.arange(size_px) / size_px
    x, y = axis[None, :], axis[:, None]
    own = np.random.default_rng(background)
    turn = own.uniform(0, np.pi) + rng.uniform(-0.15, 0.15)
    phase = own.uniform(0, 2 * np.pi, 2) + rng.uniform(-0.4, 0.4, 2)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    texture = TEXTURES[background % len(TEXTURES)]
    if texture == "stripes":
        pattern = np.sin(2 * np.pi * 4 * along + phase[0])
    elif texture == "checks":
        pattern = np.sign(np.sin(2 * np.pi * 2 * along + phase[0]) * np.sin(2 * np.pi * 2 * across + phase[1]))
    elif texture == "waves":
        pattern = np.sin(2 * np.pi * 2 * along + phase[0] + 2 * np.sin(2 * np.pi * across + phase[1]))
    else:
        pattern = np.cos(2 * np.pi * 3 * along + phase[0]) * np.cos(2 * np.pi * 3 * across + phase[1])
    scale = 1 - 2 * ROOM
    hue = background * GOLDEN % 1
    base = ROOM + scale * np.array(tint(hue, luma=(BACKGROUND_LUMA - ROOM) / scale, chroma=BACKGROUND_CHROMA))
    return np.asarray(base + TEXTURE_CONTRAST * pattern[..., None], np.float32)
