"""A graph as Lava Processes, one per node: stock wherever stock can express the node.

| node | Process |
|---|---|
| Linear | stock `Dense` |
| LIF, reset zero | stock `LIFReset` (`LIF` that also starts anew at each sample) |
| LIF, reset subtract or none | our `Leaky` |
| DynamicThresholdLIF | our `DynamicThresholdLIF`, its `ThresholdController`, a stock `Dense` that counts spikes |
| all inputs, all records | one `MemorySource`, one `MemorySink` |

Samples follow each other without a gap: a layer of latency L starts a new sample in time step k·T + L + 1. The
reset in that step also erases what biases gathered before, and no spike from before it can be received after it,
because every synapse delays by one step, as the start does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.proc.dense.process import Dense
from lava.proc.lif.models import PyLifModelBitAcc
from lava.proc.lif.process import LIFReset
from lava.utils.weightutils import SignMode

from export.graph import Graph
from export.nodes import (
    DYNAMIC,
    LIF,
    DynamicThresholdLIF,
    Input,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    Linear,
)
from hardware_profiles.arithmetic import IntegerFormat

from ..errors import LavaRuntimeError
from ..layers import Neuron, Synapse, controller_name, neurons, synapses
from ..shared_memory import shared_array
from .dynamic_threshold_lif import process as dynamic
from .leaky.process import Leaky
from .memory_sink.models import sink_model
from .memory_sink.process import MemorySink, Record
from .memory_source.models import source_model
from .memory_source.process import MemorySource, Stream
from .threshold_controller.process import ThresholdController

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """A network of Lava Processes, ready to run once.

    Attributes:
        processes: name to Process; synapses and neurons are called as their nodes.
        models: Process to ProcessModel, for those whose ports are made to measure.
        stores: (node, `s` | `v` | `theta`) to the shared array [B·T, n] that the run fills.
    """

    processes: Mapping[str, Any]
    models: Mapping[Any, type]
    stores: Mapping[tuple[str, str], Array]


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


def build_network(graph: Graph, inputs: Mapping[str, Array], steps_done: npt.NDArray[np.int64]) -> Network:
    """Make the Processes of a verified graph.

    Args:
        graph: float or integer dialect.
        inputs: name to [T, B, size].
        steps_done: int64 [1], shared; see `session.Session`.

    Raises:
        LavaRuntimeError: stock Lava cannot run this graph.
    """
    if graph.fmt is not None and graph.fmt != lava_format():
        raise LavaRuntimeError(
            f"graph: has the integer widths {graph.fmt}, stock Lava has {lava_format()}; use granularity 'fused'"
        )
    return _Builder(graph, inputs, steps_done).build()


class _Builder:
    """Collects Processes and their connections, node by node."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Array], steps_done: npt.NDArray[np.int64]) -> None:
        self._graph = graph
        self._inputs = inputs
        self._num_steps, self._batch = next(iter(inputs.values())).shape[:2]
        self._steps_done = steps_done
        self._processes: dict[str, Any] = {}
        self._streams: dict[str, Stream] = {}
        self._listeners: list[tuple[str, Any]] = []
        self._records: dict[str, Record] = {}
        self._observed: list[tuple[str, Any]] = []
        self._stores: dict[tuple[str, str], Array] = {}

    def build(self) -> Network:
        """Make all Processes and connect them."""
        for name, synapse in synapses(self._graph).items():
            self._processes[name] = _dense(synapse, name)
        for name, neuron in neurons(self._graph).items():
            self._add_neuron(name, neuron)
        for name in synapses(self._graph):
            self._connect(self._graph.sources(name)[0], 0, self._processes[name].s_in)
        source = MemorySource(streams=self._streams, name="source")
        for port, listener in self._listeners:
            getattr(source, port).connect(listener)
        sink = MemorySink(records=self._records, steps_done=self._steps_done, name="sink")
        for port, observed in self._observed:
            if self._records[port].what == "message":
                observed.connect(getattr(sink, port))
            else:
                getattr(sink, port).connect_var(observed)
        return Network(
            processes={**self._processes, "source": source, "sink": sink},
            models={source: source_model(source), sink: sink_model(sink)},
            stores=self._stores,
        )

    def _add_neuron(self, name: str, node: Neuron) -> None:
        lag = self._graph.latency[name]
        neuron = _neuron(node, name, self._bias(name, node), self._num_steps, lag + 1, self._graph.fmt)
        self._processes[name] = neuron
        self._processes[self._graph.driving_synapse(name)].a_out.connect(neuron.a_in)
        if isinstance(node, DYNAMIC):
            controller = self._add_controller(name, node, lag)
            controller.th_out.connect(neuron.th_in)
            self._record(name, "theta", lag, controller.th_out, (1,), np.int32)
        self._record(name, "s", lag, neuron.s_out, (node.size,), np.uint8)
        self._record(name, "v", lag, neuron.v, (node.size,), float if self._graph.fmt is None else np.int32)

    def _add_controller(self, name: str, node: DynamicThresholdLIF | IntegerDynamicThresholdLIF, lag: int) -> Any:
        """Count the population through a synapse layer, whose delay is that of the driving synapse."""
        controller = ThresholdController(controller=node.controller, name=controller_name(name))
        per_group = node.controller.population // node.controller.num_groups
        blocks = np.kron(np.eye(node.controller.num_groups), np.ones((1, per_group)))
        if self._graph.fmt is None:
            count = Dense(weights=blocks, name=f"{name}.count")
        else:
            count = _mixed_sign_dense(blocks.astype(np.int64), 0, f"{name}.count")
        self._processes[controller_name(name)], self._processes[f"{name}.count"] = controller, count
        self._connect(self._graph.sources(name, "population")[0], 0, count.s_in)
        count.a_out.connect(controller.count_in)
        for context in self._graph.sources(name, "context"):
            self._connect(context, lag, controller.context_in)
        return controller

    def _connect(self, source: str, lag: int, port: Any) -> None:
        """Connect a node's output; the host sends an input `lag` steps late, where it is needed late."""
        node = self._graph.nodes[source]
        if not isinstance(node, Input):
            assert not lag, "verify admits only inputs where a layer's latency must be waited for"
            self._processes[source].s_out.connect(port)
            return
        stream = Stream(
            shape=(node.size,),
            dtype=np.int8 if node.kind == "spike" else np.int16,
            frame=partial(_frame, self._inputs[source], lag),
        )
        key = f"{source}@{lag}"
        self._streams[key] = stream
        self._listeners.append((key, port))

    def _record(self, name: str, what: str, lag: int, observed: Any, shape: tuple[int, ...], dtype: Any) -> None:
        store = shared_array((self._batch * self._num_steps, *shape), dtype)
        key = f"{name}@{what}"
        self._stores[name, what] = store
        self._records[key] = Record(what="var" if what == "v" else "message", store=store, lag=lag)
        self._observed.append((key, observed))

    def _bias(self, name: str, node: Neuron) -> Array:
        """Return the bias that the neuron adds: its own integers, or that of its float synapse."""
        if isinstance(node, (IntegerLIF, IntegerDynamicThresholdLIF)):
            return node.bias_mant
        synapse = synapses(self._graph)[self._graph.driving_synapse(name)]
        assert isinstance(synapse, Linear)
        return np.zeros(node.size) if synapse.bias is None else synapse.bias.astype(float)


