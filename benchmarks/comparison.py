"""Times contenders in turns, so that all of them meet the same load, and prints medians and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tqdm import tqdm

from hardware_profiles.number_format import format_count


class Skipped(Exception):
    """A benchmark cannot run on this machine; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Contenders that did the same work.

    Attributes:
        title: what was timed.
        unit: of the figures, less is better.
        baseline: the contender that the others are compared with.
        figures: contender to one figure per round, in the order of the rounds.
        settings: sizes of the work.
        check: how it was seen that all did the same work.
    """

    title: str
    unit: str
    baseline: str
    figures: dict[str, list[float]]
    settings: dict[str, int | float | str]
    check: str

    def median(self, name: str) -> float:
        """Return a contender's median over the rounds."""
        return statistics.median(self.figures[name])

    def against_baseline(self, name: str) -> str:
        """Return how many times faster or slower than the baseline a contender's median is."""
        if name == self.baseline:
            return "baseline"
        ratio = self.median(self.baseline) / self.median(name)
        return f"{ratio:.3g}× faster" if ratio >= 1.0 else f"{1.0 / ratio:.3g}× slower"

    def table(self) -> str:
        """Return the comparison as a Markdown table."""
        rows = [
            f"| {name} | {format_count(self.median(name))} "
            f"| {format_count(min(figures))} to {format_count(max(figures))} "
            f"| {self.against_baseline(name)} |"
            for name, figures in self.figures.items()
        ]
        sizes = ", ".join(f"{name} {size}" for name, size in self.settings.items())
        header = (f"| contender | median, {self.unit} | range | against the baseline |", "| --- | ---: | ---: | ---: |")
        return "\n".join((f"### {self.title}", "", f"{sizes}. {self.check}", "", *header, *rows))


def interleave(title: str, contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Let every contender give its figure once per round, in turns; a progress bar goes to stderr."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    with tqdm(total=rounds * len(contenders), desc=title, unit="run") as bar:
        for _ in range(rounds):
            for name, measure in contenders.items():
                bar.set_postfix_str(name)
                figures[name].append(measure())
                bar.update()
    return figures
