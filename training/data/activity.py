"""When the object of a rendered clip moves: bursts with rests between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RAMP = 0.05
"""A burst gains and loses its speed within this part of the clip (or half of the burst, if that is shorter)."""
NUM_STEPS = 4096
"""Steps of the numerical integral of the speed."""


class Burst(NamedTuple):
    """One move: begin and end as fractions of the clip, and its top speed as a fraction of the fastest burst's."""

    begin: float
    end: float
    speed: float


@dataclass(frozen=True)
class Activity:
    """Bursts of one clip, in order of time, apart from each other."""

    bursts: tuple[Burst, ...]

    def speed(self, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the relative speed, 0 in rests and up to 1, at times given as fractions of the clip."""
        total = np.zeros_like(time)
        for burst in self.bursts:
            ramp = min(RAMP, (burst.end - burst.begin) / 2)
            edge = np.clip(np.minimum(time - burst.begin, burst.end - time) / ramp, 0, 1)
            total += burst.speed * np.sin(np.pi / 2 * edge) ** 2
        return total

    def progress(self, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the part of the way that is done by then, 0..1: the speed's integral."""
        grid = np.linspace(0, 1, NUM_STEPS + 1)
        done = np.concatenate([[0.0], np.cumsum(self.speed((grid[1:] + grid[:-1]) / 2))])
        return np.asarray(np.interp(time, grid, done / done[-1]))

    def rests(self) -> Activity:
        """Return the stretches between the bursts as bursts, of the same speeds."""
        edges = [0.0, *(edge for burst in self.bursts for edge in (burst.begin, burst.end)), 1.0]
        stretches = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
        speeds = cycle(burst.speed for burst in self.bursts)
        return Activity(tuple(Burst(a, b, speed) for (a, b), speed in zip(stretches, speeds, strict=False)))


WHOLE = Activity((Burst(0.0, 1.0, 1.0),))
"""One move through the whole clip."""


def draw_activity(rest_share: float, rng: np.random.Generator) -> Activity:
    """Draw two or three bursts of different length and speed, and as many rests; either may come first.

    At a share of one half, bursts and rests are drawn alike: a sound heard in the ones and another heard in the
    others cannot be told apart without seeing what moves.

    Args:
        rest_share: part of the clip that is rest, 0..0.7; at 0 the clip is one burst.
        rng: source of the draw.
    """
    if not rest_share:
        return WHOLE
    num_bursts, first = int(rng.integers(2, 4)), int(rng.integers(2))
    lengths = rng.uniform(0.7, 1.3, (num_bursts, 2))  # of a burst and the rest beside it
    lengths *= np.array([1 - rest_share, rest_share]) / lengths.sum(axis=0)
    speeds = rng.uniform(0.7, 1.0, num_bursts)
    edges = np.minimum(np.cumsum(lengths[:, :: -1 if first else 1]), 1.0)
    edges = np.concatenate([[0.0], edges[:-1], [1.0]])
    stretches = zip(edges[first:-1:2], edges[first + 1 :: 2], speeds / speeds.max(), strict=True)
    return Activity(tuple(Burst(float(a), float(b), float(speed)) for a, b, speed in stretches))
