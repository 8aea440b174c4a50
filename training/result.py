"""A run's scores as a table, beside chance and the context-only baseline, with what has to be known to read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardware_profiles.artifact import atomic_file, write_json

from .config import baseline_key
from .protocol import SCORES, Scores
from .published import beside, format_beside

RESULT, RESULT_TEXT = "result.json", "result.md"
RESULT_FORMAT = "axonport-result-1"
PAIR_TITLES = {"test": "", "flipped": ", flipped backgrounds"}


def make_result(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return rows (method, S, U, HM, ZSL in percent) and notes from what `metrics.json` holds."""
    rows = []
    for pair, heads in metrics["heads"].items():
        for head, scores in heads.items():
            chosen = " (chose the epoch)" if head == metrics["head"] else ""
            rows.append({"method": f"this run, {head} head{chosen}{PAIR_TITLES[pair]}", **scores})
        baseline = metrics.get(baseline_key(pair))
        if baseline:
            rows.append({"method": f"context only, {metrics['head']} head{PAIR_TITLES[pair]}", **baseline})
    rows.append({"method": "chance", **metrics["chance"]})
    return {
        "format": RESULT_FORMAT,
        "title": metrics["title"],
        "origin": metrics["origin"],
        "rows": rows,
        "notes": notes(metrics),
        **({"published": beside(*_published(metrics))} if metrics["published_as"] else {}),
    }


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """Return the lines that every table carries."""
    offsets = ", ".join(f"{head} {offset:g}" for head, offset in metrics["offsets"].items())
    stage_b = "stage B trained anew on train, val_seen and val_unseen for as many epochs"
    if metrics["stages"] == "A":
        stage_b = "no stage B: the model of stage A is tested, which is not the field's protocol"
    return [
        f"data: {metrics['origin']}",
        f"epoch {metrics['epoch'] + 1} of {len(metrics['history'])} and the offsets ({offsets}) chosen in stage A on "
        f"val_seen and val_unseen; {stage_b}",
        "S, U: mean class accuracy in percent, seen and unseen classes as candidates; ZSL: unseen candidates only; one "
        "training seed",
    ]


def as_markdown(result: Mapping[str, Any]) -> str:
    """Return a result as a Markdown table."""
    width = max(len(row["method"]) for row in result["rows"])
    lines = [f"# {result['title']}", "", f"| {'method':<{width}} |" + "".join(f" {name:>6} |" for name in SCORES)]
    lines.append(f"|{'-' * (width + 2)}|" + "-------:|" * len(SCORES))
    for row in result["rows"]:
        lines.append(f"| {row['method']:<{width}} |" + "".join(f" {row[name]:6.2f} |" for name in SCORES))
    return "\n".join([*lines, "", *(f"* {note}" for note in result["notes"])]) + "\n"


def write_result(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `result.json` and `result.md`, with what others published where they may stand beside it."""
    result = make_result(metrics)
    write_json(folder / RESULT, result)
    text = as_markdown(result)
    if metrics["published_as"]:
        text += f"\n## Published numbers\n\n```\n{format_beside(*_published(metrics))}\n```\n"
    with atomic_file(folder / RESULT_TEXT) as work:
        work.write_text(text, encoding="utf-8")


def _published(metrics: Mapping[str, Any]) -> tuple[Scores, str, str]:
    """Return the video head's scores, which the field reports, and under what others' are known."""
    name, features = metrics["published_as"]
    return Scores(**metrics["heads"]["test"]["video"]), name, features
