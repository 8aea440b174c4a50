"""Steps counted inside the Scan, so that slower stages find their ticks; the equations are in `nodes.window`."""

from __future__ import annotations

import numpy as np

from ..graph import Graph
from ..nodes import WindowSum
from .body import FLOAT, INT64, ScanBody


class Clock:
    """The step within the longest period, and what follows from it; nothing is written where all nodes tick always."""

    def __init__(self, graph: Graph, body: ScanBody) -> None:
        self._graph, self._body = graph, body
        self._ticks: dict[int, str] = {}
        if graph.longest_period == 1:
            return
        body.scope = "clock"
        count = body.state((), "count")
        steps = body.add("Cast", count, to=INT64)
        self._step = body.add("ReduceMax", steps, keepdims=0)  # the same in every sample
        following = body.add("Mod", body.add("Add", steps, self._integer(1)), self._integer(graph.longest_period))
        body.keep(count, body.add("Cast", following, to=FLOAT))

    def tick(self, period: int) -> str | None:
        """Return the name of the condition that nodes of a period tick; None where they always do."""
        if period == 1:
            return None
        if period not in self._ticks:
            due = self._body.add("Add", self._step, self._integer(1))
            rest = self._body.add("Mod", due, self._integer(period))
            self._ticks[period] = self._body.add("Equal", rest, self._integer(0))
        return self._ticks[period]

    def write_window(self, name: str, node: WindowSum, arriving: str) -> str:
        """Append a window's operations; zeros arrive between the ticks of what it sums."""
        body = self._body
        full = self.tick(self._graph.period[name])
        weights = body.constant(node.weight, "weights")
        if full is None:
            return body.add("Mul", arriving, weights)
        taken = body.add("Div", self._step, self._integer(self._graph.arrival_period(name)))
        place = body.add("Mod", taken, self._integer(node.ratio))
        gathered = body.state(node.shape, "gathered")
        weighted = body.add("Mul", arriving, body.add("Gather", weights, place))
        total = body.add("Add", gathered, weighted)
        zero = body.constant(np.float32(0), "zero")
        body.keep(gathered, body.add("Where", full, zero, total))
        return body.add("Where", full, total, zero)

    def _integer(self, value: int) -> str:
        return self._body.constant(np.int64(value), "integer")
