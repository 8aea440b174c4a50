"""What a window has gathered so far; one definition for tensors, tracked numbers and integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class GatheringWindow:
    """The sum of a `WindowSum` or `IntegerWindowSum`, from the start of a sample."""

    def __init__(self, weights: Sequence[float], zero: Any) -> None:
        """Begin.

        Args:
            weights: as Python numbers, the oldest value's first.
            zero: what is sent before the window is full, [B, *shape].
        """
        self._weights, self._zero = weights, zero
        self._sum, self._num_taken = zero, 0

    def step(self, x: Any) -> Any:
        """Take in a tick of what arrives; return what is sent: the sum if it completes a window, else zeros."""
        self._sum = self._sum + x * self._weights[self._num_taken]
        self._num_taken += 1
        if self._num_taken < len(self._weights):
            return self._zero
        full, self._sum, self._num_taken = self._sum, self._zero, 0
        return full
