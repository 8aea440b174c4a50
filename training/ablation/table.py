"""From runs to a table: means over seeds with 95 % intervals, and differences from the reference, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from ..protocol import SCORES
from .arms import REFERENCE, Arm

CONFIDENCE = 0.95
PAIR_NAMES = {"test": "biased backgrounds", "flipped": "flipped backgrounds"}


class Interval(NamedTuple):
    """Mean over seeds and half the width of its interval, in percent."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.half_width:.1f}"

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return abs(self.mean) > self.half_width


def interval(values: Sequence[float]) -> Interval:
    """Return mean ± t · s / √n (Student's t, 95 %, n − 1 degrees of freedom) of n ≥ 2 values."""
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    factor = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return Interval(float(np.mean(values)), factor * spread)


def summarise(arms: Sequence[Arm], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per arm: intervals of every score, and of HM's difference from the reference.

    The difference is taken seed by seed: weights differ, but data, order of clips and their number are the same.
    """
    pairs = [pair for pair in PAIR_NAMES if all(pair in row for row in rows)]
    values = {
        (arm.name, pair, score): [row[pair][score] for row in rows if row["arm"] == arm.name]
        for arm in arms
        for pair in pairs
        for score in SCORES
    }
    entries = []
    for arm in arms:
        entry: dict[str, Any] = {"arm": arm.name, "question": arm.question, "changes": dict(arm.changes)}
        own = [row for row in rows if row["arm"] == arm.name]
        entry["num_parameters"] = own[0]["num_parameters"]
        entry["cpu_s"] = float(np.sum([row["cpu_s"] for row in own]))
        for pair in pairs:
            entry[pair] = {score: interval(values[arm.name, pair, score])._asdict() for score in SCORES}
            entry[pair]["HM_per_seed"] = values[arm.name, pair, "HM"]
            if arm.name != REFERENCE:
                differences = np.subtract(values[arm.name, pair, "HM"], values[REFERENCE, pair, "HM"])
                entry[pair]["HM_minus_reference"] = interval(differences.tolist())._asdict()
        entries.append(entry)
    return entries


def verdict(entry: dict[str, Any], pair: str) -> str:
    """Say what the comparison shows: `worse`, `better`, or `no difference shown`."""
    difference = Interval(**entry[pair]["HM_minus_reference"])
    if not difference.excludes_zero:
        return "no difference shown"
    return "better" if difference.mean > 0 else "worse"


def clears(entries: Sequence[dict[str, Any]], pair: str, chance_hm: float) -> bool:
    """Return whether the reference's HM beats chance and the context-only model by more than the seed interval."""
    by_name = {entry["arm"]: entry for entry in entries}
    reference = Interval(**by_name[REFERENCE][pair]["HM"])
    above_chance = reference.mean - reference.half_width > chance_hm
    baseline = by_name.get("context only")
    if baseline is None:
        return above_chance
    difference = Interval(**baseline[pair]["HM_minus_reference"])
    return above_chance and difference.excludes_zero and difference.mean < 0


def to_markdown(entries: Sequence[dict[str, Any]], header: Sequence[str], chance_hm: float) -> str:
    """Write the table as Markdown, with `header` lines above it."""
    pairs = [pair for pair in PAIR_NAMES if pair in entries[0]]
    lines = [*header, ""]
    for pair in pairs:
        lines += [
            f"## {PAIR_NAMES[pair].capitalize()}",
            "",
            "| arm | S | U | HM | ZSL | HM − reference | |",
            "|---|---|---|---|---|---|---|",
        ]
        for entry in entries:
            scores = " | ".join(str(Interval(**entry[pair][score])) for score in SCORES)
            compared = "| |"
            if entry["arm"] != REFERENCE:
                compared = f"{Interval(**entry[pair]['HM_minus_reference'])} | {verdict(entry, pair)} |"
            lines.append(f"| {entry['arm']} | {scores} | {compared}")
        holds = "yes" if clears(entries, pair, chance_hm) else "NO"
        beaten = f"HM beats chance ({chance_hm:.1f}) and the context-only model by more than the interval"
        lines += ["", f"{beaten}: {holds}.", ""]
    lines += ["| arm | question | parameters | CPU s |", "|---|---|---|---|"]
    lines += [
        f"| {entry['arm']} | {entry['question']} | {entry['num_parameters']} | {entry['cpu_s']:.0f} |"
        for entry in entries
    ]
    return "\n".join(lines) + "\n"
