"""Published numbers of UCF-, ActivityNet- and VGGSound-GZSL beside our own, with what has to be said about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware_profiles.config import from_mapping, read_toml
from hardware_profiles.errors import ConfigError

from .protocol import SCORES, Scores, harmonic_mean

PUBLISHED = Path(__file__).resolve().parent / "published.toml"
ROUNDING = 0.02
"""Two decimals of S and U can move HM by 0.01, and its own rounding by 0.005."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One method on one data set.

    Attributes:
        method: as its authors call it.
        venue: where and when; empty where the source says nothing.
        data_set: `UCF`, `ActivityNet` or `VGGSound`.
        features: `main_features`, `cls_features`, `clip_clap` or `unknown`.
        S: mean class accuracy on seen classes, percent; None where the source gives none.
        U: on unseen classes.
        HM: harmonic mean of S and U, as published.
        ZSL: on unseen classes among themselves.
        source: where the numbers were found.
        caveat: what else has to be said.
    """

    method: str
    venue: str
    data_set: str
    features: str
    HM: float
    source: str
    S: float | None = None
    U: float | None = None
    ZSL: float | None = None
    caveat: str = ""

    @property
    def remark(self) -> str:
        """The caveat, and whether the published HM is the harmonic mean of the published S and U."""
        if self.S is None or self.U is None or abs(harmonic_mean(self.S, self.U) - self.HM) <= ROUNDING:
            return self.caveat
        wrong = f"S and U give HM {harmonic_mean(self.S, self.U):.2f}: inconsistent"
        return f"{self.caveat}; {wrong}" if self.caveat else wrong


@dataclass(frozen=True, kw_only=True)
class _Sources:
    third_party: str
    readme: str
    run_log: str


@dataclass(frozen=True, kw_only=True)
class _Table:
    caveats: tuple[str, ...]
    sources: _Sources
    rows: tuple[PublishedRow, ...]


def _table() -> _Table:
    return from_mapping(_Table, read_toml(PUBLISHED), str(PUBLISHED))


def data_sets() -> tuple[str, ...]:
    """Return the data sets that others published numbers of."""
    return tuple(sorted({row.data_set for row in _table().rows}))


def published_table(name: str, features: str | None = None) -> list[PublishedRow]:
    """Return the rows of a data set, best HM first.

    Args:
        name: `UCF`, `ActivityNet` or `VGGSound`.
        features: a kind of features; rows of unknown kind stay in. None: all rows.

    Raises:
        ConfigError: a data set that the table does not hold.
    """
    rows = [row for row in _table().rows if row.data_set == name]
    if not rows:
        raise ConfigError(f"published numbers of '{name}': there are none, allowed are {', '.join(data_sets())}")
    chosen = [row for row in rows if features is None or row.features in (features, "unknown")]
    return sorted(chosen, key=lambda row: -row.HM)


def beside(result: Scores, name: str, features: str | None = None) -> dict[str, Any]:
    """Return our result and the published rows as JSON values, with sources and caveats."""
    table = _table()
    return {
        "ours": dataclasses.asdict(result),
        "published": [{**dataclasses.asdict(row), "remark": row.remark} for row in published_table(name, features)],
        "sources": dataclasses.asdict(table.sources),
        "caveats": list(table.caveats),
    }


def format_beside(result: Scores, name: str, features: str | None = None, ours: str = "this run") -> str:
    """Return our result and the published rows as a table in plain text, caveats below it."""
    values = beside(result, name, features)
    rows = [_line(ours, features or "", values["ours"], "")]
    rows += [_line(row["method"], row["features"], row, _remark(row)) for row in values["published"]]
    head = ("method", "features", *(f"{score} %" for score in SCORES), "source; remark")
    legend = [f"{source}: {words}" for source, words in values["sources"].items()]
    return "\n".join([*_columns([head, *rows]), "", *legend, *values["caveats"]])


def _line(method: str, features: str, scores: Any, remark: str) -> tuple[str, ...]:
    return (method, features, *("-" if scores[s] is None else f"{scores[s]:.2f}" for s in SCORES), remark)


def _remark(row: Any) -> str:
    return "; ".join(part for part in (row["source"], row["remark"]) if part)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align columns: text to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    is_number = [2 <= column < 2 + len(SCORES) for column in range(len(widths))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in rows
    ]
