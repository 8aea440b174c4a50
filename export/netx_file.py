"""Integer networks as HDF5 files of lava-dl 0.6.0's netx, for `lava.lib.dl.netx.hdf5.Network`.

netx takes a chain of layers, each one synapse (dense or convolution) and one hard-reset LIF with a single set of
parameters; the file is written so that netx's own processing ends at the graph's integers, and what it cannot carry is
refused by name. Read from netx's source, and run against it (`make crosscheck-netx`):

* dense: netx shifts the weights up by s = floor(log2(largest / |weight|)) bits and Lava shifts the sums down again,
  which is exact for weights within ±254; Lava then clips a matrix without positive weights at −255, which the shift
  overruns where the smallest weight is a power of two. A matrix of zeros divides by zero.
* conv: netx flips the kernel in both axes and Lava flips it back; weights are neither clipped nor scaled.
* shapes are reversed: (C, H, W) in the file is (W, H, C) in Lava; `flatten` turns it back, so that C order is kept.
* `iDecay` is Lava's du + 1, `vDecay` its dv, `vThMant` its vth, and the bias exponent is always 6.

The first layer's input goes to `Network.inp` directly: flat if that layer is dense, else (W, H, C). Every layer answers
one step late; `Network(reset_interval=T, reset_offset=1)` lets samples of T steps follow each other, biases included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hardware_profiles.artifact import atomic_file

from .errors import ExportError
from .graph import Graph
from .nodes import Input, Int, IntegerConv, IntegerCubaLIF, IntegerLIF, IntegerLinear, Output, Reshape, Shape
from .verify import verify

DENSE_MAX = 254
"""Largest weight, either sign, that netx's dense keeps."""
CONV_MAX = 127
"""Largest weight of a kernel of signed 8-bit weights; netx's conv has no exponent."""
GEOMETRY_MAX = 127
"""Lava's Conv holds kernel lengths, strides, paddings, dilations and groups in 8 bits."""
BIAS_EXPONENT = 6
LAVA_WIDTHS = {"decay_bits": 12, "state_bits": 24, "state_shift": 6, "bias_mantissa_bits": 13, "threshold_bits": 17}
"""Widths that Lava's LIF has built in."""

SYNAPSE = (IntegerLinear, IntegerConv)
NEURON = (IntegerLIF, IntegerCubaLIF)


@dataclass(frozen=True)
class _Stage:
    """Names of a synapse, of the neuron behind it, and of the Reshape before it, if any."""

    reshape: str | None
    synapse: str
    neuron: str


@dataclass(frozen=True)
class _Layer:
    """One entry of the file: its type, its arrays, and its neuron's."""

    kind: str
    arrays: dict[str, Any] = field(default_factory=dict)
    neuron: dict[str, int] = field(default_factory=dict)


def write_netx(graph: Graph, path: Path, *, simulator_only: bool = False) -> None:
    """Write an integer graph for netx.

    Args:
        graph: integer dialect, model timing: a chain of Input, IntegerLinear or IntegerConv with a hard-reset
            IntegerLIF or IntegerCubaLIF each, Reshape before the first dense layer, Output.
        path: the `.net` file.
        simulator_only: also write what only Lava's simulation carries, which checks no widths: weights and biases
            beyond a chip's, dense layers as convolutions over the whole map.

    Raises:
        ExportError: netx cannot express the graph; names the node and the reason.
    """
    verify(graph, "integer")
    _check_chain(graph)
    layers = _layers(graph, _stages(graph), simulator_only)
    with atomic_file(path) as work, h5py.File(work, "w") as file:
        for index, layer in enumerate(layers):
            group = file.create_group(f"layer/{index}")
            _write_entries(group, layer.kind, layer.arrays)
            if layer.neuron:
                _write_entries(group.create_group("neuron"), "LOIHI", layer.neuron)


def _write_entries(group: Any, kind: str, entries: Mapping[str, Any]) -> None:
    group.create_dataset("type", data=np.array([kind.encode("ascii")], dtype="S10"))
    for name, value in entries.items():
        group.create_dataset(name, data=value)


def _check_chain(graph: Graph) -> None:
    """Refuse what is no chain of spiking layers in Lava's widths."""
    assert graph.fmt is not None
    for name, bits in LAVA_WIDTHS.items():
        if (own := getattr(graph.fmt, name)) != bits:
            raise ExportError(f"graph: {name} is {own}, Lava's LIF has {bits}; quantise for loihi2")
    if graph.timing != "model":
        raise ExportError(
            f"graph: is in timing '{graph.timing}', allowed in netx is 'model'; write it before balancing"
        )
    for name in graph.order:
        if (period := graph.period[name]) > 1:
            what = type(graph.nodes[name]).__name__
            raise ExportError(
                f"node {name}: is {what} that ticks every {period} steps, netx's layers tick in every one"
            )
    for name, node in graph.inputs().items():
        if node.kind != "spike":
            raise ExportError(f"node {name}: carries graded values, allowed in netx's file are spikes")
    for kind in (Input, Output):
        if len(found := graph.of_type(kind)) != 1:
            raise ExportError(f"graph: has {len(found)} {kind.__name__} nodes, allowed in netx is one")
    _check_edges(graph)


