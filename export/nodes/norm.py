"""Batch normalisation as it is read; `passes.fold_norm` folds it into weights before the graph is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
        return _float32(self._factor)

    @property
    def offset(self) -> Float:
        """What is added after scaling, float32 [channels]: bias − mean · factor, computed in double precision."""
        bias = np.zeros(self.mean.shape) if self.bias is None else self.bias.astype(np.float64)
        return _float32(bias - self.mean * self._factor)

    @property
    def _factor(self) -> npt.NDArray[np.float64]:
        deviation = np.sqrt(self.variance.astype(np.float64) + self.epsilon)
        factor: npt.NDArray[np.float64] = (1.0 if self.weight is None else self.weight) / deviation
        return factor


def _float32(array: npt.NDArray[np.float64]) -> Float:
    values: Float = array.astype(np.float32)
    return values
