"""Granularity "processes": one Lava Process per node, what the owner of a chip would deploy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from export.graph import Graph
from export.passes.balance_latency import balance_latency
from export.trace import Array, LayerTrace, Trace

from .compat import load_lava
from .layers import neurons
from .preconditions import TIMEOUT_S, NumberFormat, check_run
from .saturations import count_saturations
from .target import Target, check_deployable, check_target


def run_processes(
    graph: Graph,
    inputs: Mapping[str, Array],
    *,
    number_format: NumberFormat,
    progress: bool = False,
    timeout_s: float = TIMEOUT_S,
    target: Target = "simulation",
    steps_done: npt.NDArray[np.int64] | None = None,
) -> Trace:
    """Run a graph on Lava, one Process per node, stock Processes wherever they can express the node.

    Samples run one after another; every neuron's spikes and membranes are recorded in every step and aligned
    by the layer's latency, so that row t is the model's step t.

    Args:
        graph: integer dialect for `fixed_pt`, float dialect for `floating_pt`; model timing.
        inputs: name to [T, B, *shape], see `export.trace.check_inputs`.
        number_format: `fixed_pt` (bit-accurate) or `floating_pt` (double precision).
        progress: show a progress bar on stderr.
        timeout_s: longest time in seconds without a finished time step.
        target: `simulation`, or `hardware` for a Loihi 2 behind Intel's extension, which gives spikes only.
        steps_done: int64 [1], shared: counts the finished time steps, sample after sample (progress).

    Returns:
        The trace of every neuron node: `s` uint8 [T, B, n]; `v` int64 or float64 [T, B, n], None where nothing is
        kept, or on hardware; `theta` int64 [T, B] where a controller sets the threshold.

    Raises:
        ExportError: a loop of the graph has more synapse layers than steps of delay.
        LavaRuntimeError: Lava is missing, cannot run the graph there, failed or stood still.
        InputDataError: the inputs do not fit the graph.
    """
    check_target(target, "processes", number_format)
    num_steps, batch = check_run(graph, inputs, number_format)
    timed = balance_latency(graph)
    if target == "hardware":
        check_deployable(timed)
    load_lava()
    from .processes.network import build_network
    from .session import Session

    session = Session(timeout_s=timeout_s, description="Lava processes" if progress else None, steps_done=steps_done)
    network = build_network(timed, inputs, session.steps_done, target)
    session.run(
        network.processes["sink"],
        num_steps * batch + max(timed.latency.values()),
        number_format=number_format,
        models=network.models,
        target=target,
    )
    trace = {
        name: LayerTrace(
            s=_per_sample(network.stores[name, "s"], num_steps, np.uint8),
            v=_membranes(network.stores.get((name, "v")), num_steps),
            theta=_theta(network.stores.get((name, "theta")), num_steps),
        )
        for name in neurons(graph)
    }
    return count_saturations(graph, inputs, trace)


def _per_sample(store: Array, num_steps: int, dtype: type) -> Array:
    """[B·T, n] to [T, B, n], out of the shared memory."""
    by_sample = store.reshape(-1, num_steps, store.shape[1])
    return np.ascontiguousarray(by_sample.transpose(1, 0, 2), dtype=dtype)


def _membranes(store: Array | None, num_steps: int) -> Array | None:
    if store is None:
        return None
    return _per_sample(store, num_steps, np.int64 if store.dtype == np.int32 else np.float64)


def _theta(store: Array | None, num_steps: int) -> Array | None:
    return None if store is None else _per_sample(store, num_steps, np.int64)[:, :, 0]
