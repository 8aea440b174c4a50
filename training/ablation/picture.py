"""The ablation as a picture: HM of every arm, one dot per seed, mean and interval, biased beside flipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hardware_profiles.artifact import atomic_file

from .table import PAIR_NAMES, Interval

COLOURS = {"test": "#3b6ea5", "flipped": "#c2553a"}
INCHES_PER_ARM = 0.38


def draw(entries: Sequence[dict[str, Any]], chance_hm: float, origin: str, path: Path) -> None:
    """Write a PNG."""
    pairs = [pair for pair in PAIR_NAMES if pair in entries[0]]
    figure = Figure(figsize=(8, 1.4 + INCHES_PER_ARM * len(entries)), layout="constrained")
    axes = figure.add_subplot()
    for shift, pair in enumerate(pairs):
        for row, entry in enumerate(entries):
            place = row + 0.3 * (shift - (len(pairs) - 1) / 2)
            seeds, mean = entry[pair]["HM_per_seed"], Interval(**entry[pair]["HM"])
            axes.plot(seeds, [place] * len(seeds), "o", color=COLOURS[pair], alpha=0.35, markersize=4)
            axes.errorbar(mean.mean, place, xerr=mean.half_width, fmt="D", color=COLOURS[pair], markersize=5, capsize=3,
                          label=PAIR_NAMES[pair] if row == 0 else None)  # fmt: skip
    axes.axvline(chance_hm, color="0.5", linestyle=":", label="chance")
    axes.set_yticks(range(len(entries)), [entry["arm"] for entry in entries])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("HM in %: dots are seeds, diamonds means with 95 % intervals")
    axes.set_title(origin, fontsize=9)
    axes.grid(axis="x", color="0.9")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    with atomic_file(path) as part:
        figure.savefig(part, format="png", dpi=140)
