"""The edges of a NIR file made ours: delays and joints become delays of edges, loops get the step they imply."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import NirFileError
from .parse import Wire

MAX_WIRES = 1_000_000
MAX_LOOP_WORK = 20_000_000
MAX_DELAY = 1 << 16
"""Longest delay in steps that a file may ask for."""

DelayedWire = tuple[str, str, str, int]
"""Source, target, port, delay in steps."""


def contract(wires: list[Wire], joints: Mapping[str, int]) -> list[DelayedWire]:
    """Connect around the joints, in the order of the edges.

    Args:
        wires: edges.
        joints: nodes that pass on what they receive, with the steps by which they delay it.

    Raises:
        NirFileError: joints in a circle, or far more edges than the file has.
    """
    arriving: dict[str, list[Wire]] = {}
    for wire in wires:
        if wire[1] in joints:
            arriving.setdefault(wire[1], []).append(wire)
    result: list[DelayedWire] = []
    walked = 0
    for source, target, port in wires:
        if target not in joints:
            origins, steps = _origins(source, arriving, joints, MAX_WIRES - walked)
            walked += steps
            result += [(origin, target, port, delay) for origin, delay in origins]
    return result


def _origins(
    source: str, arriving: Mapping[str, list[Wire]], joints: Mapping[str, int], max_walked: int
) -> tuple[list[tuple[str, int]], int]:
    """Walk backwards through joints; return origins with their delays, in the order of summation, and steps walked."""
    found: list[tuple[str, int]] = []
    pending = [(source, 0, 0)]
    walked = 0
    while pending:
        name, delay, depth = pending.pop()
        walked += 1
        if depth > len(joints) or delay > MAX_DELAY:
            raise NirFileError(f"node {name}: delays form a circle, or more than {MAX_DELAY} steps; too large to read")
        if walked > max_walked:
            raise NirFileError(f"more than {MAX_WIRES} edges behind delays; too large to read")
        if name not in joints:
            found.append((name, delay))
        else:
            pending += [(wire[0], delay + joints[name], depth + 1) for wire in reversed(arriving.get(name, []))]
    return found, walked


def close_loops(wires: list[DelayedWire], inputs: Collection[str], neurons: Collection[str]) -> list[DelayedWire]:
    """Delay one edge of every loop without delay by a step, as all discrete readers of NIR do.

    Loops are found by depth-first search from the inputs by name, along edges in the file's order. What waits is what
    the last neuron of the loop sends into it (its spikes of the step before, as in snnTorch's RLeaky, so that a bias
    behind them acts from the first step); without a neuron, the edge that closes the loop.
    """
    delayed: set[int] = set()
    work = 0
    while True:
        outgoing: dict[str, list[int]] = {}
        for index, (source, _, _, delay) in enumerate(wires):
            if not delay and index not in delayed:
                outgoing.setdefault(source, []).append(index)
        loop = _find_loop(wires, outgoing, [*sorted(inputs), *sorted(outgoing)])
        if loop is None:
            break
        from_neuron = [index for index in loop if wires[index][0] in neurons]
        delayed.add(from_neuron[-1] if from_neuron else loop[-1])
        work += len(wires)
        if work > MAX_LOOP_WORK:
            raise NirFileError(f"more than {len(delayed)} loops; too large to read")
    return [
        (source, target, port, 1 if index in delayed else delay)
        for index, (source, target, port, delay) in enumerate(wires)
    ]


def _find_loop(wires: list[DelayedWire], outgoing: Mapping[str, list[int]], starts: list[str]) -> list[int] | None:
    """Return the edges of the first loop met, the closing one last."""
    done: set[str] = set()
    for start in starts:
        if start in done:
            continue
        path: list[int] = []  # edges from the start to where the walk is
        nodes, on_path = [start], {start: 0}
        ahead = [iter(outgoing.get(start, ()))]
        while nodes:
            index = next(ahead[-1], None)
            if index is None:
                done.add(nodes[-1])
                del on_path[nodes.pop()]
                ahead.pop()
                if path:
                    path.pop()
                continue
            target = wires[index][1]
            if target in on_path:
                return [*path[on_path[target] :], index]
            if target not in done:
                path.append(index)
                on_path[target] = len(nodes)
                nodes.append(target)
                ahead.append(iter(outgoing.get(target, ())))
    return None
