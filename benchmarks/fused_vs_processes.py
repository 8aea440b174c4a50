"""A chain of Linear+LIF layers on Lava: stock Processes, one Process per node, and one fused Process.

Stock is plain `RingBuffer → Dense → LIF → …` of lava.proc, nothing of this project in between; its time is that of
`run(RunSteps(T))` after a first step, so without compilation. The other two start and end a Lava session in every
call; their time per step is the difference between a long and a short run, divided by the steps between them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import Edge, Graph
from export.nodes import LIF, Input, IntegerLIF, IntegerLinear, Linear, Node, Output
from export.passes.quantize import quantize
from hardware_profiles.profile import integer_format
from lava_runtime.compat import load_lava
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes
from lava_runtime.probes import every_probe

from .comparison import Comparison, interleave

INPUT_RATE = 0.1
BETA = 0.875
STOCK, PROCESSES = "stock Lava, Dense + LIF Processes, batch 1", "run_processes, recording all, batch 1"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the chain is and how many steps the contenders are timed over (short run, long run)."""

    num_layers: int = 8
    width: int = 1024
    stock_steps: int = 40
    process_steps: tuple[int, int] = (10, 60)
    fused_steps: tuple[int, int] = (50, 550)
    fused_batch: int = 64
    batched_steps: tuple[int, int] = (20, 120)


QUICK = Size(num_layers=3, width=128, stock_steps=40, process_steps=(10, 110))


def compare(quick: bool, rounds: int) -> Comparison:
    """Time the chain in fixed_pt, per sample and time step."""
    size = QUICK if quick else Size()
    graph = make_chain(size)
    check = _check_equal(graph, size)
    contenders: dict[str, Callable[[], float]] = {
        STOCK: lambda: _stock(graph, size)[0],
        PROCESSES: lambda: _marginal(
            lambda x: run_processes(graph, {"x": x}, number_format="fixed_pt"), size, size.process_steps, 1
        ),
        "run_fused, batch 1": lambda: _fused(graph, size, size.fused_steps, 1),
        f"run_fused, batch {size.fused_batch}": lambda: _fused(graph, size, size.batched_steps, size.fused_batch),
    }
    return Comparison(
        title="Lava: a chain of Linear+LIF layers in fixed_pt",
        unit="µs per sample-step",
        baseline=STOCK,
        figures=interleave("Lava chain", contenders, rounds),
        settings={"layers": size.num_layers, "width": size.width, "input rate": INPUT_RATE},
        check=check,
    )


def make_chain(size: Size) -> Graph:
    """Return the chain in the integer dialect, with weights that keep every layer spiking."""
    rng = np.random.default_rng(0)
    nodes: dict[str, Node] = {"x": Input(shape=(size.width,))}
    edges, last = [], "x"
    for depth in range(size.num_layers):
        weight = rng.normal(0.0, 1.0 / np.sqrt(size.width * INPUT_RATE), (size.width, size.width))
        nodes[f"w{depth}"] = Linear(weight=weight.astype(np.float32))
        nodes[f"lif{depth}"] = LIF(
            beta=np.full(size.width, BETA, np.float32),
            threshold=np.ones(size.width, np.float32),
            reset="zero",
            reset_delay=False,
        )
        edges += [Edge(last, f"w{depth}"), Edge(f"w{depth}", f"lif{depth}")]
        last = f"lif{depth}"
    nodes["y"] = Output(shape=(size.width,))
    chain = Graph(nodes=nodes, edges=(*edges, Edge(last, "y")), dialect="float", dt_s=1e-3)
    return quantize(chain, integer_format())


def _input(num_steps: int, batch: int, width: int) -> npt.NDArray[np.uint8]:
    """Random spikes [T, B, n]; a longer draw begins like a shorter one."""
    rng = np.random.default_rng(1)
    return (rng.random((num_steps, batch, width)) < INPUT_RATE).astype(np.uint8)


def _fused(graph: Graph, size: Size, steps: tuple[int, int], batch: int) -> float:
    return _marginal(
        lambda x: run_fused(graph, {"x": x}, number_format="fixed_pt", batch_size=batch), size, steps, batch
    )


def _marginal(run: Callable[[Any], object], size: Size, steps: tuple[int, int], batch: int) -> float:
    """Return µs per sample-step: (long − short run) / (steps between them · batch)."""
    elapsed = []
    for num_steps in steps:
        inputs = _input(num_steps, batch, size.width)
        start_s = time.perf_counter()
        run(inputs)
        elapsed.append(time.perf_counter() - start_s)
    return (elapsed[1] - elapsed[0]) / ((steps[1] - steps[0]) * batch) * 1e6


def _stock(graph: Graph, size: Size) -> tuple[float, npt.NDArray[np.int64]]:
    """Run plain Lava; return µs per step and the membranes of the last layer after the last step."""
    load_lava()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    source, last = _stock_network(graph, _input(size.stock_steps + 1, 1, size.width)[:, 0])
    try:
        # the first step compiles the network and starts its OS processes
        source.run(condition=RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        start_s = time.perf_counter()
        source.run(condition=RunSteps(num_steps=size.stock_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        elapsed_s = time.perf_counter() - start_s
        v = np.asarray(last.v.get(), np.int64)
    finally:
        source.stop()
    return elapsed_s / size.stock_steps * 1e6, v


def _stock_network(graph: Graph, spikes: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
    """Return source and last layer of the chain as its author would write it in Lava."""
    from lava.proc.dense.process import Dense
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIF as StockLIF
    from lava.utils.weightutils import SignMode

    source = RingBuffer(data=spikes.T.astype(np.int32))
    out = source.s_out
    for name, node in graph.of_type(IntegerLIF).items():
        (driving,) = graph.sources(name)
        synapse = graph.nodes[driving]
        assert isinstance(synapse, IntegerLinear)
        # Lava keeps mixed-sign weights as even 9-bit numbers
        dense = Dense(
            weights=2 * synapse.weight_int8.astype(np.int32),
            weight_exp=synapse.weight_exp - 1,
            sign_mode=SignMode.MIXED,
        )
        vth = node.vth
        assert vth is not None
        neurons = StockLIF(shape=(node.size,), vth=int(vth[0]), du=4095, dv=int(node.dv[0]))
        out.connect(dense.s_in)
        dense.a_out.connect(neurons.a_in)
        out = neurons.s_out
    return source, neurons


def _check_equal(graph: Graph, size: Size) -> str:
    """See that stock Lava and the fused Process hold the same membranes, and that every layer spikes."""
    _, stock_v = _stock(graph, size)
    num_steps = size.stock_steps + 1
    run = run_fused(
        graph,
        {"x": _input(num_steps, 1, size.width)},
        number_format="fixed_pt",
        batch_size=1,
        probes=every_probe(graph),
    )
    assert run.trace is not None
    last = f"lif{size.num_layers - 1}"
    # each Dense delivers one step late, so the last layer is num_layers steps behind
    fused_v = run.trace[last].v
    assert fused_v is not None
    differ = int((stock_v != fused_v[num_steps - 1 - size.num_layers, 0]).sum())
    rates = [float(layer.s.mean()) for layer in run.trace.values()]
    if differ or min(rates) == 0.0:
        raise AssertionError(f"{differ} membranes differ between stock and fused; spike rates {rates}")
    return (
        f"All {size.width} membranes of the last layer are equal in stock and fused after {num_steps} steps; "
        f"layers spike at {100 * min(rates):.0f} to {100 * max(rates):.0f} %."
    )
