"""One export from a loaded network to a full folder: graphs, host segments, parity and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.artifact import write_json
from hardware_profiles.rungs import PARITY_FILE, Rung, write_parity

from . import package
from .deployment import Deployment
from .float_interpreter import run_float
from .graph import Graph
from .graph_file import load_graph
from .host_segment import HostFile, chip_inputs, output_counts, output_rates, run_host_segments, write_host_segment
from .integer_interpreter import run_integer
from .nir_file import read_nir
from .nodes import LIF, NEURONS, DynamicThresholdLIF, Input, IntegerLinear, Linear
from .parity import compare_exact, compare_quantised
from .passes.quantize import choose_scale
from .passes.round_decays import round_decays
from .pipeline import lower
from .reader import trace_network
from .torch_reference import run_torch
from .trace import Array, LayerTrace, Trace

WORLD_TORCH = "snnTorch float32"
WORLD_FLOAT = "IR float32 (from the .nir file)"
WORLD_INTEGER = "NumPy integer interpreter"


@dataclass(frozen=True, eq=False)
class _Worlds:
    """The same inputs in three worlds."""

    torch: Trace
    float: Trace
    integer: Trace


def export_network(
    deployment: Deployment, factory: str, arrays: Mapping[str, Array], fmt: IntegerFormat, folder: Path
) -> tuple[Rung, ...]:
    """Export everything into `folder`, and check what was written against the network.

    Args:
        deployment: the network with its weights.
        factory: `module:function` it came from.
        arrays: inputs `[N, ...]` of the host segments and of the chip, N ≥ 1.
        fmt: integer widths of the device.
        folder: an existing folder.

    Returns:
        The rungs of the parity ladder that this stage climbs.
    """
    traced = trace_network(deployment.chip, deployment.dt_s)
    package.save_models(folder, traced.graph, lower(traced.graph, fmt))
    # from here on, only what was read back counts
    float_graph, integer_graph = read_nir(folder / package.NIR_FILE), load_graph(folder / package.INTEGER_FILE)
    before, known = _write_segments(deployment, "before", arrays, folder)
    # the chip receives what the deployed host sends, in every world; the snnTorch world keeps torch's own read-out
    sent = run_host_segments(folder, before, "before", arrays)
    inputs = chip_inputs(float_graph, sent)
    worlds = _Worlds(
        run_torch(deployment.chip, traced, inputs),
        run_float(float_graph, inputs).trace,
        run_integer(integer_graph, inputs),
    )
    num_steps = len(next(iter(inputs.values())))
    known |= output_rates(output_counts(float_graph, worlds.torch), num_steps)
    after, known = _write_segments(deployment, "after", known, folder)
    hosts = before + after
    package.save_deployment(folder, factory, hosts)
    rungs = _climb(worlds)
    write_parity(folder / PARITY_FILE, rungs)
    write_json(folder / package.REPORT_FILE, _report(deployment, float_graph, integer_graph, hosts, worlds, fmt))
    if after:
        _save_outputs(
            folder, after, known, sent | output_rates(output_counts(integer_graph, worlds.integer), num_steps)
        )
    return rungs


def _write_segments(
    deployment: Deployment, when: Literal["before", "after"], arrays: Mapping[str, Array], folder: Path
) -> tuple[tuple[HostFile, ...], dict[str, Array]]:
    files, known = [], dict(arrays)
    for segment in deployment.hosts:
        if segment.when == when:
            file, outputs = write_host_segment(segment, known, folder)
            files.append(file)
            known |= outputs
    return tuple(files), known


def _climb(worlds: _Worlds) -> tuple[Rung, ...]:
    # snnTorch keeps θ inside its module; the interpreter's θ is proven by the spikes that it decides
    plain = {name: LayerTrace(s=layer.s, v=layer.v) for name, layer in worlds.float.items()}
    return (
        compare_exact(f"{WORLD_TORCH} = {WORLD_FLOAT}", WORLD_TORCH, WORLD_FLOAT, worlds.torch, plain),
        compare_quantised(f"{WORLD_FLOAT} → {WORLD_INTEGER}", WORLD_FLOAT, WORLD_INTEGER, worlds.float, worlds.integer),
    )


def _save_outputs(
    folder: Path, after: tuple[HostFile, ...], known: Mapping[str, Array], known_integer: Mapping[str, Array]
) -> None:
    """Save what the read-out says in the float and in the integer world, for scoring."""
    names = [name for host in after for name in host.outputs]
    package.save_outputs(folder / "outputs_float.h5", WORLD_TORCH, {name: known[name] for name in names})
    integer = run_host_segments(folder, after, "after", known_integer)
    package.save_outputs(folder / "outputs_integer.h5", WORLD_INTEGER, {name: integer[name] for name in names})


def _report(
    deployment: Deployment,
    float_graph: Graph,
    integer_graph: Graph,
    hosts: tuple[HostFile, ...],
    worlds: _Worlds,
    fmt: IntegerFormat,
) -> dict[str, Any]:
    return {
        "modules": [
            _module_row(name, deployment.chip)
            for name, node in float_graph.nodes.items()
            if isinstance(node, (Linear, *NEURONS))
        ],
        "inputs": [
            {"name": name, "size": node.size, "kind": node.kind} for name, node in float_graph.of_type(Input).items()
        ],
        "quantization": [
            _quantization_row(name, float_graph, integer_graph, worlds, fmt) for name in float_graph.of_type(NEURONS)
        ],
        "latency_steps": float_graph.total_latency,
        "dt_s": float_graph.dt_s,
        "chip_parameters": sum(parameter.numel() for parameter in deployment.chip.parameters()),
        "host_segments": [{"name": host.name, "file": host.file, "flop": host.flop} for host in hosts],
    }


def _module_row(name: str, chip: nn.Module) -> dict[str, Any]:
    module = chip.get_submodule(name)
    return {
        "module": name,
        "type": type(module).__name__,
        "nodes": [name],
        "exactness": "exact",
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
    }


def _quantization_row(
    name: str, float_graph: Graph, integer_graph: Graph, worlds: _Worlds, fmt: IntegerFormat
) -> dict[str, Any]:
    synapse = float_graph.driving_synapse(name)
    linear, integer = float_graph.nodes[synapse], integer_graph.nodes[synapse]
    node = round_decays(float_graph, fmt).nodes[name]
    assert isinstance(linear, Linear) and isinstance(integer, IntegerLinear)
    assert isinstance(node, LIF | DynamicThresholdLIF)
    scale_bits = choose_scale(name, linear, node, fmt)
    restored = np.ldexp(integer.weight_int8.astype(np.float64), integer.weight_exp - scale_bits)
    return {
        "layer": name,
        "weight_exp": integer.weight_exp,
        "scale_bits": scale_bits,
        "weight_error_max": float(np.abs(restored - linear.weight).max()),
        "spike_rate_float": float(worlds.float[name].s.mean()),
        "spike_rate_integer": float(worlds.integer[name].s.mean()),
        "saturations": worlds.integer[name].saturations,
    }