def _check_edges(graph: Graph) -> None:
    """Refuse whatever branches, joins, loops or waits."""
    for edge in graph.edges:
        if edge.delay or edge.port != "input":
            what = f"waits {edge.delay} steps" if edge.delay else f"arrives at port '{edge.port}'"
            raise ExportError(f"edge {edge.source} -> {edge.target}: {what}, allowed in netx is a feed-forward chain")
    for name in graph.order:
        for what, count in (("receives from", len(graph.incoming(name))), ("sends to", len(graph.outgoing(name)))):
            if count > 1 or (count == 0 and not isinstance(graph.nodes[name], (Input, Output))):
                raise ExportError(f"node {name}: {what} {count} nodes, allowed in netx is one: it has chains only")


def _stages(graph: Graph) -> list[_Stage]:
    """Group the chain into layers."""
    waiting = list(graph.order[1:-1])
    stages = []
    while waiting:
        reshape = waiting.pop(0) if isinstance(graph.nodes[waiting[0]], Reshape) else None
        if len(waiting) < 2:
            raise ExportError(f"node {graph.order[-2]}: ends the network, allowed in netx is a spiking neuron there")
        synapse, neuron = waiting.pop(0), waiting.pop(0)
        for name, allowed in ((synapse, SYNAPSE), (neuron, NEURON)):
            if not isinstance(graph.nodes[name], allowed):
                kinds = " or ".join(kind.__name__ for kind in allowed)
                raise ExportError(
                    f"node {name}: is {type(graph.nodes[name]).__name__}, allowed in netx here is {kinds}"
                )
        stages.append(_Stage(reshape, synapse, neuron))
    return stages


def _layers(graph: Graph, stages: Sequence[_Stage], simulator_only: bool) -> list[_Layer]:
    """Return the file's entries."""
    reasons = {name: _why_not_dense(node) for name, node in graph.of_type(IntegerLinear).items()}
    for name, reason in reasons.items():
        if reason and not simulator_only:
            raise ExportError(f"node {name}: {reason}; quantise coarser, or write it for the simulator only")
    as_conv = any(reasons.values())  # all of them: after a flat layer no map is left for a kernel
    (source,) = graph.inputs().values()
    sent = source.shape
    layers: list[_Layer] = []
    for stage in stages:
        neuron = graph.nodes[stage.neuron]
        assert isinstance(neuron, NEURON)
        arrays = _synapse_entry(graph, stage, sent, as_conv, simulator_only)
        kind = "conv" if "stride" in arrays else "dense"
        if not layers:
            layers.append(_Layer("input", {"shape": np.array(_map(sent) if kind == "conv" else sent)}))
        elif kind == "dense" and layers[-1].kind == "conv":
            layers.append(_Layer("flatten"))
        arrays |= _bias_entry(neuron, stage.neuron, kind, simulator_only)
        layers.append(_Layer(kind, arrays, _neuron_entry(neuron, stage.neuron)))
        sent = neuron.shape
    return layers


def _synapse_entry(graph: Graph, stage: _Stage, sent: Shape, as_conv: bool, simulator_only: bool) -> dict[str, Any]:
    node = graph.nodes[stage.synapse]
    if stage.reshape is not None and len(made := graph.nodes[stage.reshape].shape) != 1:
        raise ExportError(f"node {stage.reshape}: makes {made}, allowed in netx is to flatten")
    if isinstance(node, IntegerConv):
        return _conv_entry(node, stage.synapse, simulator_only)
    assert isinstance(node, IntegerLinear)
    if node.positions:
        raise ExportError(f"node {stage.synapse}: is shared over positions {node.positions}, netx's dense is not")
    return _whole_map_entry(node, sent, stage.synapse) if as_conv else {"shape": node.shape, "weight": _weight(node)}


def _weight(node: IntegerLinear | IntegerConv) -> Int:
    return node.weight_int8.astype(np.int64) << node.weight_exp


def _why_not_dense(node: IntegerLinear) -> str | None:
    """Say why netx's dense would not end at a node's weights; None if it does."""
    weight = _weight(node)
    largest = int(np.abs(weight).max())
    if largest > DENSE_MAX:
        return f"weights reach {largest}, netx's dense keeps at most {DENSE_MAX}"
    if largest == 0:
        return "all weights are 0, netx's dense divides by the largest"
    if weight.max() <= 0 and largest & (largest - 1) == 0:
        return f"no weight is positive and the smallest is -{largest}, which Lava clips after netx's shift to -256"
    return None


