"""Turns matplotlib figures into inline SVG: no file beside the page, equal bytes from equal data."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

WIDTH_IN = 5.2
"""Wide enough for a page, narrow enough that the text stays readable on a phone."""
FIRST_UNDRAWN = "\u0530"
"""DejaVu Sans, which comes with matplotlib, draws Latin, Greek and Cyrillic; those end here."""
INK, MUTED, GRID = "#1f2933", "#52606d", "#e4e7eb"
STYLE = {
    "svg.hashsalt": "axonport",
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "text.parse_math": False,
}


class Canvas:
    """Draws figures whose identifiers do not clash on one page."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    @contextmanager
    def draw(self, height_in: float, alt: str) -> Iterator[tuple[Figure, list[str]]]:
        """Yield a figure and the list that receives its SVG when the block ends; `alt` says what it shows."""
        svg: list[str] = []
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
            yield figure, svg
            buffer = io.StringIO()
            no_metadata: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
            figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
        svg.append(self._inline(buffer.getvalue(), alt))

    def _inline(self, svg: str, alt: str) -> str:
        """Cut prolog and metadata, name the picture, and prefix every identifier."""
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        prefix = f"f{next(self._numbers)}-"
        svg = re.sub(r'\bid="', f'id="{prefix}', svg)
        svg = re.sub(r'href="#', f'href="#{prefix}', svg)
        svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
        label = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def short_label(name: str, length: int = 24) -> str:
    """Shorten a name from the middle, so that both ends stay readable; `?` for what the plots' font cannot draw."""
    name = "".join(letter if letter.isprintable() and letter < FIRST_UNDRAWN else "?" for letter in name)
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"
