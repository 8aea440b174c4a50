"""Frames instead of events, for the ablation: brightness as spike trains into the same stem."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..errors import TrainingError

LUMA = (0.299, 0.587, 0.114)
"""BT.601."""


def frame_spikes(frame_features: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Rate-code RGB frames by accumulate-and-fire: s[t] = ⌊Σ_{τ≤t} I[τ]⌋ − ⌊Σ_{τ<t} I[τ]⌋.

    Polarity 0 codes the brightness I, polarity 1 the darkness 1 − I; cells are repeated to the events' places. Over T
    steps a cell sends as many spikes as its brightness says, and nothing of it depends on change.

    Args:
        frame_features: `[B, T, cells²·3]`, 0..1, ordered row, column, RGB.
        shape: (2, rows, columns) of the events that these replace.

    Returns:
        `[B, T, 2·rows·columns]`, 0 or 1.

    Raises:
        TrainingError: the features are no square RGB pictures, or the places no multiple of their cells.
    """
    cells = round((frame_features.shape[2] / 3) ** 0.5)
    if len(shape) != 3 or cells * cells * 3 != frame_features.shape[2] or shape[1] % cells or shape[2] % cells:
        raise TrainingError(
            f"visual_input 'frames': frame features of {frame_features.shape[2]} values are no RGB pictures that fill "
            f"places {list(shape)}; use visual_input 'events'"
        )
    pictures = frame_features.unflatten(2, (cells, cells, 3)) @ torch.tensor(LUMA, device=frame_features.device)
    places = F.interpolate(pictures, size=shape[1:], mode="nearest")
    level = torch.stack([places, 1 - places], dim=2).clamp(0, 1)
    counted = torch.floor(torch.cumsum(level.double(), dim=1))
    spikes = torch.diff(counted, dim=1, prepend=torch.zeros_like(counted[:, :1]))
    return spikes.flatten(2).float()
