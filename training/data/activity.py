"""When the object of a rendered clip moves: bursts with rests between them."""

from __future__ import annotations

from dataclasses import dataclass
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
        """Return the stretches between the bursts, as bursts of full speed."""
        edges = [0.0, *(edge for burst in self.bursts for edge in (burst.begin, burst.end)), 1.0]
        return Activity(tuple(Burst(a, b, 1.0) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > RAMP))


WHOLE = Activity((Burst(0.0, 1.0, 1.0),))
"""One move through the whole clip."""


def draw_activity(rest_share: float, rng: np.random.Generator) -> Activity:
    """Draw two or three bursts of different length and speed.

    Args:
        rest_share: part of the clip that is rest, 0..0.7; a clip's own share lies within a fifth of it. At 0 the
            clip is one burst.
        rng: source of the draw.
    """
    if not rest_share:
        return WHOLE
    num_bursts = int(rng.integers(2, 4))
    moves = rng.uniform(0.7, 1.3, num_bursts)
    rests = rng.uniform(0.7, 1.3, num_bursts + 1)
    rests[[0, -1]] = rng.uniform(0, 1, 2)  # it may begin or end in the middle of a move
    share = rest_share * rng.uniform(0.8, 1.2)
    moves, rests = moves / moves.sum() * (1 - share), rests / rests.sum() * share
    speeds = rng.uniform(0.7, 1.0, num_bursts)
    begin = np.cumsum(rests[:-1]) + np.cumsum(moves) - moves
    return Activity(
        tuple(
            Burst(float(a), min(float(a + length), 1.0), float(speed))
            for a, length, speed in zip(begin, moves, speeds / speeds.max(), strict=True)
        )
    )
