"""What an export says of itself: every module and what became of it, exactness, latency, counts, quantisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from .accuracy import Accuracy
from .errors import ExportError
from .graph import Graph
from .host_segment import HostFile
from .ladder import Models
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
    IntegerWindowSum,
    Node,
    Norm,
    Output,
)
from .passes.balance_latency import balance_latency
from .quantization.quantization_report import LayerQuantization

NO_NODE = "identity in eval mode"


def build_report(
    models: Models,
    network: nn.Module | None,
    quantization: Sequence[LayerQuantization],
    hosts: Sequence[HostFile],
    notes: Sequence[str],
    accuracy: Accuracy | None = None,
) -> dict[str, Any]:
    """Return the report as a mapping for JSON.

    Args:
        models: the graphs of the export.
        network: the network that was read, or None.
        quantization: one row per neuron layer.
        hosts: host segments.
        notes: what a reader should know.
        accuracy: by spike counts, if the example has labels.
    """
    as_read, integer_graph = models.as_read, models.integer_graph
    latency, reason = latency_on_lava(integer_graph)
    modules = _node_rows(models) if network is None else _module_rows(models, network)
    return {
        "modules": modules,
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
        "chip_parameters": sum(row["parameters"] for row in modules),
        "words": count_words(integer_graph),
        "host_segments": [{"name": host.name, "file": host.file, "flop": host.flop} for host in hosts],
        "accuracy": None if accuracy is None else dataclasses.asdict(accuracy),
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
    """Count what a chip stores: 8-bit weights as they are shared in the file, and states of neurons and windows."""
    windows = graph.of_type(IntegerWindowSum).values()
    weights = [node.weight_int8.size for node in graph.nodes.values() if isinstance(node, _WEIGHTED)]
    weights += [node.ratio for node in windows]
    states = [node.size * _states(node) for node in graph.of_type(NEURONS).values()]
    states += [node.size for node in windows]
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


def _node_rows(models: Models) -> list[dict[str, Any]]:
    """One row per node of a `.nir` file, in the order in which signals reach them."""
    return [
        _row(name, type(node).__name__, [name], _EXACTNESS[models.carried], _num_parameters(node), "")
        for name, node in ((name, models.as_read.nodes[name]) for name in models.as_read.order)
        if not isinstance(node, (Input, Output))
    ]


def _module_rows(models: Models, network: nn.Module) -> list[dict[str, Any]]:
    """One row per layer of the network, in its own order; a layer inside another has a row of its own."""
    as_read = models.as_read
    layers = {node.split(" #")[0] for node in as_read.nodes}
    modules = dict(network.named_modules())
    listed = [
        name for name, module in modules.items()
        if name in layers or (name and not list(module.children()) and not _inside(name, layers))
    ]  # fmt: skip
    owner = {
        what: name for name in listed  # pre-order: inner layers come after the ones around them
        for what in (*map(id, modules[name].parameters()), *(node for node in as_read.nodes if _belongs(node, name)))
    }  # fmt: skip
    rows = []
    for name in listed:
        nodes = [node for node in as_read.nodes if owner.get(node) == name]
        parameters = sum(p.numel() for p in modules[name].parameters() if owner[id(p)] == name)
        note = _became(nodes, as_read)
        rows.append(_row(name, type(modules[name]).__name__, nodes, _EXACTNESS[models.carried], parameters, note))
    return rows


def _inside(name: str, layers: Collection[str]) -> bool:
    """Tell whether a module is a part of a layer that was read as a whole."""
    parts = name.split(".")
    return any(".".join(parts[:depth]) in layers for depth in range(1, len(parts)))


def _row(module: str, kind: str, nodes: list[str], exactness: str, parameters: int, note: str) -> dict[str, Any]:
    return {
        "module": module, "type": kind, "nodes": nodes, "exactness": exactness, "parameters": parameters, "note": note,
    }  # fmt: skip


def _became(nodes: Sequence[str], as_read: Graph) -> str:
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


_EXACTNESS = {"as_is": "exact", "rewritten": "bounded", "frozen": "quantised"}
"""The class in which float worlds agree, by how the graph was carried."""


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
    _print_table(
        ("module", "type", "parameters", "carried", "as"),
        [
            (row["module"], row["type"], str(row["parameters"]), row["exactness"], _carried_as(row))
            for row in report["modules"]
        ],
    )
    if report["functions"]:
        print("between them: " + ", ".join(f"{row['node']} ({row['type']})" for row in report["functions"]))
    words = report["words"]
    latency = report["latency_note"] or f"latency on Lava {report['latency_steps']} steps"
    print(
        f"on the chip: {words['weight_int8']} 8-bit weights, {words['neurons']} neurons, {words['state_words']} state "
        f"words; {latency}\n"
    )
    _print_table(
        ("integers", "spikes that differ", "rate", "clipped", "cause"),
        [
            (
                row["layer"],
                f"{row['num_differ']} of {row['num_decisions']}",
                f"{row['spike_rate_float']:.4f} → {row['spike_rate_integer']:.4f}",
                str(row["saturations"]),
                row["suggestion"],
            )
            for row in report["quantization"]
        ],
    )
    if report["accuracy"]:
        found = report["accuracy"]
        print(
            f"accuracy by spike counts of {found['output']}, {found['num_samples']} samples: floats "
            f"{found['float_share']:.1%}, integers {found['integer_share']:.1%}"
        )
    for note in report["notes"]:
        print(note)
    print()


def _carried_as(row: Mapping[str, Any]) -> str:
    if row["note"]:
        return str(row["note"])
    return "" if row["nodes"] == [row["module"]] else "→ " + ", ".join(row["nodes"])


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, numbers to the right; the last one is free text."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if _counts(rows[0][column]) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        print("  ".join((*cells, row[-1])).rstrip())


def _counts(cell: str) -> bool:
    return cell[:1].isdigit()