def _map(shape: Shape) -> Shape:
    """Return a layer's shape as (C, H, W)."""
    return {1: (*shape, 1, 1), 2: (shape[0], 1, shape[-1])}.get(len(shape), shape)


def _conv_entry(node: IntegerConv, name: str, simulator_only: bool) -> dict[str, Any]:
    weight, geometry = _weight(node), node.geometry
    if (largest := int(np.abs(weight).max())) > CONV_MAX and not simulator_only:
        raise ExportError(
            f"node {name}: weights reach {largest}, netx's conv has no exponent beyond {CONV_MAX}; quantise coarser, "
            "or write it for the simulator only"
        )
    if weight.ndim == 3:
        weight = weight[:, :, None]
    spatial = {"stride": (1, *geometry.stride), "padding": (0, *geometry.padding), "dilation": (1, *geometry.dilation)}
    return _kernel_entry(
        name, weight, _map(node.shape), {key: value[-2:] for key, value in spatial.items()}, geometry.groups
    )


def _whole_map_entry(node: IntegerLinear, sent: Shape, name: str) -> dict[str, Any]:
    """Write a matrix as a convolution whose kernel covers the map (C, H, W) before it."""
    spatial = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    return _kernel_entry(name, _weight(node).reshape(node.size, *_map(sent)), _map(node.shape), spatial, 1)


def _kernel_entry(name: str, weight: Int, shape: Shape, spatial: Mapping[str, Shape], groups: int) -> dict[str, Any]:
    """Write a kernel [out, in/groups, height, width]."""
    largest = max(*weight.shape[2:], groups, *(length for lengths in spatial.values() for length in lengths))
    if largest > GEOMETRY_MAX:
        raise ExportError(
            f"node {name}: a kernel length, stride, padding, dilation or group count is {largest}, allowed in Lava's "
            f"Conv is at most {GEOMETRY_MAX}"
        )
    arrays = {key: np.array(lengths) for key, lengths in spatial.items()}
    return {"shape": np.array(shape), "weight": weight, "groups": groups, **arrays}


def _bias_entry(node: IntegerLIF | IntegerCubaLIF, name: str, kind: str, simulator_only: bool) -> dict[str, Any]:
    """Write the bias in units of 2^6, for a convolution in Lava's order (W, H, C)."""
    assert node.bias_mant.shape == node.shape
    bias = node.bias_mant << node.bias_exp
    if not bias.any():
        return {}
    if isinstance(node, IntegerCubaLIF):
        raise ExportError(f"node {name}: has a bias on its current, netx adds biases to the membrane")
    mantissa = bias >> BIAS_EXPONENT
    if (mantissa << BIAS_EXPONENT != bias).any():
        raise ExportError(
            f"node {name}: biases are no multiples of 2^{BIAS_EXPONENT}, netx's own exponent; train without bias"
        )
    limit = (1 << (LAVA_WIDTHS["bias_mantissa_bits"] - 1)) - 1
    if (largest := int(np.abs(mantissa).max())) > limit and not simulator_only:
        raise ExportError(
            f"node {name}: biases reach {largest} · 2^{BIAS_EXPONENT}, allowed is {limit}; quantise coarser, or write "
            "it for the simulator only"
        )
    return {"bias": mantissa.reshape(_map(node.shape)).transpose(2, 1, 0) if kind == "conv" else mantissa}


def _neuron_entry(node: IntegerLIF | IntegerCubaLIF, name: str) -> dict[str, int]:
    """Write the one set of parameters of a layer."""
    immediate = node.reset in ("zero", "clear") and not node.reset_delay and not node.inhibition
    if not immediate or node.vth is None:
        raise ExportError(
            f"node {name}: resets by '{node.reset}'{' later' if node.reset_delay else ''}, inhibits, or has a moving "
            "threshold; allowed in netx is an immediate reset to zero below a constant threshold"
        )
    return {
        "iDecay": 1 << LAVA_WIDTHS["decay_bits"] if isinstance(node, IntegerLIF) else _single(node.du, name, "du") + 1,
        "vDecay": _single(node.dv, name, "dv"),
        "vThMant": _single(node.vth, name, "vth"),
        "refDelay": 1,
        "gradedSpike": 0,
    }


def _single(values: Int, name: str, what: str) -> int:
    if values.min() != values.max():
        raise ExportError(
            f"node {name}: {what} spans {values.min()}..{values.max()}, allowed in netx is one value per layer"
        )
    return int(values.flat[0])
