"""Writes a report as one HTML page, as JSON and as Markdown: the same facts three times."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..artifact import write_json
from ..number_format import format_count, format_interval, format_share, format_si
from .contents import Report
from .figures import FigureSet
from .glossary import GLOSSARY
from .headline import cards, input_rate, reference_energy, what_ran

FOLDER = Path(__file__).resolve().parent


def write_report(folder: Path, report: Report) -> tuple[Path, ...]:
    """Write `report.html`, `report.json` and `report.md` into an existing folder and return their paths."""
    html, markdown, data = (folder / name for name in ("report.html", "report.md", "report.json"))
    html.write_text(render_html(report), encoding="utf-8")
    markdown.write_text(render_markdown(report), encoding="utf-8")
    write_json(data, report.as_json())
    return html, markdown, data


def render_html(report: Report) -> str:
    """Return a page that needs no other file, no script and no network."""
    environment = _environment(autoescape=True)
    style = Markup((FOLDER / "report.css").read_text(encoding="utf-8"))
    template = environment.get_template("report.html.j2")
    return template.render(**_view(report), style=style, figures=_figures(report), glossary=GLOSSARY)


def render_markdown(report: Report) -> str:
    """Return the same facts as tables in plain text."""
    environment = _environment(autoescape=False, finalize=_escape_markdown)
    return environment.get_template("report.md.j2").render(**_view(report))


def _environment(**options: Any) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters.update(
        si=format_si, interval=format_interval, count=format_count, share=format_share, pretty=_pretty, name=_breakable
    )
    return environment


def _view(report: Report) -> Mapping[str, Any]:
    """Return what both templates read."""
    return {
        "report": report,
        "cards": cards(report),
        "what_ran": what_ran(report.activity) if report.activity else "No run was given.",
        "input_rate": input_rate(report.activity) if report.activity else "",
        "reference_energy": reference_energy,
    }


def _figures(report: Report) -> dict[str, Markup]:
    """Return the plots whose data is there; their SVG is ours, names in it are drawn as outlines."""
    figures = FigureSet()
    drawn: dict[str, Markup] = {}
    if report.activity is not None:
        drawn["activity"] = Markup(figures.activity(report.activity))
        if report.energies:
            drawn["stack"] = Markup(figures.energy_stack(report.energies))
            drawn["comparison"] = Markup(figures.comparison(report.energies, report.references))
    if report.thresholds:
        drawn["thresholds"] = Markup(figures.thresholds(report.thresholds))
    return drawn


def _breakable(name: str) -> Markup:
    """Escape a name and let a browser break it after its dots, slashes and underscores."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])", name))


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _escape_markdown(value: Any) -> Any:
    """Keep names from breaking a table or becoming markup."""
    if not isinstance(value, str):
        return value
    flat = re.sub(r"\s*[\r\n]+\s*", " ", value)
    entities = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", entities)
