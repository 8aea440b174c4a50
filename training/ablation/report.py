"""The whole ablation: runs, table, picture, in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hardware_profiles.artifact import write_json

from ..data.reader import open_data
from ..protocol import chance
from ..stages import candidates
from .arms import choose_arms
from .config import AblationConfig
from .picture import draw
from .runs import Setting, make_runs
from .table import PAIR_NAMES, clears, summarise, to_markdown

FORMAT = "axonport-ablation-1"
JSON_FILE, TEXT_FILE, PICTURE_FILE = "ablation.json", "ablation.md", "ablation.png"


def run_ablation(
    setting: Setting, config: AblationConfig, folder: Path, made_by: str, num_workers: int | None = None
) -> str:
    """Make all runs and write their table and picture into `folder`.

    Args:
        setting: data, model, training and protocol that all runs share.
        config: seeds and arms.
        folder: an existing folder.
        made_by: commit and machine, one line.
        num_workers: OS processes, None for one per core.

    Returns:
        The table as Markdown.
    """
    arms = choose_arms(setting.model, config.arms)
    rows = make_runs(arms, config.num_seeds, setting, num_workers)
    data = open_data(setting.data)
    chance_hm = chance(candidates(data, setting.protocol)).HM
    entries = summarise(arms, rows)
    cpu_h = sum(entry["cpu_s"] for entry in entries) / 3600
    header = [
        f"# Ablation: {data.title}",
        "",
        f"Data: {data.origin}.",
        "",
        f"{len(arms)} arms, {config.num_seeds} seeds each, stages {setting.protocol.stages}, {setting.protocol.head} "
        f"head, at most {setting.training.epochs} epochs a stage; {cpu_h:.2f} CPU hours; {made_by}. Scores in %, means "
        "over seeds with 95 % intervals (Student's t); differences are taken seed by seed.",
    ]
    text = to_markdown(entries, header, chance_hm)
    result: dict[str, Any] = {
        "format": FORMAT,
        "title": data.title,
        "origin": data.origin,
        "made_by": made_by,
        "cpu_h": cpu_h,
        "chance_hm": chance_hm,
        "clears_baselines": {pair: clears(entries, pair, chance_hm) for pair in PAIR_NAMES if pair in entries[0]},
        "arms": entries,
        "runs": rows,
    }
    write_json(folder / JSON_FILE, result)
    (folder / TEXT_FILE).write_text(text, encoding="utf-8")
    draw(entries, chance_hm, data.origin, folder / PICTURE_FILE)
    return text
