"""A graph as Lava Processes, one per node: stock wherever stock can express the node.

| node | Process | |
|---|---|---|
| Linear | `Dense` | stock |
| Conv, Pool, where their unrolled matrix is large | `Conv` | stock |
| all other Conv, Pool; Linear over positions, Scale, Gather, Reduce | `Sparse`, unrolled | stock |
| LIF, hard reset at once, constant threshold | `LIFReset`: `LIF` that starts anew at each sample | stock |
| CubaLIF, the same, without bias | `LIFReset` with `du` | stock |
| all other LIF, CubaLIF; AlphaLIF; Threshold | `SnnTorchNeuron` | ours |
| DynamicThresholdLIF | `DynamicThresholdLIF`, `ThresholdController`, stock `Dense` that counts spikes | ours |
| WindowSum | `WindowSum` | ours |
| neurons of a slower stage, stock ones too | `SnnTorchNeuron` or `DynamicThresholdLIF`, which hold | ours |
| LI | `LeakyIntegrator` | ours |
| Product, MatMul | `SignalProduct` | ours |
| Reshape of one source | none | |
| an edge that waits, or that the model delays | `DelayLine`; inputs are sent late instead | ours |
| bias of a float synapse | the neurons' own bias; elsewhere a stream of the source | |
| all inputs, all records | one `MemorySource`, one `MemorySink` | ours |

The graph is in "lava" timing (`export.passes.balance_latency`). Samples follow each other without a gap: a layer of
latency L starts a new sample in time step k·T + L + 1. The reset in that step also erases what biases gathered before.
Values that the model does not delay cannot reach the next sample, since both ends of an edge start it together; where
the model delays an edge by d steps, its `DelayLine` is silent in the first d steps of each sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import Edge, Graph
from export.nodes import (
    DYNAMIC,
    LI,
    PRODUCTS,
    REARRANGEMENTS,
    SYNAPSES,
    WINDOWS,
    DynamicThresholdLIF,
    Input,
    IntegerDynamicThresholdLIF,
    IntegerThreshold,
    Output,
    Reshape,
    Threshold,
)
from export.trace import Array, on_ticks

from ..errors import LavaRuntimeError
from ..layers import COUNTED_PORT, controller_name, neurons
from ..routing import Route, is_folded, is_passed_on, own_bias, route
from ..shared_memory import shared_array
from ..target import Target
from .delay_line.process import DelayLine
from .leaky_integrator.process import LeakyIntegrator
from .makers import lava_format, make_count, make_neuron, make_synapses, make_window, sample_starts
from .memory_sink.models import sink_model
from .memory_sink.process import MemorySink, Record
from .memory_source.models import source_model
from .memory_source.process import MemorySource, Stream
from .ports import connect
from .product.process import SignalProduct
from .threshold_controller.process import ThresholdController


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """A network of Lava Processes, ready to run once.

    Attributes:
        processes: name to Process; they are called as their nodes.
        models: Process to ProcessModel, for those whose ports are made to measure.
        stores: (node, `s` | `v` | `theta`) to the shared array [B·T, n] that the run fills.
    """

    processes: Mapping[str, Any]
    models: Mapping[Any, type]
    stores: Mapping[tuple[str, str], Array]


def build_network(
    graph: Graph, inputs: Mapping[str, Array], steps_done: npt.NDArray[np.int64], target: Target = "simulation"
) -> Network:
    """Make the Processes of a verified graph.

    Args:
        graph: float or integer dialect, "lava" timing.
        inputs: name to [T, B, *shape].
        steps_done: int64 [1], shared; see `session.Session`.
        target: on hardware convolutions keep their kernels, and membranes, which no message carries, are not recorded.

    Raises:
        LavaRuntimeError: stock Lava cannot run this graph.
    """
    if graph.fmt is not None and graph.fmt != lava_format():
        raise LavaRuntimeError(
            f"graph: has the integer widths {graph.fmt}, stock Lava has {lava_format()}; use granularity 'fused'"
        )
    assert graph.timing == "lava"
    return _Builder(graph, inputs, steps_done, target).build()


class _Builder:
    """Collects Processes and their connections, node by node."""

    def __init__(
        self, graph: Graph, inputs: Mapping[str, Array], steps_done: npt.NDArray[np.int64], target: Target
    ) -> None:
        self._graph, self._target = graph, target
        self._num_steps, self._batch = next(iter(inputs.values())).shape[:2]
        self._inputs = {name: array.reshape(self._num_steps, self._batch, -1) for name, array in inputs.items()}
        self._steps_done = steps_done
        self._processes: dict[str, Any] = {}
        self._outlets: dict[str, Any] = {}
        self._streams: dict[str, Stream] = {}
        self._listeners: list[tuple[str, Any]] = []
        self._records: dict[str, Record] = {}
        self._observed: list[tuple[str, Any]] = []
        self._stores: dict[tuple[str, str], Array] = {}

    def build(self) -> Network:
        """Make all Processes and connect them."""
        entrances = {name: self._make(name) for name in self._graph.nodes}
        for name, ports in entrances.items():
            for port, entrance in ports.items():
                for edge in self._graph.incoming(name, port):
                    self._connect(edge, entrance)
        for name in neurons(self._graph):
            self._observe(name)
        source = MemorySource(streams=self._streams, name="source")
        for port, listener in self._listeners:
            connect(getattr(source, port), listener)
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

    def _make(self, name: str) -> dict[str, Any]:
        """Make a node's Process and return the InPort of each of the node's ports."""
        node = self._graph.nodes[name]
        if isinstance(node, (Input, Output)) or is_passed_on(self._graph, name):
            return {}
        if isinstance(node, (*SYNAPSES, *REARRANGEMENTS)):
            process = make_synapses(self._graph, name, self._target)
            self._add(name, process, process.a_out)
            return {"input": process.s_in}
        if isinstance(node, PRODUCTS):
            process = SignalProduct(node=node, name=name)
            self._add(name, process, process.s_out)
            return {"a": process.a_in, "b": process.b_in}
        if isinstance(node, Reshape):
            process = DelayLine(shape=(node.size,), name=name)
            self._add(name, process, process.s_out)
            return {"input": process.s_in}
        if isinstance(node, WINDOWS):
            process = make_window(self._graph, name, node, self._num_steps)
            self._add(name, process, process.s_out)
            return {"input": process.a_in}
        if isinstance(node, LI):
            process = LeakyIntegrator(
                shape=(node.size,),
                dv=1 - node.beta.astype(float).ravel(),
                period=self._graph.period[name],
                name=name,
                **sample_starts(self._graph, name, self._num_steps),
            )
            self._add(name, process, process.s_out)
            return {"input": process.a_in}
        return self._make_neuron(name)

    def _add(self, name: str, process: Any, outlet: Any) -> None:
        self._processes[name], self._outlets[name] = process, outlet

    def _make_neuron(self, name: str) -> dict[str, Any]:
        node = neurons(self._graph)[name]
        process = make_neuron(self._graph, name, node, self._num_steps)
        self._add(name, process, process.s_out)
        if isinstance(node, DYNAMIC):
            return {"input": process.a_in, **self._make_controller(name, node, process.th_in)}
        entrances = {port: process.a_in for port in node.ports}
        if "threshold" in node.ports:
            entrances["threshold"] = process.th_in
        return entrances

    def _make_controller(
        self, name: str, node: DynamicThresholdLIF | IntegerDynamicThresholdLIF, th_in: Any
    ) -> dict[str, Any]:
        """Count the population through a synapse layer; what it sees is as late as the neurons' input."""
        controller = ThresholdController(
            controller=node.controller,
            period=self._graph.period[name],
            name=controller_name(name),
            **sample_starts(self._graph, name, self._num_steps),
        )
        count = make_count(self._graph, f"{name}.count", node.controller.num_groups, node.controller.population)
        self._processes[controller_name(name)], self._processes[f"{name}.count"] = controller, count
        count.a_out.connect(controller.count_in)
        controller.th_out.connect(th_in)
        self._record(name, "theta", controller.th_out, (1,), np.int32)
        return {COUNTED_PORT: count.s_in, "context": controller.context_in}

    def _connect(self, edge: Edge, entrance: Any) -> None:
        """Connect an edge; inputs are sent when they are needed, biases that no neuron adds are sent too."""
        way = route(self._graph, edge)
        node = self._graph.nodes[way.origin]
        if isinstance(node, Input):
            dtype = np.int8 if node.kind == "spike" else np.int16
            self._stream(way, self._inputs[way.origin], dtype, entrance)
            return
        outlet = self._outlets[way.origin]
        if not way.is_direct:
            outlet = self._delayed(way)
        connect(outlet, entrance)
        bias = own_bias(node)
        if bias is not None and not is_folded(self._graph, edge):
            period = self._graph.period[way.origin]
            constant = on_ticks([bias[None]] * (self._num_steps // period), period)
            constant = np.broadcast_to(constant, (self._num_steps, self._batch, len(bias)))
            self._stream(way, constant, np.float64, entrance)

    def _delayed(self, way: Route) -> Any:
        """Return the outlet of a delay line behind a node; edges that wait alike share it."""
        name = f"{way.origin}@{way.wait}-{way.silent}"
        if name not in self._processes:
            line = DelayLine(
                shape=(self._graph.nodes[way.origin].size,),
                delay=way.wait,
                silent=way.silent,
                interval=self._num_steps,
                lag=way.lag,
                name=name,
            )
            connect(self._outlets[way.origin], line.s_in)
            self._processes[name] = line
        return self._processes[name].s_out

    def _stream(self, way: Route, values: Array, dtype: Any, entrance: Any) -> None:
        """Let the source send values [T, B, n] so late that they arrive in time."""
        key = f"{way.origin}@{way.lag}-{way.silent}"
        self._streams[key] = Stream(
            shape=values.shape[2:], dtype=dtype, frame=partial(_frame, values, way.lag, way.silent)
        )
        self._listeners.append((key, entrance))

    def _observe(self, name: str) -> None:
        """Record a neuron layer's spikes, and its membranes if it has any."""
        node, process = neurons(self._graph)[name], self._processes[name]
        self._record(name, "s", process.s_out, (node.size,), np.uint8)
        if not isinstance(node, (Threshold, IntegerThreshold)) and self._target == "simulation":
            self._record(name, "v", process.v, (node.size,), float if self._graph.fmt is None else np.int32)

    def _record(self, name: str, what: str, observed: Any, shape: tuple[int, ...], dtype: Any) -> None:
        store = shared_array((self._batch * self._num_steps, *shape), dtype)
        key = f"{name}@{what}"
        self._stores[name, what] = store
        self._records[key] = Record(
            what="var" if what == "v" else "message", store=store, lag=self._graph.latency[name]
        )
        self._observed.append((key, observed))


def _frame(values: Array, lag: int, silent: int, step: int) -> Array:
    """Return what is sent in a time step: sample after sample, `lag` steps late, `silent` steps into each sample."""
    num_steps, batch, size = values.shape
    sample, t = divmod(step - lag, num_steps)
    is_sent = 0 <= sample < batch and t >= silent
    frame: Array = values[t - silent, sample] if is_sent else np.zeros(size, dtype=values.dtype)
    return frame
