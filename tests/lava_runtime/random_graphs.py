"""Random feed-forward graphs with all node types, in both dialects, and inputs for them."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from export.graph import Edge, Graph
from export.nodes import (
    LIF,
    DynamicThresholdLIF,
    Input,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    Linear,
    Output,
)
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.profile import integer_format

FMT = integer_format()
NUM_CONTEXT = 2
KINDS = ("zero", "subtract", "none", "dynamic", "dynamic with context")


@dataclass(frozen=True)
class Case:
    """A drawn graph's outline.

    `twin` is a second neuron layer that the first synapse layer also drives; `branch` a second chain.
    """

    kinds: tuple[str, ...]
    twin: str | None
    branch: str | None
    num_steps: int
    batch: int
    seed: int


cases = st.builds(
    Case,
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3).map(tuple),
    twin=st.sampled_from((None, "zero", "subtract", "none")),
    branch=st.sampled_from((None, *KINDS)),
    num_steps=st.integers(1, 12),
    batch=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)


class _Outline:
    """Nodes and edges of a case, made with one dialect's makers of synapses and neurons."""

    def __init__(self, case, make_synapse, make_neuron, dialect):
        self.rng = np.random.default_rng(case.seed)
        self.make_synapse, self.make_neuron = make_synapse, make_neuron
        self.nodes, self.edges = {"x": Input(size=int(self.rng.integers(1, 5)) * 2)}, []
        last = "x"
        for depth, kind in enumerate(case.kinds):
            last = self.layer(f"l{depth}", kind, last)
        if case.twin:
            twin = self.make_neuron(self.rng, case.twin, self.nodes["l0"].size, None)
            self.add("twin", twin, Edge("l0.w", "twin"))
        if case.branch:
            self.layer("b", case.branch, "x")
        for index, name in enumerate([last, "x"]):
            self.add(f"y{index}", Output(size=self.nodes[name].size), Edge(name, f"y{index}"))
        self.graph = Graph(
            nodes=self.nodes,
            edges=tuple(self.edges),
            dialect=dialect,
            dt_s=1e-3,
            fmt=FMT if dialect == "integer" else None,
        )

    def add(self, name, node, *edges):
        self.nodes[name] = node
        self.edges += edges

    def layer(self, name, kind, before):
        fan_in, size = self.nodes[before].size, int(self.rng.integers(1, 5)) * 2
        self.add(f"{name}.w", self.make_synapse(self.rng, size, fan_in), Edge(before, f"{name}.w"))
        controller = None
        if kind.startswith("dynamic"):
            controller = random_controller(self.rng, fan_in, NUM_CONTEXT if kind.endswith("context") else 0)
            self.edges.append(Edge(before, name, "population"))
            if controller.num_context:
                self.nodes.setdefault("c", Input(size=NUM_CONTEXT, kind="graded"))
                self.edges.append(Edge("c", name, "context"))
        self.add(name, self.make_neuron(self.rng, kind, size, controller), Edge(f"{name}.w", name))
        return name


def random_controller(rng, population, num_context):
    return ThresholdController(
        population=population,
        num_groups=int(rng.choice([1, 2, population])),
        weight_count=int(rng.integers(-(2**22), 2**22)),
        weight_deviation=int(rng.integers(-(2**20), 2**20)),
        weight_context=tuple(int(w) for w in rng.integers(-(2**14), 2**14, num_context)),
        bias=int(rng.integers(-(2**22), 2**22)),
        theta_0=int(rng.integers(300, 700)),
        amplitude=int(rng.integers(-290, 290)),
        fraction_bits=8,
    )


def _integer_synapse(rng, size, fan_in):
    weight = rng.integers(-127, 128, (size, fan_in)) + rng.integers(-20, 60)
    weight[rng.random((size, fan_in)) < 0.2] = 0
    return IntegerLinear(weight_int8=np.clip(weight, -127, 127), weight_exp=int(rng.choice([0, 1, 3, 5, 7])))


def _integer_neuron(rng, kind, size, controller):
    common = {
        "dv": rng.choice([0, 1, 410, 2048, 4095], size) if rng.random() < 0.5 else rng.integers(0, 4096, size),
        "bias_mant": rng.integers(-4095, 4096, size) * (rng.random(size) < 0.5),
        "bias_exp": int(rng.integers(0, 8)),
    }
    if controller is not None:
        return IntegerDynamicThresholdLIF(**common, theta_shift=int(rng.integers(0, 4)), controller=controller)
    vth = rng.integers(1, 131072, size) if rng.random() < 0.2 else rng.integers(1, 3000, size)
    return IntegerLIF(**common, vth=vth, reset=kind)


def _dyadic_synapse(rng, size, fan_in):
    weight = rng.integers(-128, 256, (size, fan_in)) / 128
    bias = rng.integers(-64, 65, size) / 128 if rng.random() < 0.7 else None
    return Linear(weight=weight.astype(np.float32), bias=None if bias is None else bias.astype(np.float32))


def _dyadic_neuron(rng, kind, size, controller):
    beta = (rng.integers(0, 5, size) / 4).astype(np.float32)
    if controller is not None:
        return DynamicThresholdLIF(beta=beta, controller=controller)
    return LIF(beta=beta, threshold=(rng.integers(1, 512, size) / 128).astype(np.float32), reset=kind)


def integer_graph(case):
    return _Outline(case, _integer_synapse, _integer_neuron, "integer").graph


def loud_graph(case):
    """The same graph with the largest sums that fit, and membranes that keep them: many are clipped."""
    graph = integer_graph(case)
    changed = {}
    for name, node in graph.nodes.items():
        if isinstance(node, IntegerLinear):
            largest = int(np.abs(node.weight_int8).sum(axis=1).max())
            changed[name] = replace(node, weight_exp=(FMT.sum_max // max(largest, 1)).bit_length() - 1)
        elif isinstance(node, IntegerLIF):
            changed[name] = replace(node, dv=node.dv // 64, vth=FMT.threshold_max - node.vth // 64)
        elif isinstance(node, IntegerDynamicThresholdLIF):
            changed[name] = replace(node, dv=node.dv // 64)
    return graph.with_nodes(changed)


def dyadic_graph(case):
    """Weights on a grid of 2^-7, β on one of 2^-2: within 12 steps every sum is exact in double precision."""
    return _Outline(case, _dyadic_synapse, _dyadic_neuron, "float").graph


def random_inputs(graph, case):
    rng = np.random.default_rng(case.seed + 1)
    rate = rng.choice([0.1, 0.5, 1.0])
    inputs = {}
    for name, node in graph.inputs().items():
        shape = (case.num_steps, case.batch, node.size)
        inputs[name] = rng.random(shape) < rate if node.kind == "spike" else rng.integers(-900, 900, shape)
        inputs[name] = inputs[name].astype(np.int16)
    return inputs
