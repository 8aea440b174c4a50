"""Batch normalisation as it is read; `passes.fold_norm` folds it into weights before the graph is written or lowered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .signal import Float, Shape, Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class Norm(Signal):
    """X[c] = (x[c] − mean[c]) / √(variance[c] + epsilon) · weight[c] + bias[c], per channel (the first axis).

    `mean`, `variance`: running statistics, float32 [channels]; `weight`, `bias`: the same, or None for 1 and 0.
    """

    mean: Float
    variance: Float
    weight: Float | None
    bias: Float | None
    epsilon: float
    shape: Shape

    @property
    def factor(self) -> Float:
        """Weight over standard deviation, float32 [channels], computed in double precision."""
        factor = 1 / np.sqrt(self.variance.astype(np.float64) + self.epsilon)
        return (factor if self.weight is None else factor * self.weight).astype(np.float32)

    @property
    def offset(self) -> Float:
        """What is added after scaling, float32 [channels]: bias − mean · factor, computed in double precision."""
        factor = 1 / np.sqrt(self.variance.astype(np.float64) + self.epsilon)
        factor = factor if self.weight is None else factor * self.weight
        bias = 0 if self.bias is None else self.bias.astype(np.float64)
        return (bias - self.mean * factor).astype(np.float32)
