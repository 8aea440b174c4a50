"""Writes a report as one HTML page, as JSON and as Markdown: the same facts three times."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..artifact import write_json
from ..number_format import format_count, format_interval, format_share, format_si
from .canvas import Canvas
from .contents import Report
from .figures import draw_activity, draw_comparison, draw_energy_stack, draw_thresholds, draw_training
from .glossary import GLOSSARY
from .headline import cards, input_rate, origin, what_ran
from .layer_order import layer_order
from .real_time import in_real_time
from .reference_text import bound_reasons, reference_energy, reference_notes

FOLDER = Path(__file__).resolve().parent
SECTIONS = (
    "parity",
    "accuracy",
    "activity",
    "thresholds",
    "energy",
    "reference",
    "cores",
    "carried",
    "provenance",
    "glossary",
)
"""The page's sections in their order; each is a template in `sections/`."""


def write_report(folder: Path, report: Report) -> tuple[Path, ...]:
    """Write `report.html`, `report.json` and `report.md` into an existing folder and return their paths."""
    html, markdown, data = (folder / name for name in ("report.html", "report.md", "report.json"))
    html.write_text(render_html(report), encoding="utf-8")
    markdown.write_text(render_markdown(report), encoding="utf-8")
    write_json(data, report.as_json())
    return html, markdown, data


def render_html(report: Report) -> str:
    """Return a page that needs no other file, no script and no network."""
    environment = _environment(report, autoescape=True)
    style = Markup((FOLDER / "report.css").read_text(encoding="utf-8"))
    template = environment.get_template("report.html.j2")
    return template.render(**_view(report), style=style, figures=_figures(report), glossary=GLOSSARY, sections=SECTIONS)


def render_markdown(report: Report) -> str:
    """Return the same facts as tables in plain text."""
    environment = _environment(report, autoescape=False, finalize=_escape_markdown)
    return environment.get_template("report.md.j2").render(**_view(report))


def _environment(report: Report, **options: Any) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters.update(
        si=format_si,
        interval=format_interval,
        count=format_count,
        share=format_share,
        pretty=_pretty,
        name=_breakable,
        sentence=_sentence,
        in_order=layer_order(report),
    )
    return environment


def _view(report: Report) -> Mapping[str, Any]:
    """Return what both templates read."""
    return {
        "report": report,
        "cards": cards(report),
        "what_ran": what_ran(report.activity) if report.activity else "No run was given.",
        "input_rate": input_rate(report.activity) if report.activity else "",
        "origin": origin(report),
        "stock_witness": any("stock Lava" in rung.name for rung in report.rungs),
        "real_time": partial(in_real_time, report),
        "reference_energy": reference_energy,
        "bound_reasons": bound_reasons(report.references),
        "reference_notes": reference_notes(report.references),
    }


def _figures(report: Report) -> dict[str, Markup]:
    """Return the plots whose data is there; their SVG is ours, names in it are drawn as outlines."""
    canvas, in_order = Canvas(), layer_order(report)
    drawn: dict[str, str] = {}
    if report.training is not None and len(report.training.history) > 1:
        drawn["training"] = draw_training(canvas, report.training)
    if report.activity is not None:
        drawn["activity"] = draw_activity(canvas, report.activity, in_order(report.activity.layers))
        if report.energies:
            drawn["stack"] = draw_energy_stack(canvas, report.energies)
            drawn["comparison"] = draw_comparison(canvas, report.energies, report.references)
    if report.thresholds:
        drawn["thresholds"] = draw_thresholds(canvas, in_order(report.thresholds))
    return {name: Markup(svg) for name, svg in drawn.items()}


def _breakable(name: str) -> Markup:
    """Escape a name and let a browser break it after its dots, slashes and underscores."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])", name))


def _sentence(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _escape_markdown(value: Any) -> Any:
    """Keep names from breaking a table or becoming markup."""
    if not isinstance(value, str):
        return value
    flat = re.sub(r"\s*[\r\n]+\s*", " ", value)
    entities = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", entities)
