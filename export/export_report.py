"""What an export says of itself: every module and what became of it, exactness, latency, counts, quantisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hardware_profiles.rungs import Rung

from .errors import ExportError
from .graph import Graph
from .host_segment import HostFile
from .nodes import (
    NEURONS,
    SYNAPSES,
    AlphaLIF,
    CubaLIF,
    Input,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerLinear,
    IntegerScale,
    Node,
    Norm,
    Output,
)
from .passes.balance_latency import balance_latency
from .quantization.quantization_report import LayerQuantization

NO_NODE = "identity in eval mode"


def build_report(
    as_read: Graph,
    float_graph: Graph,
    integer_graph: Graph,
    network: nn.Module | None,
    quantization: Sequence[LayerQuantization],
    hosts: Sequence[HostFile],
    rungs: Sequence[Rung],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return the report as a mapping for JSON.

    Args:
        as_read: float graph as the network (or a foreign `.nir` file) was read.
        float_graph: the one that `model.nir` holds.
        integer_graph: what the chip computes.
        network: the network that was read, or None.
        quantization: one row per neuron layer.
        hosts: host segments.
        rungs: the comparisons that were made.
        notes: what a reader should know.
    """
    latency, reason = latency_on_lava(integer_graph)
    return {
        "modules": _module_rows(as_read, float_graph, network, rungs),
        "functions": _function_rows(as_read, network),
        "inputs": [
            {"name": name, "size": node.size, "shape": list(node.shape), "kind": node.kind}
            for name, node in as_read.of_type(Input).items()
        ],
        "quantization": [_quantization_row(row) for row in quantization],
        "latency_steps": latency,
        "latency_note": reason,
        "layer_latency_steps": _layer_latencies(integer_graph),
        "dt_s": as_read.dt_s,
        "chip_parameters": 0 if network is None else sum(parameter.numel() for parameter in network.parameters()),
        "words": count_words(integer_graph),
        "host_segments": [{"name": host.name, "file": host.file, "flop": host.flop} for host in hosts],
        "notes": list(notes),
    }


def latency_on_lava(graph: Graph) -> tuple[int, str]:
    """Return the total latency in steps, or 0 and why Lava's one-step synapses cannot run the graph."""
    try:
        return balance_latency(graph).total_latency, ""
    except ExportError as error:
        return 0, str(error)


def _layer_latencies(graph: Graph) -> dict[str, int]:
    try:
        latency = balance_latency(graph).latency
    except ExportError:
        return {}
    return {name: latency[name] for name in graph.of_type(NEURONS)}


def count_words(graph: Graph) -> dict[str, int]:
    """Count what a chip stores: synaptic weights as they are shared in the file, and states of neurons."""
    weights = [node.weight_int8.size for node in graph.nodes.values() if isinstance(node, _WEIGHTED)]
    states = [node.size * _states(node) for node in graph.of_type(NEURONS).values()]
    return {"weight_int8": sum(weights), "neurons": sum(n.size for n in graph.of_type(NEURONS).values()),
            "state_words": sum(states)}  # fmt: skip


_WEIGHTED = (IntegerLinear, IntegerConv, IntegerScale)


def _states(node: object) -> int:
    """Return the 24-bit words that a neuron keeps: its membrane, and the traces of those that have them."""
    if isinstance(node, (AlphaLIF, IntegerAlphaLIF)):
        return 3
    return 2 if isinstance(node, (CubaLIF, IntegerCubaLIF)) else 1


def _belongs(node: str, module: str) -> bool:
    return node == module or node.startswith((f"{module}.", f"{module} #"))


