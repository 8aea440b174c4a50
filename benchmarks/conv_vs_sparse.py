"""Lava's `Conv` beside `Sparse`, which holds the same convolution unrolled: time per step and memory, by size.

One convolution and its stock neurons on `run_processes`, each run in a process of its own. Time per step is a long run
less a short one, the best of two; memory is the peak of what all OS processes of the run hold together, shared pages
counted once (PSS), beyond what the parent held before. Three of the rows are the first convolutions of PilotNet.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import Edge, Graph
from export.nodes import Convolution, Input, IntegerConv, IntegerLIF, Node
from hardware_profiles.profile import integer_format
from lava_runtime.compat import load_lava
from lava_runtime.layerwise import run_processes

GEOMETRIES: dict[str, tuple[tuple[int, int, int], int, int, int]] = {
    "2×16×16, 8 of 3×3": ((2, 16, 16), 8, 3, 1),
    "8×32×32, 16 of 3×3": ((8, 32, 32), 16, 3, 1),
    "32×16×16, 64 of 3×3": ((32, 16, 16), 64, 3, 1),
    "3×66×200, 24 of 5×5, stride 2": ((3, 66, 200), 24, 5, 2),
    "24×31×98, 36 of 5×5, stride 2": ((24, 31, 98), 36, 5, 2),
    "36×14×47, 48 of 5×5, stride 2": ((36, 14, 47), 48, 5, 2),
    "16×128×128, 32 of 3×3": ((16, 128, 128), 32, 3, 1),
}
"""Name to (input shape, output channels, side of the kernel, stride)."""
RATES = (0.05, 0.3)
SHORT, LONG, REPEATS = 4, 44, 2
SAMPLING_S = 0.01


def make_graph(geometry: tuple[tuple[int, int, int], int, int, int]) -> Graph:
    """Make spikes → convolution → neurons."""
    shape, channels, side, stride = geometry
    rng = np.random.default_rng(0)
    conv = IntegerConv(
        weight_int8=rng.integers(-127, 128, (channels, shape[0], side, side), dtype=np.int8),
        weight_exp=0,
        geometry=Convolution(input_shape=shape, stride=(stride,) * 2, padding=(0, 0), dilation=(1, 1)),
    )
    neuron = IntegerLIF(
        dv=np.full(conv.shape, 400),
        vth=np.full(conv.shape, 2000),
        bias_mant=np.zeros(conv.shape, dtype=int),
        bias_exp=0,
        reset="zero",
        reset_delay=False,
    )
    nodes: dict[str, Node] = {"x": Input(shape=shape), "conv": conv, "neuron": neuron}
    edges = (Edge("x", "conv"), Edge("conv", "neuron"))
    return Graph(nodes=nodes, edges=edges, dialect="integer", dt_s=1e-3, fmt=integer_format("loihi2"))


class PeakMemory:
    """Looks at the memory of this process and its children, again and again, until it is left."""

    def __enter__(self) -> PeakMemory:
        self.bytes, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(SAMPLING_S):
            self.bytes = max(self.bytes, pss_bytes())


def pss_bytes() -> int:
    """Return the proportional set size of this process and its children."""
    pids = {str(os.getpid())}
    for task in Path("/proc/self/task").iterdir():
        pids |= set((task / "children").read_text().split())
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total * 1024


def measure(name: str, process: str) -> dict[str, Any]:
    """Run one size as one kind of Process and return milliseconds per step and bytes."""
    load_lava()
    importlib.import_module("lava.proc.conv.process")  # before memory is looked at
    from lava_runtime.processes import convolution

    convolution.SPARSE_SYNAPSES = 0 if process == "Conv" else 1 << 60
    graph, rng = make_graph(GEOMETRIES[name]), np.random.default_rng(1)
    row: dict[str, Any] = {}
    for rate in RATES:
        inputs = (rng.random((LONG, 1, *graph.nodes["x"].shape)) < rate).astype(np.uint8)
        before = pss_bytes()
        with PeakMemory() as peak:
            _seconds(graph, inputs[:SHORT])
        row.setdefault("peak_bytes", peak.bytes - before)
        row["start_s"] = short = min(_seconds(graph, inputs[:SHORT]) for _ in range(REPEATS))
        long = min(_seconds(graph, inputs) for _ in range(REPEATS))
        row[f"ms_{rate}"] = (long - short) / (LONG - SHORT) * 1e3
    return row


def _seconds(graph: Graph, inputs: Any) -> float:
    began = time.perf_counter()
    run_processes(graph, {"x": inputs}, number_format="fixed_pt")
    return time.perf_counter() - began


def main() -> None:
    """Measure all sizes, or the one that a parent asked for."""
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], sys.argv[2])))
        return
    print(
        "| convolution | unrolled weights | Process | ms per step, 5 % spikes | 30 % | run of 4 steps, s | peak, MB |"
    )
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for name, (shape, channels, side, stride) in GEOMETRIES.items():
        windows = ((shape[1] - side) // stride + 1) * ((shape[2] - side) // stride + 1)
        weights = windows * channels * shape[0] * side**2
        for process in ("Sparse", "Conv"):
            words = [sys.executable, "-m", "benchmarks.conv_vs_sparse", name, process]
            row = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            times = " | ".join(f"{row[f'ms_{rate}']:.1f}" for rate in RATES)
            print(
                f"| {name} | {weights / 1e6:.2f} M | `{process}` | {times} | {row['start_s']:.2f} "
                f"| {row['peak_bytes'] / 1e6:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
