"""The order in which layers are shown: inputs, then one stream after the other, each from its input to its output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from .contents import Report


class LayerOrder:
    """Sorts what later stages wrote in orders of their own; a stream is the part of a name before its first dot."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the layers' names from input to output; streams are shown in the order in which they begin."""
        self._position = {name: place for place, name in enumerate(dict.fromkeys(names))}
        streams = dict.fromkeys(_stream(name) for name in self._position)
        self._streams = {stream: place for place, stream in enumerate(streams)}

    def __call__(self, entries: Iterable[Any], attribute: str = "name") -> list[Any]:
        """Return `entries` sorted by the name in `attribute`; names of unknown streams leave the order as it is."""
        given = list(entries)
        names = [attrgetter(attribute)(entry) for entry in given]
        if not all(_stream(name) in self._streams for name in names):
            return given
        known = all(name in self._position for name in names)
        keys = [
            (self._streams[_stream(name)], (self._position[name],) if known else _numbers(name), place)
            for place, name in enumerate(names)
        ]
        return [given[place] for *_, place in sorted(keys)]


def layer_order(report: Report) -> LayerOrder:
    """Return the order of the run's graph with the rows of the bill behind it, else that of the lowest rung."""
    if report.activity is not None:
        billed = [item.layer for energy in report.energies for item in energy.items]
        return LayerOrder([layer.name for layer in report.activity.layers] + billed)
    return LayerOrder(layer.name for rung in report.rungs[:1] for layer in rung.layers)


def _stream(name: str) -> str:
    return name.split(".", 1)[0]


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", name))
