"""PilotNet's convolutions with LIF neurons in fixed_pt: stock Lava, one fused Process, and PyTorch by hand.

Stock is plain `RingBuffer → Conv → LIF → …` of lava.proc, in Lava's order of axes. By hand is what a PyTorch user would
write: `conv2d` in float32, exact because no sum reaches 2^24, and the neurons in int32, a layer's samples and steps
at once. Times as in `lava_chain`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from export.graph import Edge, Graph
from export.nodes import LIF, Conv, Input, IntegerConv, IntegerLIF, Node, Output
from export.nodes.linear import Convolution
from export.passes.quantize import quantize
from export.trace import Array
from hardware_profiles.profile import integer_format
from lava_runtime.fused.run import run_fused
from lava_runtime.probes import Probe

from .comparison import Comparison, interleave
from .stock_lava import time_stock

IMAGE = (3, 66, 200)
LAYERS = ((24, 2), (36, 2), (64, 2), (64, 1))
"""Channels and stride of each 3 × 3 convolution."""
KERNEL, BETA, GAIN, INPUT_RATE = 3, 0.875, 0.55, 0.05
STOCK = "stock Lava, Conv + LIF Processes, batch 1"


def compare(quick: bool, rounds: int) -> Comparison:
    """Time the convolutions per sample and time step."""
    image, num_steps = ((3, 34, 66), 8) if quick else (IMAGE, 16)
    graph = make_network(image)
    inputs = _input(image, num_steps, 16)
    check = _check_equal(graph, inputs)
    contenders: dict[str, Callable[[], float]] = {
        STOCK: lambda: _stock(graph, inputs)[0],
        "PyTorch by hand, batch 16": partial(_timed, partial(_by_hand, graph, inputs), num_steps * 16),
        "run_fused, batch 1": partial(_fused, graph, inputs, 1),
        "run_fused, batch 16": partial(_fused, graph, inputs, 16),
    }
    num_neurons = sum(node.size for node in graph.nodes.values() if isinstance(node, (Input, IntegerLIF)))
    return Comparison(
        title="Lava: PilotNet's convolutions in fixed_pt",
        unit="µs per sample-step",
        baseline=STOCK,
        figures=interleave("Lava convolutions", contenders, rounds),
        settings={"neurons with the inputs": num_neurons, "time steps": num_steps, "input rate": INPUT_RATE},
        check=check,
    )


def make_network(image: tuple[int, int, int]) -> Graph:
    """Return the convolutions in the integer dialect, with weights that keep every layer spiking."""
    rng = np.random.default_rng(0)
    nodes: dict[str, Node] = {"x": Input(shape=image)}
    edges, last = [], "x"
    shape: tuple[int, ...] = image
    for depth, (channels, stride) in enumerate(LAYERS):
        scale = GAIN / np.sqrt(shape[0] * KERNEL * KERNEL * INPUT_RATE)
        geometry = Convolution(input_shape=shape, stride=(stride,) * 2, padding=(0, 0), dilation=(1, 1))
        weight = rng.normal(0.0, scale, (channels, shape[0], KERNEL, KERNEL)).astype(np.float32)
        synapse = Conv(weight=weight, geometry=geometry)
        nodes[f"w{depth}"], shape = synapse, (channels, *synapse.shape[1:])
        nodes[f"lif{depth}"] = LIF(
            beta=np.full(shape, BETA, np.float32),
            threshold=np.ones(shape, np.float32),
            reset="zero",
            reset_delay=False,
        )
        edges += [Edge(last, f"w{depth}"), Edge(f"w{depth}", f"lif{depth}")]
        last = f"lif{depth}"
    nodes["y"] = Output(shape=shape)
    network = Graph(nodes=nodes, edges=(*edges, Edge(last, "y")), dialect="float", dt_s=1e-3)
    return quantize(network, integer_format())


def _input(image: tuple[int, int, int], num_steps: int, batch: int) -> Array:
    rng = np.random.default_rng(1)
    spikes: Array = (rng.random((num_steps, batch, *image)) < INPUT_RATE).astype(np.uint8)
    return spikes


def _timed(run: Callable[[], object], sample_steps: int) -> float:
    start_s = time.perf_counter()
    run()
    return (time.perf_counter() - start_s) / sample_steps * 1e6


def _fused(graph: Graph, inputs: Array, batch: int) -> float:
    """Return µs per sample-step: (three data sets − one) / two."""
    elapsed = []
    for repeats in (1, 3):
        repeated = np.tile(inputs, (1, repeats, 1, 1, 1))
        start_s = time.perf_counter()
        run_fused(graph, {"x": repeated}, number_format="fixed_pt", batch_size=batch)
        elapsed.append(time.perf_counter() - start_s)
    return (elapsed[1] - elapsed[0]) / (2 * inputs.shape[0] * inputs.shape[1]) * 1e6


def _by_hand(graph: Graph, inputs: Array) -> Array:
    """Return the last layer's spikes, bool [T, B, …]."""
    num_steps, batch = inputs.shape[:2]
    spikes = torch.as_tensor(inputs)
    for name, node in graph.of_type(IntegerLIF).items():
        (driving,) = graph.sources(name)
        synapse = graph.nodes[driving]
        assert isinstance(synapse, IntegerConv) and node.vth is not None
        image = spikes.reshape(num_steps * batch, *spikes.shape[2:]).to(torch.float32)
        weight = torch.as_tensor(synapse.weight_int8.astype(np.float32))
        total = torch.nn.functional.conv2d(image, weight, stride=synapse.geometry.stride)
        drive = (total.to(torch.int32) << synapse.weight_exp + 6).reshape(num_steps, batch, *node.shape)
        keep, height = 4096 - int(node.dv.flat[0]), int(node.vth.flat[0]) << 6
        v, fired = torch.zeros(batch, *node.shape, dtype=torch.int32), []
        for step in drive:
            magnitude = v.abs()
            leaked = (magnitude >> 12) * keep + (((magnitude & 4095) * keep) >> 12)
            v = (torch.where(v < 0, -leaked, leaked) + step).clamp_(-8388607, 8388607)
            fires = v > height
            v.masked_fill_(fires, 0)
            fired.append(fires)
        spikes = torch.stack(fired)
    return np.asarray(spikes.numpy())


