"""A second reading of the integer equations: one sample, plain Python integers, flat lists; nothing shared."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import prod
from typing import Any

from export.graph import Graph
from hardware_profiles.arithmetic import ThresholdController

LARGEST = 2**23 - 1
Row = list[int]


def place(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The position of an index in C order."""
    flat = 0
    for i, length in zip(index, shape, strict=True):
        flat = flat * length + i
    return flat


def leak(value: int, decay: int) -> int:
    """value · (4096 − decay) / 4096, toward zero."""
    kept = value * (4096 - decay)
    return kept // 4096 if kept >= 0 else -(-kept // 4096)


def shifted(value: int, exponent: int) -> int:
    """value · 2^exponent, rounded down."""
    return value * 2**exponent if exponent >= 0 else value // 2**-exponent


class OneSample:
    """A graph in model timing on one sample, straight from `export.nodes`."""

    def __init__(self, graph: Graph, inputs: dict[str, list[Row]]) -> None:
        self.graph, self.inputs = graph, inputs
        self.states: dict[str, dict[str, Row]] = {}
        self.theta: dict[str, int] = {}
        self.saturations: Counter[str] = Counter()
        self.history: list[dict[str, Row]] = []
        self.periods = self.arrival_periods()

    def arrival_periods(self) -> dict[str, int]:
        """Steps between two values that arrive at each node: from the inputs on, until nothing more is learnt."""
        arriving: dict[str, int] = {name: node.period for name, node in self.graph.inputs().items()}
        while True:
            known = len(arriving)
            for edge in self.graph.edges:
                if edge.source in arriving and edge.target not in arriving and edge.port != "context":
                    source: Any = self.graph.nodes[edge.source]
                    arriving[edge.target] = arriving[edge.source] * len(getattr(source, "weight_uint8", [0]))
            if len(arriving) == known:
                return arriving

    def step(self) -> dict[str, Row]:
        """Return what every node sends in the next step."""
        self.history.append({})
        for name in self.graph.nodes:
            self.send(name)
        return self.history[-1]

    def arriving(self, name: str, port: str) -> Row:
        node = self.graph.nodes[name]
        total = [0] * prod(node.ports[port])
        for edge in self.graph.edges:
            if (edge.target, edge.port) == (name, port):
                row = self.sent_before(edge.source, edge.delay)
                total = [a + b for a, b in zip(total, row, strict=True)]
        return total

    def sent_before(self, name: str, delay: int) -> Row:
        if delay == 0:
            return self.send(name)
        if delay >= len(self.history):
            return [0] * self.graph.nodes[name].size
        return self.history[-1 - delay][name]

    def send(self, name: str) -> Row:
        sent = self.history[-1]
        if name not in sent and len(self.history) % self.periods[name]:
            sent[name] = [0] * self.graph.nodes[name].size
        if name not in sent:
            node: Any = self.graph.nodes[name]
            sent[name] = getattr(self, type(node).__name__)(name, node)
        return sent[name]

    def Input(self, name: str, node: Any) -> Row:
        return self.inputs[name][len(self.history) - 1]

    def Output(self, name: str, node: Any) -> Row:
        return self.arriving(name, "input")

    Reshape = Output

    def IntegerWindowSum(self, name: str, node: Any) -> Row:
        weights, period, total = node.weight_uint8.tolist(), self.periods[name], [0] * node.size
        if len(self.history) % (period * len(weights)):
            return total
        for age, weight in enumerate(reversed(weights)):
            for edge in self.graph.edges:
                if edge.target == name:
                    row = self.sent_before(edge.source, edge.delay + age * period)
                    total = [a + weight * b for a, b in zip(total, row, strict=True)]
        return total

    def Gather(self, name: str, node: Any) -> Row:
        x = self.arriving(name, "input")
        return [0 if i == -1 else x[i] for i in node.index.ravel().tolist()]

    def Reduce(self, name: str, node: Any) -> Row:
        x, sums = self.arriving(name, "input"), [0] * node.size
        for index in product(*map(range, node.input_shape)):
            kept = tuple(i for axis, i in enumerate(index) if axis not in node.axes)
            sums[place(kept, node.shape)] += x[place(index, node.input_shape)]
        return sums

    def Product(self, name: str, node: Any) -> Row:
        return [a * b for a, b in zip(self.arriving(name, "a"), self.arriving(name, "b"), strict=True)]

    def MatMul(self, name: str, node: Any) -> Row:
        a, b = self.arriving(name, "a"), self.arriving(name, "b")
        *batch, rows, columns = node.shape
        result = []
        for *outer, i, j in product(*map(range, (*batch, rows, columns))):
            result.append(
                sum(
                    a[place((*outer, i, k), node.shape_a)] * b[place((*outer, k, j), node.shape_b)]
                    for k in range(node.shape_a[-1])
                )
            )
        return result

    def Pool(self, name: str, node: Any) -> Row:
        x, sums = self.arriving(name, "input"), []
        for channel, *window in product(*map(range, node.shape)):
            total = 0
            for tap in product(*map(range, node.kernel)):
                at = [w * s + k - p for w, s, k, p in zip(window, node.stride, tap, node.padding, strict=True)]
                total += self.pixel(x, channel, at, node.input_shape)
            sums.append(total)
        return sums

    @staticmethod
    def pixel(x: Row, channel: int, at: list[int], shape: tuple[int, ...]) -> int:
        inside = all(0 <= i < length for i, length in zip(at, shape[1:], strict=True))
        return x[place((channel, *at), shape)] if inside else 0

    def IntegerLinear(self, name: str, node: Any) -> Row:
        x, (out, fan_in) = self.arriving(name, "input"), node.weight_int8.shape
        rows = node.weight_int8.tolist()
        return [
            shifted(sum(w * x[position * fan_in + i] for i, w in enumerate(rows[o])), node.weight_exp)
            for position in range(prod(node.positions))
            for o in range(out)
        ]

    def IntegerScale(self, name: str, node: Any) -> Row:
        weights = node.weight_int8.ravel().tolist()
        x = self.arriving(name, "input")
        return [shifted(w * value, node.weight_exp) for w, value in zip(weights, x, strict=True)]

    def IntegerConv(self, name: str, node: Any) -> Row:
        x, geometry, weight = self.arriving(name, "input"), node.geometry, node.weight_int8
        num_out, per_group, *kernel = weight.shape
        sums = []
        for out, *window in product(*map(range, node.shape)):
            first = out // (num_out // geometry.groups) * per_group
            total = 0
            for i, *tap in product(range(per_group), *map(range, kernel)):
                at = [
                    w * s + k * d - p
                    for w, s, k, d, p in zip(
                        window, geometry.stride, tap, geometry.dilation, geometry.padding, strict=True
                    )
                ]
                total += int(weight[(out, i, *tap)]) * self.pixel(x, first + i, at, geometry.input_shape)
            sums.append(shifted(total, node.weight_exp))
        return sums

    def clip(self, name: str, value: int) -> int:
        if abs(value) > LARGEST:
            self.saturations[name] += 1
            return LARGEST if value > 0 else -LARGEST
        return value

    def state(self, name: str, size: int) -> dict[str, Row]:
        return self.states.setdefault(name, {key: [0] * size for key in ("v", "u", "e", "i")})

    def drive(self, name: str, node: Any) -> Row:
        """(a << 6) + bias of every neuron."""
        sums = self.arriving(name, "input")
        if "recurrent" in node.ports:
            sums = [a + z for a, z in zip(sums, self.arriving(name, "recurrent"), strict=True)]
        bias = [mantissa * 2**node.bias_exp for mantissa in node.bias_mant.ravel().tolist()]
        return [a * 64 + b for a, b in zip(sums, bias, strict=True)]

    def heights(self, name: str, node: Any) -> Row:
        vth = self.arriving(name, "threshold") if node.vth is None else node.vth.ravel().tolist()
        return [64 * theta for theta in vth]

    @staticmethod
    def spikes(values: Row, heights: Row, inhibition: bool) -> Row:
        distance = [v - h for v, h in zip(values, heights, strict=True)]
        best = distance.index(max(distance))
        return [int(d > 0 and (not inhibition or n == best)) for n, d in enumerate(distance)]

    def IntegerThreshold(self, name: str, node: Any) -> Row:
        self.state(name, node.size)
        return self.spikes(self.drive(name, node), self.heights(name, node), False)

    def IntegerLIF(self, name: str, node: Any) -> Row:
        return self.reset_and_fire(name, node, self.drive(name, node), forgets=node.reset == "zero")

    def IntegerCubaLIF(self, name: str, node: Any) -> Row:
        state, drive = self.state(name, node.size), self.drive(name, node)
        du = node.du.ravel().tolist()
        state["u"] = [leak(u, d + 1) + x for u, d, x in zip(state["u"], du, drive, strict=True)]
        return self.reset_and_fire(name, node, state["u"], forgets=False)

    def reset_and_fire(self, name: str, node: Any, drive: Row, *, forgets: bool) -> Row:
        state, heights, dv = self.state(name, node.size), self.heights(name, node), node.dv.ravel().tolist()
        owed = [v > h for v, h in zip(state["v"], heights, strict=True)]
        new = []
        for n, v in enumerate(state["v"]):
            u = leak(0 if owed[n] and forgets else v, dv[n]) + drive[n]
            if owed[n] and node.reset == "subtract":
                u -= heights[n]
            if owed[n] and node.reset == "clear":
                u = 0
            new.append(self.clip(name, u))
        fired = self.spikes(new, heights, node.inhibition)
        if not node.reset_delay and node.reset != "none":
            for n in range(node.size):
                due = fired[n] - int(owed[n])
                new[n] = self.clip(name, new[n] - due * (heights[n] if node.reset == "subtract" else new[n]))
        state["v"] = new
        return fired

    def IntegerAlphaLIF(self, name: str, node: Any) -> Row:
        state, heights, drive = self.state(name, node.size), self.heights(name, node), self.drive(name, node)
        du, dv = node.du.ravel().tolist(), node.dv.ravel().tolist()
        for n in range(node.size):
            clears = node.reset == "clear" and state["v"][n] > heights[n]
            e = leak(state["e"][n], du[n]) + drive[n]
            i = leak(state["i"][n], dv[n]) - drive[n]
            state["e"][n] = 0 if clears else self.clip(name, e)
            state["i"][n] = 0 if clears else self.clip(name, i)
            state["v"][n] = self.clip(name, state["e"][n] + state["i"][n])
        return self.spikes(state["v"], heights, node.inhibition)

    def IntegerDynamicThresholdLIF(self, name: str, node: Any) -> Row:
        state, drive, dv = self.state(name, node.size), self.drive(name, node), node.dv.ravel().tolist()
        self.theta[name] = self.moving_threshold(name, node.controller)
        height = self.theta[name] * 2**node.theta_shift * 64
        new = [self.clip(name, leak(v, d) + x) for v, d, x in zip(state["v"], dv, drive, strict=True)]
        fired = [int(v > height) for v in new]
        state["v"] = [0 if s else v for s, v in zip(fired, new, strict=True)]
        return fired

    def moving_threshold(self, name: str, c: ThresholdController) -> int:
        train = self.arriving(name, "population")
        full = c.population // c.num_groups
        groups = [sum(train[g * full : (g + 1) * full]) for g in range(c.num_groups)]
        total = sum(groups)
        drive = c.weight_count * total + c.bias
        drive += c.weight_deviation * sum(abs(c.num_groups * group - total) for group in groups)
        if c.weight_context:
            context = self.arriving(name, "context")
            drive += sum(w * value for w, value in zip(c.weight_context, context, strict=True))
        z = max(-4096, min(4096, drive // 4096))
        return c.theta_0 + (c.amplitude * z + 2048) // 4096
