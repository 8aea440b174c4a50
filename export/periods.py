"""How often each node ticks: stages of different rates in one graph, whose steps are those of the fastest.

A node of period p ticks in the steps t in which p divides t + 1. Between its ticks it sends zeros and holds whatever it
keeps (membranes, synaptic currents, thresholds): nothing is integrated, nothing leaks, no reset falls due.

An input says its period. A window of r weights sums r ticks of what arrives, so its own period is r times as long.
Every other node has the period of what arrives; context, which the host sends to thresholds, is read on their ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_PERIOD = 1 << 24
"""Longest period in steps: a float32 counts so far."""


def derive_periods(
    given: Mapping[str, int], names: Iterable[str], links: Iterable[tuple[str, str]], ratios: Mapping[str, int]
) -> dict[str, int]:
    """Return each node's period in steps.

    Where links disagree, the first decides; `verify` refuses such a graph.

    Args:
        given: input to its period.
        names: all nodes; what no input reaches ticks in every step.
        links: source and target of everything that arrives, context left out.
        ratios: window to its number of weights.
    """
    following: dict[str, list[str]] = {}
    for source, target in links:
        following.setdefault(source, []).append(target)
    periods: dict[str, int] = {}
    for start in (*given, *names):
        if start in periods:
            continue
        periods[start] = given.get(start, 1)
        reached = [start]
        for name in reached:  # grows while it is walked
            for target in following.get(name, ()):
                if target not in periods:
                    periods[target] = periods[name] * ratios.get(target, 1)
                    reached.append(target)
    return periods
