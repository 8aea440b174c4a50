"""A chain of Linear+LIF layers in fixed_pt: stock Lava, one fused Process, and a loop written by hand.

Stock is plain `RingBuffer → Dense → LIF → …` of lava.proc, nothing of this project in between; its time is that of
`run(RunSteps(T))` after a first step, so without compilation. A fused run starts and ends a Lava session in every call;
its time per sample-step is the difference between a run of many samples and a run of few, per sample and step between
them, and what a whole run of one sample takes, session included, is shown beside. A data set on all cores pays for a
session per shard, as it does for a user. The loop by hand is what an engineer would write for this chain and nothing
else, compiled by Numba: events, int8 weights, int32 membranes, one thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import Edge, Graph
from export.nodes import LIF, Input, IntegerLIF, IntegerLinear, Linear, Node, Output
from export.passes.quantize import quantize
from export.trace import Array
from hardware_profiles.profile import integer_format
from lava_runtime.api import run
from lava_runtime.fused.run import run_fused
from lava_runtime.probes import Probe

from .comparison import Comparison, interleave
from .loop_by_hand import run_chain
from .stock_lava import time_stock

BETA = 0.875
STOCK = "stock Lava, Dense + LIF Processes, batch 1"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the chain is, how often it spikes, and over how many samples the contenders are timed.

    Attributes:
        gain: standard deviation of a layer's current, in thresholds, at the input rate.
        samples: samples of the short and of the long fused run, by batch size.
        samples_per_shard: in the run on all cores.
    """

    num_layers: int = 8
    width: int = 1024
    num_steps: int = 200
    input_rate: float = 0.1
    gain: float = 1.0
    samples: dict[int, tuple[int, int]]
    samples_per_shard: int = 256


BUSY = Size(samples={1: (1, 9), 16: (16, 64), 64: (64, 192)})
SPARSE = Size(samples={1: (1, 17), 16: (16, 112), 64: (64, 256)}, input_rate=0.04, gain=0.42)
QUICK = Size(num_layers=3, width=128, num_steps=40, samples={1: (1, 257), 16: (16, 4096)})


def compare(quick: bool, rounds: int, *, size: Size) -> Comparison:
    """Time the chain per sample and time step."""
    size = QUICK if quick else size
    graph = make_chain(size)
    check = _check_equal(graph, size)
    contenders: dict[str, Callable[[], float]] = {STOCK: lambda: _stock(graph, size)[0]}
    for batch, samples in size.samples.items():
        contenders[f"run_fused, batch {batch}"] = partial(_fused, graph, size, samples, batch)
        contenders[f"loop by hand, {samples[1]} samples"] = partial(_by_hand, graph, size, samples[1])
    contenders["api.run, data set on all cores, batch 16"] = partial(_data_set, graph, size)
    contenders["run_fused, one sample alone, session included"] = partial(_fused_whole, graph, size)
    return Comparison(
        title=f"Lava: a chain of Linear+LIF layers in fixed_pt, input rate {size.input_rate}",
        unit="µs per sample-step",
        baseline=STOCK,
        figures=interleave("Lava chain", contenders, rounds),
        settings={"layers": size.num_layers, "width": size.width, "time steps": size.num_steps},
        check=check,
    )


def make_chain(size: Size) -> Graph:
    """Return the chain in the integer dialect, with weights that keep every layer spiking."""
    rng = np.random.default_rng(0)
    nodes: dict[str, Node] = {"x": Input(shape=(size.width,))}
    edges, last = [], "x"
    for depth in range(size.num_layers):
        scale = size.gain / np.sqrt(size.width * size.input_rate)
        nodes[f"w{depth}"] = Linear(weight=rng.normal(0.0, scale, (size.width, size.width)).astype(np.float32))
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


def _input(size: Size, batch: int, num_steps: int | None = None) -> npt.NDArray[np.uint8]:
    """Random spikes [T, B, n]."""
    rng = np.random.default_rng(1)
    shape = (batch, num_steps or size.num_steps, size.width)  # the first samples stay the same when there are more
    return np.ascontiguousarray((rng.random(shape) < size.input_rate).astype(np.uint8).swapaxes(0, 1))


