"""What every node says of itself: the shape that it sends, and the shape that each of its ports receives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Int = npt.NDArray[np.int64]
Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]
Shape = tuple[int, ...]
InputKind = Literal["spike", "graded"]


class Signal:
    """Base of all nodes; shapes are per sample and step, C order, without batch and time."""

    if TYPE_CHECKING:  # at run time a property would become the default of the fields called `shape`

        @property
        def shape(self) -> Shape:
            """Shape of what the node sends."""

    @property
    def size(self) -> int:
        """Number of values that the node sends."""
        return math.prod(self.shape)

    @property
    def ports(self) -> dict[str, Shape]:
        """Port name to the shape that arrives there; the edges into one port are summed, in their order."""
        return {"input": self.shape}

    @property
    def optional_ports(self) -> frozenset[str]:
        """Ports at which nothing need arrive."""
        return frozenset()


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Signal):
    """Values from outside: `kind` 'spike' carries 0/1, 'graded' signed 11-bit integers.

    `period`: values come on every so many steps, in those t in which it divides t + 1; zeros between.
    """

    shape: Shape
    kind: InputKind = "spike"
    period: int = 1

    @property
    def ports(self) -> dict[str, Shape]:
        """Nothing arrives from inside."""
        return {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(Signal):
    """What leaves the graph: spikes."""

    shape: Shape
