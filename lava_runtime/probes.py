"""What a run records: chosen variables of chosen layers, in every step. Needs no Lava."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from export.graph import Graph
from export.nodes import DYNAMIC, IntegerThreshold, Threshold

from .errors import LavaRuntimeError
from .layers import Neuron, neurons

Variable = Literal["s", "v", "theta"]


@dataclass(frozen=True)
class Probe:
    """One variable of one neuron layer, written `layer.variable`.

    Attributes:
        layer: neuron node.
        variable: `s` spikes, `v` membrane after the step, `theta` threshold mantissa of a threshold controller.
    """

    layer: str
    variable: Variable

    def __str__(self) -> str:
        return f"{self.layer}.{self.variable}"


def every_probe(graph: Graph) -> tuple[Probe, ...]:
    """Return all that can be recorded of a graph."""
    return tuple(Probe(name, variable) for name, node in neurons(graph).items() for variable in variables(node))


def variables(node: Neuron) -> tuple[Variable, ...]:
    """Return what a neuron layer has: a `Threshold` keeps no membrane, one threshold in common is no variable."""
    if isinstance(node, (Threshold, IntegerThreshold)):
        return ("s",)
    return get_args(Variable) if isinstance(node, DYNAMIC) else ("s", "v")


def read_probes(text: str, graph: Graph) -> tuple[Probe, ...]:
    """Read `l2.v,l3.s`; `all` is every probe of the graph.

    Raises:
        LavaRuntimeError: a layer or a variable that there is not.
    """
    if text.strip() == "all":
        return every_probe(graph)
    return tuple(dict.fromkeys(_read_probe(part.strip(), graph) for part in text.split(",") if part.strip()))


def _read_probe(text: str, graph: Graph) -> Probe:
    layer, _, variable = text.rpartition(".")
    layers = neurons(graph)
    if layer not in layers:
        raise LavaRuntimeError(f"record '{text}': there is no such layer, allowed are {', '.join(layers)}, as in l1.s")
    for allowed in variables(layers[layer]):
        if variable == allowed:
            return Probe(layer, allowed)
    raise LavaRuntimeError(
        f"record '{text}': {layer} has no variable '{variable}', allowed are {', '.join(variables(layers[layer]))}"
    )
