"""How a data set is cut: samples into batches, and a batch's time steps into blocks that are computed at once."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_BYTES = 1 << 23
"""Memory that the values of a block may take: few calls per block, and not far from what a core's caches hold."""
BLOCKS_PER_STEP = 16
"""Blocks in one of Lava's time steps, which costs about 0.2 ms whatever happens in it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one block holds.

    Attributes:
        steps: time steps of the samples.
        samples: samples of the data set.
    """

    steps: slice
    samples: slice

    @property
    def num_samples(self) -> int:
        """How many samples run side by side."""
        return int(self.samples.stop - self.samples.start)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many samples run side by side, and how many of their steps are computed at once."""

    num_steps: int
    num_samples: int
    batch: int
    block: int

    @property
    def num_blocks(self) -> int:
        """Blocks of all batches."""
        return self._blocks_per_batch * -(-self.num_samples // self.batch)

    @property
    def lava_steps(self) -> int:
        """Time steps of Lava's in which they are computed."""
        return -(-self.num_blocks // BLOCKS_PER_STEP)

    def places(self, lava_step: int) -> tuple[Place, ...]:
        """Return what is computed in one of Lava's time steps (from 0)."""
        first = lava_step * BLOCKS_PER_STEP
        return tuple(map(self.locate, range(first, min(first + BLOCKS_PER_STEP, self.num_blocks))))

    @property
    def _blocks_per_batch(self) -> int:
        return -(-self.num_steps // self.block)

    @property
    def total_steps(self) -> int:
        """Time steps of all batches."""
        return self.num_steps * -(-self.num_samples // self.batch)

    def locate(self, block: int) -> Place:
        """Return what a block holds (from 0)."""
        batch, within = divmod(block, self._blocks_per_batch)
        start, first = within * self.block, batch * self.batch
        return Place(
            steps=slice(start, min(start + self.block, self.num_steps)),
            samples=slice(first, min(first + self.batch, self.num_samples)),
        )


def make_plan(bytes_per_row: int, num_steps: int, num_samples: int, batch_size: int) -> Plan:
    """Cut a data set so that the values of a block take about `BLOCK_BYTES`, or of one step if that takes more.

    Args:
        bytes_per_row: what the values of one sample in one time step take, see `Executor.bytes_per_row`.
        num_steps: T.
        num_samples: N.
        batch_size: samples side by side, at most.
    """
    batch = min(batch_size, num_samples)
    block = min(num_steps, max(1, BLOCK_BYTES // (bytes_per_row * batch)))
    return Plan(num_steps=num_steps, num_samples=num_samples, batch=batch, block=block)