def _frame(values: Array, lag: int, step: int) -> Array:
    """Return the input of a time step: sample after sample, `lag` steps late, silence around them."""
    num_steps, batch, size = values.shape
    sample, t = divmod(step - lag, num_steps)
    frame: Array = values[t, sample] if 0 <= sample < batch else np.zeros(size, dtype=values.dtype)
    return frame


def _dense(node: Synapse, name: str) -> Any:
    if isinstance(node, Linear):
        return Dense(weights=node.weight.astype(float), name=name)
    return _mixed_sign_dense(node.weight_int8, node.weight_exp, name)


def _mixed_sign_dense(weight_int8: Array, weight_exp: int, name: str) -> Any:
    """Make a stock Dense that computes W s << weight_exp: Lava keeps mixed-sign weights as even 9-bit numbers."""
    return Dense(
        weights=(2 * weight_int8).astype(np.int32), weight_exp=weight_exp - 1, sign_mode=SignMode.MIXED, name=name
    )


def _neuron(node: Neuron, name: str, bias: Array, interval: int, offset: int, fmt: IntegerFormat | None) -> Any:
    """Make the neuron Process of a node; it starts anew in each time step with t % interval == offset % interval."""
    if isinstance(node, (LIF, DynamicThresholdLIF)):
        number: dict[str, Any] = {"dv": 1 - node.beta.astype(float), "bias_mant": bias}
    else:
        number = {"dv": node.dv, "bias_mant": bias, "bias_exp": node.bias_exp}
    common = {**number, "shape": (node.size,), "reset_interval": interval, "reset_offset": offset, "name": name}
    if isinstance(node, DynamicThresholdLIF):
        return dynamic.DynamicThresholdLIF(th_exp=-node.controller.fraction_bits, **common)
    if isinstance(node, IntegerDynamicThresholdLIF):
        return dynamic.DynamicThresholdLIF(th_exp=node.theta_shift, fmt=fmt, **common)
    vth = node.threshold.astype(float) if isinstance(node, LIF) else node.vth
    if node.reset != "zero":
        return Leaky(vth=vth, reset=node.reset, fmt=fmt, **common)
    # du of unity: no synaptic memory; stock LIF adds one to the integer du
    return LIFReset(vth=vth, du=1 if fmt is None else fmt.decay_unity - 1, **common)
