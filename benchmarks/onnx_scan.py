"""A 784-512-10 network of snnTorch `Leaky` layers: the loop over time in torch beside the same graph in ONNX Runtime.

Both get the whole spike train and return every output spike. torch runs eagerly and without gradients, ONNX Runtime the
`Scan` that `export.onnx_model.network` writes, its session opened before; both have one thread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import snntorch as snn
import torch

from export.graph import Edge, Graph
from export.nodes import LIF, Input, Linear, Node, Output
from export.onnx_model.network import write_onnx
from export.onnx_model.run import onnx_trace, open_session, run_onnx
from export.parity import count_unexplained
from export.trace import Array

from .comparison import Comparison, interleave

WIDTHS = (784, 512, 10)
NUM_STEPS = 25
BETA = 0.9
INPUT_RATE = 0.2
LOOP, SCAN = "snnTorch loop, torch eager", "ONNX Runtime, Scan"


def compare(quick: bool, rounds: int, *, batch: int) -> Comparison:
    """Time both at one batch size, per sample and time step."""
    num_steps = 5 if quick else NUM_STEPS
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 2 / np.sqrt(n), (m, n)).astype(np.float32) for n, m in pairwise(WIDTHS)]
    spikes = (rng.random((num_steps, batch, WIDTHS[0])) < INPUT_RATE).astype(np.float32)
    graph = make_graph(weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        check = _check(graph, path, weights, spikes)
        write_onnx(graph, path)
        session = open_session(path)
        contenders = {
            LOOP: _timed(partial(_loop, weights, torch.as_tensor(spikes)), num_steps * batch),
            SCAN: _timed(partial(session.run, None, {"x": spikes}), num_steps * batch),
        }
        figures = interleave(f"ONNX, batch {batch}", contenders, rounds)
    return Comparison(
        title=f"Inference in ONNX Runtime, batch {batch}",
        unit="µs per sample-step",
        baseline=LOOP,
        figures=figures,
        settings={"batch": batch, "time steps": num_steps, "widths": " ".join(map(str, WIDTHS))},
        check=check,
    )


def make_graph(weights: list[Array]) -> Graph:
    """Return the network as a graph: Linear and LIF with the delayed subtraction of snnTorch's default."""
    nodes: dict[str, Node] = {"x": Input(shape=(WIDTHS[0],))}
    for depth, weight in enumerate(weights):
        ones = np.ones(len(weight), np.float32)
        nodes[f"fc{depth}"] = Linear(weight=weight)
        nodes[f"lif{depth}"] = LIF(beta=np.float32(BETA) * ones, threshold=ones, reset="subtract")
    nodes["y"] = Output(shape=(WIDTHS[-1],))
    names = list(nodes)
    edges = tuple(map(Edge, names, names[1:]))
    return Graph(nodes=nodes, edges=edges, dialect="float", dt_s=1e-3)


@torch.no_grad()
def _loop(weights: list[Array], spikes: torch.Tensor) -> list[torch.Tensor]:
    """Run the layers of snnTorch step by step; returns all spikes of each layer, [T, B, n]."""
    layers = [(torch.as_tensor(weight), snn.Leaky(BETA)) for weight in weights]
    membranes = [leaky.reset_mem() for _, leaky in layers]
    rows: list[list[torch.Tensor]] = [[] for _ in layers]
    for step in spikes:
        sent = step
        for depth, (weight, leaky) in enumerate(layers):
            sent, membranes[depth] = leaky(torch.nn.functional.linear(sent, weight), membranes[depth])
            rows[depth].append(sent)
    return [torch.stack(row) for row in rows]


def _check(graph: Graph, path: Path, weights: list[Array], spikes: Array) -> str:
    """Compare all spikes; float32 may round differently, so that decisions beyond the rounding bound are looked for."""
    write_onnx(graph, path, record=True)
    trace = onnx_trace(graph, run_onnx(path, {"x": spikes}))
    expected = _loop(weights, torch.as_tensor(spikes))
    pairs = [(trace[f"lif{depth}"].s, layer.numpy()) for depth, layer in enumerate(expected)]
    differing, total = sum(int((a != b).sum()) for a, b in pairs), sum(a.size for a, _ in pairs)
    unexplained = sum(count_unexplained(graph, {"x": spikes}, trace).values())
    rates = [float(a.mean()) for a, _ in pairs]
    if unexplained or min(rates) == 0.0:
        raise AssertionError(f"{unexplained} decisions differ by more than rounding, rates {rates}")
    told = " and ".join(f"{100 * rate:.1f} %" for rate in rates)
    return f"{differing} of {total} spikes differ from snnTorch, none beyond rounding; layers spike at {told}."


def _timed(work: Callable[[], object], sample_steps: int) -> Callable[[], float]:
    def measure() -> float:
        start_s = time.perf_counter()
        work()
        return (time.perf_counter() - start_s) / sample_steps * 1e6

    return measure
