"""A data set on Lava, from its slices to one folder of results."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from tqdm import tqdm

from export.graph import Graph
from export.trace import Array
from hardware_profiles.activity import Activity
from hardware_profiles.artifact import atomic_folder, check_replaceable
from hardware_profiles.errors import ConfigError

from ..preconditions import check_graph
from .compute import LavaSettings, prepare, run_shard
from .layout import Layout
from .merge import merge
from .shards import Shard, plan_shards
from .source import SampleSource
from .store import PartialFolder
from .workers import ShardRunner


@dataclass(frozen=True)
class Part:
    """Every n-th shard, from the k-th on: what one of n machines computes; written `k/n`."""

    k: int = 1
    n: int = 1

    @classmethod
    def read(cls, text: str) -> Part:
        """Read `2/8`.

        Raises:
            ConfigError: it is not a part.
        """
        k, slash, n = text.partition("/")
        if not (slash and k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
            raise ConfigError(f"--part {text}: allowed is k/n with 1 ≤ k ≤ n, as in 2/8 for the second of 8 machines")
        return cls(int(k), int(n))

    @property
    def is_all(self) -> bool:
        """Tell whether nothing is left to others."""
        return self.n == 1

    def of(self, shards: Sequence[Shard]) -> tuple[Shard, ...]:
        """Return the shards of this part."""
        return tuple(shards[self.k - 1 :: self.n])


class Progress:
    """Samples done, their rate and the time left, on stderr, if that is a terminal."""

    def __init__(self, description: str, num_samples: int, num_done: int = 0) -> None:
        class Bar(tqdm):  # type: ignore[type-arg]
            monitor_interval = 0  # no thread of its own: workers are forked beside it

        shown = sys.stderr.isatty()
        self._bar = Bar(total=num_samples, initial=num_done, desc=description, unit="sample", disable=not shown)
        self._finished = num_done

    def finish(self, num_samples: int) -> None:
        """Count samples whose results are kept."""
        self._finished += num_samples

    def show(self, under_way: float = 0.0) -> None:
        """Show what is finished and so many samples more, which are under way."""
        self._bar.update(max(int(self._finished + under_way) - self._bar.n, 0))

    def tell(self, line: str) -> None:
        """Print a line on stderr, above the bar."""
        tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


@dataclass(frozen=True, kw_only=True)
class DatasetRun:
    """What is run, on what, and where to.

    Attributes:
        graph: the dialect of the number format, model timing.
        source: the samples.
        settings: how they run.
        samples_per_shard: see `shards.default_samples_per_shard`.
        num_workers: shards that run at a time.
        out: the folder of results.
        manifest: what the results are made from, see `artifact.provenance`; it must name all of the above that
            results depend on.
    """

    graph: Graph
    source: SampleSource
    settings: LavaSettings
    samples_per_shard: int
    num_workers: int
    out: Path
    manifest: Mapping[str, Any]

    def run(self, part: Part | None = None) -> Activity | None:
        """Run what is not finished yet, and put the results together when everything is.

        Args:
            part: run only these shards, and leave them in the partial folder.

        Returns:
            The event counts of the whole; None for a part.

        Raises:
            ArtifactError: `out` is not to be replaced.
            InputDataError: a value is not what an input takes.
            LavaRuntimeError: Lava is missing or failed, a worker was killed too often, or another run is at work.
        """
        check_replaceable(self.out.resolve())
        check_graph(self.graph, self.settings.number_format)
        layout = Layout(graph=self.graph, probes=self.settings.probes, num_steps=self.source.num_steps)
        shards = plan_shards(self.source.num_samples, self.samples_per_shard)
        mine = shards if part is None else part.of(shards)
        prepare(self.graph, self.settings)
        partial = PartialFolder(self.out, self.manifest)
        if not partial.is_of_this_run:
            self._check_values(mine)
        with partial.opened(shared=part is not None) as has_discarded:
            if has_discarded:
                print(f"{partial.path}: shards of a run with other settings or inputs are discarded", file=sys.stderr)
            missing = tuple(shard for shard in mine if not partial.holds(shard))
            try:
                self._compute(partial, layout, mine, missing)
            except BaseException:
                num_kept = sum(partial.holds(shard) for shard in shards)
                if num_kept:
                    print(
                        f"{partial.path}: {num_kept} of {len(shards)} shards are kept; the same command goes on there",
                        file=sys.stderr,
                    )
                raise
            if part is not None:
                return None
            with atomic_folder(self.out, self.manifest, work=partial.path / "merged") as folder:
                activity = merge(partial, shards, layout, self.settings, folder)
            partial.remove()
        return activity

    def _check_values(self, shards: Sequence[Shard]) -> None:
        """Read everything once: better an error now than after hours."""
        progress = Progress("checking inputs", sum(shard.num_samples for shard in shards))
        try:
            for shard in shards:
                self.source.load(shard.samples)
                progress.finish(shard.num_samples)
                progress.show()
        finally:
            progress.close()

    def _compute(self, partial: PartialFolder, layout: Layout, mine: Sequence[Shard], missing: Sequence[Shard]) -> None:
        def work(shard: Shard, inputs: dict[str, Array], steps_done: npt.NDArray[Any]) -> None:
            partial.write(shard, run_shard(self.graph, inputs, self.settings, steps_done), layout)

        num_samples = sum(shard.num_samples for shard in mine)
        num_done = num_samples - sum(shard.num_samples for shard in missing)
        progress = Progress("samples", num_samples, num_done)
        if num_done:
            progress.tell(f"{partial.path}: goes on; {num_done} of {num_samples} samples are done")
        try:
            ShardRunner(self.source.load, work, self.num_workers).run(
                missing,
                finished=lambda shard, _: progress.finish(shard.num_samples),
                watch=lambda steps: progress.show(sum(map(self._samples_under_way, steps, steps.values()))),
                tell=progress.tell,
            )
        finally:
            progress.close()

    def _samples_under_way(self, shard: Shard, steps_done: int) -> float:
        total = self.settings.total_steps(shard.num_samples, self.source.num_steps)
        return shard.num_samples * min(steps_done / total, 1.0)
