"""Small inputs and models for the tests of the model."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.data.source import Batch, InputSizes
from training.model.config import ModelConfig
from training.model.mdst import MDST

STEPS = (8, 4, 2)
SIZES = InputSizes(
    visual_shape=(2, 8, 8), audio_shape=(2, 16), frame_features=12, audio_features=5, attributes=6, num_steps=8,
    dt_s=1 / 8,
)  # fmt: skip
FLAT = InputSizes(
    visual_shape=(24,), audio_shape=(16,), frame_features=12, audio_features=5, attributes=6, num_steps=8, dt_s=1 / 8
)


def config(**changes: object) -> ModelConfig:
    values: dict[str, object] = {
        "steps": STEPS, "channels": 8, "num_groups": 4, "heads": 2, "widths": (24, 16), "discrepancy_width": 8,
        "context_segments": 4, "context_width": 8, "context_heads": 2, "encoder_hidden": 12, "embedding_width": 8,
    }  # fmt: skip
    if changes.get("architecture") == "mdst":
        values["steps"] = STEPS[:1]
    return ModelConfig(**{**values, **changes})  # type: ignore[arg-type]


def model(sizes: InputSizes = SIZES, seed: int = 0, **changes: object) -> MDST:
    torch.manual_seed(seed)
    return MDST(sizes, config(**changes)).eval()


def batch(
    num_clips: int, sizes: InputSizes = SIZES, seed: int = 0, rate: float = 0.05, vectors: int | None = None
) -> Batch:
    """Draw clips of different event rates, `rate` and more; `vectors` features each instead of one per step."""
    rng = np.random.default_rng(seed)
    rates = rate + 0.4 * rng.random((num_clips, 1, 1))

    def events(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy((rng.random((num_clips, sizes.num_steps, np.prod(shape))) < rates).astype(np.float32))

    def features(width: int) -> torch.Tensor:
        return torch.from_numpy(rng.random((num_clips, vectors or sizes.num_steps, width), dtype=np.float32))

    return Batch(
        events(sizes.visual_shape), events(sizes.audio_shape),
        features(sizes.frame_features), features(sizes.audio_features),
    )  # fmt: skip


def dyadic(module: nn.Module, bits: int = 4) -> None:
    """Round all weights to multiples of 2^-bits, so that sums are exact in any order."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((parameter * 2**bits).round() / 2**bits)


def spikes(shape: tuple[int, ...], rate: float = 0.3, seed: int = 0) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def assert_some_spike(values: torch.Tensor) -> None:
    """Binary, and neither silent nor saturated."""
    assert set(values.unique().tolist()) == {0.0, 1.0}
