"""Integrators that are parts of a neuron become that neuron: the standard-NIR forms of snnTorch's neurons.

* `LI -> Threshold`:  U[t] = β U[t−1] + X[t], S[t] = 1(U[t] > θ) is LIF without reset.
* LIF without reset whose spikes come back a tick later through a weight of −θ is LIF with the delayed subtract.
* `LI -> LIF`:  I[t] = α I[t−1] + X[t] before a membrane is CubaLIF.

Exact in both dialects. A chip sends no membranes, so any other LI ends here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from hardware_profiles.arithmetic import IntegerFormat

from ..errors import ExportError
from ..graph import Graph
from ..nodes import LI, LIF, CubaLIF, Node, Scale, Threshold


def recognise_integrators(graph: Graph, fmt: IntegerFormat) -> Graph:
    """Replace every integrator and what reads it by one neuron of the reader's name; float dialect in and out.

    Raises:
        ExportError: an integrator's membrane goes elsewhere.
    """
    for name, node in graph.of_type(LI).items():
        reader = graph.nodes.get(_only_reader(graph, name))
        if isinstance(reader, Threshold):
            fused = LIF(beta=node.beta, threshold=reader.threshold, reset="none")
            graph = _joined(graph, name, fused)
    for name, lif in graph.of_type(LIF).items():
        feedback = [source for source in graph.sources(name) if _subtracts(graph, source, name, lif)]
        if feedback:
            graph = _without(graph, feedback[:1], {name: replace(lif, reset="subtract", reset_delay=True)})
    for name, node in graph.of_type(LI).items():
        graph = _joined(graph, name, _with_current(graph, name, node))
    return graph


def _only_reader(graph: Graph, name: str) -> str:
    """Return the node that alone reads an integrator within the step, and reads nothing else; "" if there is none."""
    readers = graph.outgoing(name)
    if len(readers) != 1 or readers[0].delay or readers[0].port != "input":
        return ""
    target = readers[0].target
    inputs = [source for port in graph.nodes[target].ports for source in graph.sources(target, port)]
    return target if inputs == [name] else ""


def _with_current(graph: Graph, name: str, node: LI) -> CubaLIF:
    """Return the neuron that an integrator and the LIF behind it are together."""
    lif = graph.nodes.get(_only_reader(graph, name))
    if not isinstance(lif, LIF) or lif.reset == "zero":
        told = ", ".join(edge.target for edge in graph.outgoing(name)) or "nothing"
        raise ExportError(
            f"node {name}: its membrane goes to {told}, allowed in integers is one Threshold, or LIF without reset "
            "'zero', that reads it alone; take spikes, from a neuron instead of the integrator"
        )
    return CubaLIF(
        alpha=node.beta,
        beta=lif.beta,
        threshold=lif.threshold,
        reset=lif.reset,
        reset_delay=lif.reset_delay,
        inhibition=lif.inhibition,
    )


def _joined(graph: Graph, name: str, neuron: Node) -> Graph:
    """Put a neuron in the place of an integrator's reader, and let it receive what the integrator did."""
    (edge,) = graph.outgoing(name)
    reader = edge.target
    edges = tuple(replace(each, target=reader) if each.target == name else each for each in graph.edges)
    return _without(replace(graph, edges=edges), [name], {reader: neuron})


def _without(graph: Graph, gone: Collection[str], changed: dict[str, Node]) -> Graph:
    edges = tuple(edge for edge in graph.edges if edge.source not in gone and edge.target not in gone)
    nodes = {name: node for name, node in graph.nodes.items() if name not in gone}
    return replace(graph, nodes={**nodes, **changed}, edges=edges)


def _subtracts(graph: Graph, scale: str, name: str, lif: LIF) -> bool:
    """Tell whether a Scale feeds −θ S[t−1] back into a neuron without reset, and does nothing else."""
    node, into, out = graph.nodes[scale], graph.incoming(scale), graph.outgoing(scale)
    if lif.reset != "none" or lif.inhibition or lif.threshold is None or not isinstance(node, Scale):
        return False
    if len(into) != 1 or len(out) != 1 or into[0].source != name:
        return False
    weight = np.broadcast_to(node.weight, node.shape)
    return into[0].delay + out[0].delay == graph.period[name] and np.array_equal(weight, -lif.threshold)
