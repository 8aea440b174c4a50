"""Which Lava Process is which node: stock wherever stock can express it; see the table in `network`."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.proc.dense.process import Dense
from lava.proc.lif.models import PyLifModelBitAcc
from lava.proc.lif.process import LIFReset
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode

from export.graph import Graph
from export.nodes import (
    DYNAMIC,
    LIF,
    CubaLIF,
    DynamicThresholdLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerWindowSum,
    Linear,
    WindowSum,
    window_weights,
)
from export.ranges import GRADED_BITS, carries_spikes
from export.sparse_matrix import to_sparse
from export.trace import Array
from hardware_profiles.arithmetic import IntegerFormat

from ..layers import Neuron
from ..routing import folded_bias, is_stock_neuron
from ..target import Target
from .convolution import is_too_large_for_sparse, kernel_of, make_conv
from .dynamic_threshold_lif import process as dynamic
from .snntorch_neuron.process import SnnTorchNeuron
from .window_sum import process as window_sum


def lava_format() -> IntegerFormat:
    """Return the widths that stock Lava's fixed-point models have, read from the models."""
    lif = PyLifModelBitAcc(proc_params={})
    return IntegerFormat(
        weight_bits=PyDenseModelBitAcc.weights.precision,
        decay_bits=PyLifModelBitAcc.dv.precision,
        state_bits=PyLifModelBitAcc.v.precision,
        threshold_bits=PyLifModelBitAcc.vth.precision,
        state_shift=lif.vth_shift,
        bias_mantissa_bits=PyLifModelBitAcc.bias_mant.precision,
        bias_exponent_bits=PyLifModelBitAcc.bias_exp.precision,
    )


def make_synapses(graph: Graph, name: str, target: Target) -> Any:
    """Make the stock Process of a linear node: `Dense` for one matrix, `Conv` for large images, else `Sparse`.

    On a chip every convolution is `Conv`: its cores share the kernel.
    """
    node = graph.nodes[name]
    sources = graph.sources(name)
    is_binary = len(sources) == 1 and carries_spikes(graph, sources[0])
    common = {"name": name, "num_message_bits": 0 if is_binary else GRADED_BITS}
    kernel = kernel_of(node)
    if kernel is not None and (target == "hardware" or is_too_large_for_sparse(node, kernel)):
        return make_conv(graph, kernel, target, common)
    is_dense = isinstance(node, (Linear, IntegerLinear)) and not node.positions
    process = Dense if is_dense else Sparse
    if isinstance(node, (Linear, IntegerLinear)) and not node.positions:
        weights = node.weight if isinstance(node, Linear) else node.weight_int8
    else:
        weights = to_sparse(node)
    if graph.fmt is None:
        return process(weights=weights.astype(float), **common)
    exponent = node.weight_exp if isinstance(node, (IntegerLinear, IntegerConv, IntegerScale)) else 0
    return process(**mixed_sign(weights, exponent), **common)


def mixed_sign(weights: Any, exponent: int) -> dict[str, Any]:
    """Return what lets stock synapses compute W s << exponent: Lava keeps mixed-sign weights as even 9-bit numbers."""
    return {
        "weights": 2 * weights.astype(np.int32),
        "weight_exp": exponent - 1,
        "sign_mode": SignMode.MIXED,
    }


def make_count(graph: Graph, name: str, num_groups: int, population: int) -> Any:
    """Make the stock synapses that count a population's spikes, group by group."""
    blocks = np.kron(np.eye(num_groups), np.ones((1, population // num_groups)))
    if graph.fmt is None:
        return Dense(weights=blocks, name=name)
    return Dense(**mixed_sign(blocks.astype(np.int64), 0), name=name)


def sample_starts(graph: Graph, name: str, interval: int) -> dict[str, int]:
    """Return the time steps in which a node's samples start, `interval` time steps long each."""
    return {"reset_interval": interval, "reset_offset": (graph.latency[name] + 1) % interval}


def make_window(graph: Graph, name: str, node: WindowSum | IntegerWindowSum, interval: int) -> Any:
    """Make the Process of a window over time."""
    weights = window_weights(node)
    return window_sum.WindowSum(
        shape=(node.size,),
        weights=weights.tolist(),
        arrival_period=graph.arrival_period(name),
        name=name,
        **sample_starts(graph, name, interval),
    )


def make_neuron(graph: Graph, name: str, node: Neuron, interval: int) -> Any:
    """Make the Process of a neuron layer; it starts anew at each sample, `interval` time steps long."""
    bias = folded_bias(graph, name)
    common: dict[str, Any] = {"name": name, **sample_starts(graph, name, interval)}
    if is_stock_neuron(graph, name):
        assert isinstance(node, (LIF, IntegerLIF, CubaLIF, IntegerCubaLIF))
        return LIFReset(shape=(node.size,), **_stock_numbers(graph, node, bias), **common)
    common["period"] = graph.period[name]
    if isinstance(node, DYNAMIC):
        return _dynamic(graph, node, bias, common)
    return SnnTorchNeuron(node=node, bias=bias, fmt=graph.fmt, **common)


def _dynamic(graph: Graph, node: DynamicThresholdLIF | IntegerDynamicThresholdLIF, bias: Array, common: Any) -> Any:
    shape = (node.size,)
    if isinstance(node, DynamicThresholdLIF):
        dv = 1 - node.beta.astype(float).ravel()
        return dynamic.DynamicThresholdLIF(
            shape=shape, dv=dv, bias_mant=bias, th_exp=-node.controller.fraction_bits, **common
        )
    return dynamic.DynamicThresholdLIF(
        shape=shape,
        dv=node.dv.ravel(),
        bias_mant=node.bias_mant.ravel(),
        bias_exp=node.bias_exp,
        th_exp=node.theta_shift,
        fmt=graph.fmt,
        **common,
    )


def _stock_numbers(graph: Graph, node: LIF | IntegerLIF | CubaLIF | IntegerCubaLIF, bias: Array) -> dict[str, Any]:
    """Return stock LIF's parameters; a du of unity has no synaptic memory, and stock adds one to the integer du."""
    if isinstance(node, (LIF, CubaLIF)):
        assert node.threshold is not None
        return {
            "du": 1 - node.alpha.astype(float).ravel() if isinstance(node, CubaLIF) else 1,
            "dv": 1 - node.beta.astype(float).ravel(),
            "vth": node.threshold.astype(float).ravel(),
            "bias_mant": bias,
        }
    assert graph.fmt is not None and node.vth is not None
    return {
        "du": node.du.ravel() if isinstance(node, IntegerCubaLIF) else graph.fmt.decay_unity - 1,
        "dv": node.dv.ravel(),
        "vth": node.vth.ravel(),
        "bias_mant": node.bias_mant.ravel(),
        "bias_exp": node.bias_exp,
    }