def _fused(graph: Graph, size: Size, samples: tuple[int, int], batch: int) -> float:
    """Return µs per sample-step: (long − short run) / (samples between them · T)."""
    elapsed = []
    for num_samples in samples:
        inputs = {"x": _input(size, num_samples)}
        start_s = time.perf_counter()
        run_fused(graph, inputs, number_format="fixed_pt", batch_size=batch)
        elapsed.append(time.perf_counter() - start_s)
    return (elapsed[1] - elapsed[0]) / ((samples[1] - samples[0]) * size.num_steps) * 1e6


def _data_set(graph: Graph, size: Size) -> float:
    """Return µs per sample-step of a data set in shards, one worker per core: three shards per core less one."""
    num_workers, elapsed = os.cpu_count() or 1, []
    some = _input(size, 16).swapaxes(0, 1)
    for shards_per_core in (1, 3):
        inputs = {"x": np.tile(some, (size.samples_per_shard // 16 * num_workers * shards_per_core, 1, 1))}
        start_s = time.perf_counter()
        run(graph, inputs, batch_size=16, num_workers=num_workers, samples_per_shard=size.samples_per_shard)
        elapsed.append(time.perf_counter() - start_s)
    sample_steps = 2 * size.samples_per_shard * num_workers * size.num_steps
    return (elapsed[1] - elapsed[0]) / sample_steps * 1e6


def _fused_whole(graph: Graph, size: Size) -> float:
    inputs = {"x": _input(size, 1)}
    start_s = time.perf_counter()
    run_fused(graph, inputs, number_format="fixed_pt", batch_size=1)
    return (time.perf_counter() - start_s) / size.num_steps * 1e6


def _by_hand(graph: Graph, size: Size, num_samples: int) -> float:
    arrays = _arrays(graph)
    spikes = _input(size, num_samples)
    start_s = time.perf_counter()
    run_chain(spikes, *arrays)
    return (time.perf_counter() - start_s) / (num_samples * size.num_steps) * 1e6


def _arrays(graph: Graph) -> tuple[Array, ...]:
    """Return the chain's numbers as the loop by hand takes them."""
    neurons = [node for node in graph.of_type(IntegerLIF).values() if node.vth is not None]
    synapses = list(graph.of_type(IntegerLinear).values())
    return (
        np.ascontiguousarray([node.weight_int8.T for node in synapses], np.int8),
        np.array([node.weight_exp for node in synapses], np.int32),
        np.array([4096 - int(node.dv.flat[0]) for node in neurons], np.int32),
        np.array([int(node.vth.flat[0]) << 6 for node in neurons if node.vth is not None], np.int32),
    )


def _stock(graph: Graph, size: Size) -> tuple[float, Array]:
    """Run plain Lava; return µs per step and the membranes of the last layer after the last step."""
    spikes = _input(size, 1, size.num_steps + 1)[:, 0]
    return time_stock(lambda: _stock_network(graph, spikes), size.num_steps)


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
    """See that stock Lava, the fused Process and the loop by hand agree, and that every layer spikes."""
    _, stock_v = _stock(graph, size)
    num_steps = size.num_steps + 1
    last = f"lif{size.num_layers - 1}"
    layers = [Probe(f"lif{depth}", "s") for depth in range(size.num_layers)]
    inputs = _input(size, 1, num_steps)
    fused = run_fused(graph, {"x": inputs}, number_format="fixed_pt", batch_size=1, probes=[Probe(last, "v"), *layers])
    # each Dense delivers one step late, so the last layer is num_layers steps behind
    differ = int((stock_v != fused.records[Probe(last, "v")][num_steps - 1 - size.num_layers, 0]).sum())
    by_hand = int((run_chain(inputs, *_arrays(graph)) != fused.output_counts["y"]).sum())
    rates = [float(fused.records[probe].mean()) for probe in layers]
    if differ or by_hand or min(rates) == 0.0:
        raise AssertionError(f"{differ} membranes and {by_hand} spike counts differ; spike rates {rates}")
    return (
        f"All {size.width} membranes of the last layer are equal in stock and fused after {num_steps} steps, and its "
        f"spike counts in fused and by hand; layers spike at {100 * min(rates):.1f} to {100 * max(rates):.1f} %."
    )