def _module_rows(
    as_read: Graph, float_graph: Graph, network: nn.Module | None, rungs: Sequence[Rung]
) -> list[dict[str, Any]]:
    """One row per layer of the network, in its own order; of a `.nir` file, one row per node."""
    exactness = _exactness(rungs)
    if network is None:
        return [
            _row(name, type(node).__name__, [name], exactness, _num_parameters(node), "")
            for name, node in as_read.nodes.items()
            if not isinstance(node, (Input, Output))
        ]
    rows = []
    for name, module in network.named_modules():
        nodes = [node for node in as_read.nodes if _belongs(node, name)] if name else []
        is_layer = bool(nodes and name in {node.split(" #")[0] for node in nodes})
        if not is_layer and (list(module.children()) or not name):
            continue
        parameters = sum(parameter.numel() for parameter in module.parameters())
        rows.append(_row(name, type(module).__name__, nodes, exactness, parameters, _became(name, nodes, as_read)))
    return [row for row in rows if row["nodes"] or row["note"]]


def _row(module: str, kind: str, nodes: list[str], exactness: str, parameters: int, note: str) -> dict[str, Any]:
    return {
        "module": module, "type": kind, "nodes": nodes, "exactness": exactness, "parameters": parameters, "note": note,
    }  # fmt: skip


def _became(name: str, nodes: Sequence[str], as_read: Graph) -> str:
    if not nodes:
        return NO_NODE
    norms = [node for node in nodes if isinstance(as_read.nodes[node], Norm)]
    return f"folded into {', '.join(as_read.sources(norms[0]))}" if norms else ""


def _function_rows(as_read: Graph, network: nn.Module | None) -> list[dict[str, str]]:
    """Nodes that functions between the layers became."""
    if network is None:
        return []
    modules = [name for name, _ in network.named_modules() if name]
    return [
        {"node": name, "type": type(node).__name__}
        for name, node in as_read.nodes.items()
        if not isinstance(node, (Input, Output)) and not any(_belongs(name, module) for module in modules)
    ]


def _exactness(rungs: Sequence[Rung]) -> str:
    """The class in which float worlds agreed: exact, or bounded if something was folded."""
    floats = [rung for rung in rungs if rung.exactness in ("exact", "bounded") and "ONNX" not in rung.name]
    return "bounded" if any(rung.exactness == "bounded" for rung in floats) else "exact"


def _num_parameters(node: Node) -> int:
    arrays = (getattr(node, name, None) for name in ("weight", "bias"))
    return sum(array.size for array in arrays if array is not None) if isinstance(node, SYNAPSES) else 0


def _quantization_row(row: LayerQuantization) -> dict[str, Any]:
    """Return a row under the names that the hardware report reads."""
    kept = ("layer", "scale_bits", "num_differ", "num_decisions", "num_differ_alone", "num_by_decays",
            "num_by_weights", "num_by_thresholds", "saturations", "suggestion")  # fmt: skip
    return {
        **{name: getattr(row, name) for name in kept},
        "weight_exp": max(row.weight_exp.values(), default=0),
        "synapse_weight_exp": dict(row.weight_exp),
        "weight_error_max": row.max_weight_error,
        "spike_rate_float": row.rate_float,
        "spike_rate_integer": row.rate_integer,
        "share_differ": row.share_differ,
    }


def print_report(report: Mapping[str, Any]) -> None:
    """Print the report for a person."""
    width = max((len(row["module"]) for row in report["modules"]), default=0)
    for row in report["modules"]:
        became = row["note"] or ("" if row["nodes"] == [row["module"]] else "→ " + ", ".join(row["nodes"]))
        print(f"{row['module']:<{width}}  {row['type']:<18} {row['exactness']:<8} {row['parameters']:>9}  {became}")
    for row in report["functions"]:
        print(f"{row['node']:<{width}}  {row['type']}")
    words = report["words"]
    print(
        f"{words['weight_int8']} 8-bit weights, {words['neurons']} neurons, {words['state_words']} state words; "
        + (f"latency on Lava {report['latency_steps']} steps" if not report["latency_note"] else report["latency_note"])
    )
    for row in report["quantization"]:
        print(
            f"{row['layer']:<{width}}  integers: {row['num_differ']} of {row['num_decisions']} spikes differ, rate "
            f"{row['spike_rate_float']:.4f} → {row['spike_rate_integer']:.4f}, {row['saturations']} clipped"
            + (f"; {row['suggestion']}" if row["suggestion"] else "")
        )
    for note in report["notes"]:
        print(note)