def _stock(graph: Graph, inputs: Array) -> tuple[float, Array]:
    """Run the first sample on plain Lava; return µs per step, and the last layer's membranes after the last step."""
    sample = np.concatenate([inputs[:, 0], inputs[:1, 0]])
    elapsed_us, v = time_stock(lambda: _stock_network(graph, sample), len(sample) - 1)
    return elapsed_us, v.transpose(2, 1, 0)


def _stock_network(graph: Graph, spikes: Array) -> tuple[Any, Any]:
    """Return source and last layer as their author would write them in Lava, axes (x, y, channels)."""
    from lava.proc.conv.process import Conv as StockConv
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIF as StockLIF

    source = RingBuffer(data=spikes.transpose(3, 2, 1, 0).astype(np.int32))
    out = source.s_out
    for name, node in graph.of_type(IntegerLIF).items():
        (driving,) = graph.sources(name)
        synapse = graph.nodes[driving]
        assert isinstance(synapse, IntegerConv) and node.vth is not None
        mirrored = synapse.weight_int8.astype(np.int32)[:, :, ::-1, ::-1]  # Lava convolves, torch correlates
        convolution = StockConv(
            weight=np.ascontiguousarray(mirrored.transpose(0, 3, 2, 1)) << synapse.weight_exp,
            input_shape=synapse.geometry.input_shape[::-1],
            stride=synapse.geometry.stride[::-1],
        )
        neurons = StockLIF(shape=node.shape[::-1], vth=int(node.vth.flat[0]), du=4095, dv=int(node.dv.flat[0]))
        out.connect(convolution.s_in)
        convolution.a_out.connect(neurons.a_in)
        out = neurons.s_out
    return source, neurons


def _check_equal(graph: Graph, inputs: Array) -> str:
    """See that all three agree, and that every layer spikes."""
    _, stock_v = _stock(graph, inputs)
    names = list(graph.of_type(IntegerLIF))
    probes = [*(Probe(name, "s") for name in names), Probe(names[-1], "v")]
    run = run_fused(graph, {"x": inputs}, number_format="fixed_pt", batch_size=1, probes=probes)
    # each Conv delivers one step late, so the last layer is len(names) steps behind; one step more was run
    then = len(inputs) - len(names)
    differ = int((stock_v.ravel() != run.records[probes[-1]][then, 0]).sum())
    by_hand = _by_hand(graph, inputs)
    by_hand = by_hand.reshape(*by_hand.shape[:2], -1)
    spikes_differ = int((by_hand != run.records[Probe(names[-1], "s")]).sum())
    rates = [float(run.records[Probe(name, "s")].mean()) for name in names]
    if differ or spikes_differ or min(rates) == 0.0:
        raise AssertionError(f"{differ} membranes and {spikes_differ} spikes differ; spike rates {rates}")
    return (
        f"All {stock_v.size} membranes of the last layer are equal in stock and fused after {len(inputs) + 1} steps, "
        f"and all its spikes in fused and by hand; layers spike at {100 * min(rates):.1f} to {100 * max(rates):.1f} %."
    )
