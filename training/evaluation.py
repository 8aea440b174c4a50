"""Clips through a model, and both heads scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from hardware_profiles.interrupts import raise_if_interrupted

from .config import ProtocolConfig
from .data.source import Batch, ClassRoles, Clips, Int, JoinedClips
from .protocol import EMBEDDINGS, Nearest, Scores, choose_offset, find_nearest, offsets, score

BATCH = 128
"""Clips per step of evaluation."""


class Judgement(NamedTuple):
    """What validation says about one head."""

    offset: float
    scores: Scores


@torch.inference_mode()
def embed(model: Any, clips: Clips) -> dict[str, npt.NDArray[np.float32]]:
    """Embed all clips in eval mode and float32, on the model's device.

    Args:
        model: see `training.model.MDST`; its last stage answers.
        clips: N clips.

    Returns:
        Per head of `protocol.EMBEDDINGS`, `[N, E]`.
    """
    model.eval()
    device = next(model.parameters()).device
    parts: dict[str, list[torch.Tensor]] = {head: [] for head in EMBEDDINGS}
    for start in range(0, len(clips.label), BATCH):
        raise_if_interrupted()
        index = np.arange(start, min(start + BATCH, len(clips.label)))
        answer = model(Batch(*(tensor.to(device) for tensor in clips.batch(index))))[-1]
        for head, part in parts.items():
            part.append(getattr(answer, head).float().cpu())
    return {head: torch.cat(part).numpy() for head, part in parts.items()}


@torch.inference_mode()
def embed_classes(model: Any, attributes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Embed the vectors of all classes, `[C, A]` → `[C, E]`, in eval mode."""
    model.eval()
    device = next(model.parameters()).device
    embedding: npt.NDArray[np.float32] = (
        model.embed_classes(torch.from_numpy(attributes).to(device)).float().cpu().numpy()
    )
    return embedding


def compare(
    embedding: Mapping[str, npt.NDArray[np.float32]],
    label: Int,
    class_embedding: npt.NDArray[np.float32],
    roles: ClassRoles,
) -> dict[str, Nearest]:
    """Find the nearest classes for each head."""
    return {head: find_nearest(embedding[head], label, class_embedding, roles) for head in embedding}


def embed_and_compare(
    model: Any, parts: Sequence[Clips], attributes: npt.NDArray[np.float32], roles: ClassRoles
) -> dict[str, Nearest]:
    """Embed clips and classes, and find the nearest classes for each head."""
    clips = JoinedClips(parts)
    return compare(embed(model, clips), clips.label, embed_classes(model, attributes), roles)


def judge(nearest: Mapping[str, Nearest], config: ProtocolConfig) -> dict[str, Judgement]:
    """Choose each head's offset on the validation clips by HM."""
    return {head: Judgement(*choose_offset(found, offsets(config))) for head, found in nearest.items()}


def score_heads(nearest: Mapping[str, Nearest], chosen: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Score each head with the offset that was chosen for it; percent by name, as files carry it."""
    return {head: asdict(score(found, chosen[head])) for head, found in nearest.items()}
