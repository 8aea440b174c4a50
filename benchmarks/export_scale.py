"""How export grows with the network: time and peak memory at four sizes, each in a process of its own.

The network is what a large vision model looks like on a chip: a convolution with most of the neurons, a pooling, and a
dense layer with most of the synapses. The largest has about a million neurons and a hundred million weights. Timed is
what turns a network in memory into `model.nir` and `integer_model.h5`: reading, folding, quantising, writing both.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import snntorch as snn
import torch
from torch import nn

SIZES = {"quarter": (30, 3250), "half": (42, 4642), "three quarters": (52, 5624), "full": (60, 6500)}
"""Channels of the convolution and neurons of the dense layer: both by the square root, so that weights grow evenly."""
SIDE = 128


def make_network(channels: int, hidden: int) -> nn.Module:
    """Make the network: input 2 × 128 × 128."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, channels, 3, padding=1),
        snn.Leaky(0.9, init_hidden=True),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(channels * (SIDE // 8) ** 2, hidden),
        snn.Leaky(0.9, init_hidden=True),
    )


def measure(channels: int, hidden: int) -> dict[str, Any]:
    """Export one network in this process and return seconds and bytes."""
    from export.graph_file import save_graph
    from export.nir_file import write_nir
    from export.nodes import NEURONS, Input
    from export.pipeline import lower
    from export.reader import read_network
    from hardware_profiles.profile import integer_format

    torch.set_num_threads(1)
    network = make_network(channels, hidden)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        graph = read_network(network, inputs={"input": Input(shape=(2, SIDE, SIDE))})
        read_s = time.perf_counter() - start
        write_nir(graph, Path(folder) / "model.nir")
        nir_s = time.perf_counter() - start - read_s
        save_graph(lower(graph, integer_format("loihi2")), Path(folder) / "integer_model.h5")
    return {
        "neurons": sum(node.size for node in graph.of_type(NEURONS).values()),
        "weights": sum(parameter.numel() for parameter in network.parameters()),
        "total_s": time.perf_counter() - start,
        "read_s": read_s,
        "nir_s": nir_s,
        "weight_bytes": 4 * sum(parameter.numel() for parameter in network.parameters()),
        "bytes_before": before,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the sizes as a Markdown table."""
    lines = ["| size | neurons | weights | s | s per 10⁶ weights | peak memory beyond the start, of its weights |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, row in rows.items():
        beyond = (row["peak_bytes"] - row["bytes_before"]) / row["weight_bytes"]
        lines.append(
            f"| {name} | {row['neurons']} | {row['weights']} | {row['total_s']:.1f} "
            f"| {row['total_s'] / row['weights'] * 1e6:.2f} | {beyond:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all sizes, or the one that a parent asked for."""
    if len(sys.argv) == 3:
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
        return
    rows = {}
    for name, (channels, hidden) in SIZES.items():
        words = [sys.executable, "-m", "benchmarks.export_scale", str(channels), str(hidden)]
        rows[name] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        print(name, rows[name], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
