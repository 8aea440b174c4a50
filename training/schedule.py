"""The learning rate of an epoch: a function of the epochs before it, so nothing of it has to be saved."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .config import TrainingConfig

PATIENCE = 3
"""Epochs without a better validation HM that `plateau` bears, as in AVCA-GZSL."""


def learning_rate(config: TrainingConfig, validation_hm: Sequence[float]) -> float:
    """Return the rate of stage A's next epoch.

    `cosine`: ½ r (1 + cos(π e / epochs)) in epoch e; `plateau`: torch's ReduceLROnPlateau, a tenth after more than
    `PATIENCE` epochs that were no better.

    Args:
        config: rate and schedule.
        validation_hm: of the epochs so far.
    """
    rate = config.learning_rate
    if config.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * len(validation_hm) / config.epochs))
    if config.schedule == "plateau":
        optimizer = torch.optim.SGD([torch.zeros(1)], rate)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", patience=PATIENCE)
        for hm in validation_hm:
            plateau.step(hm)
        return float(optimizer.param_groups[0]["lr"])
    return rate
