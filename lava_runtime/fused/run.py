"""Runs a data set through one fused Lava Process."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.graph import Graph
from export.trace import Array, Trace
from hardware_profiles.activity import LayerActivity

from ..compat import load_lava
from ..counts import layer_activities
from ..errors import LavaRuntimeError
from ..preconditions import TIMEOUT_S, NumberFormat, check_run
from ..probes import Probe
from .executor import Executor
from .ledger import Ledger
from .number import INT64_BITS
from .plan import make_plan


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedRun:
    """What a fused run gives.

    Attributes:
        output_counts: output node to spikes summed over time, int64 [B, n]; float64 sums where other values leave.
        layers: event counts, inputs first.
        records: probe to what it saw: `s` uint8, `v` int64 or float64 [T, B, n], `theta` int64 [T, B].
        trace: the records of every neuron node, if everything was recorded.
    """

    output_counts: dict[str, Array]
    layers: tuple[LayerActivity, ...]
    records: dict[Probe, Array]
    trace: Trace | None


def run_fused(
    graph: Graph,
    inputs: Mapping[str, Array],
    *,
    number_format: NumberFormat,
    batch_size: int = 64,
    probes: Collection[Probe] = (),
    progress: bool = False,
    timeout_s: float = TIMEOUT_S,
    steps_done: npt.NDArray[np.int64] | None = None,
) -> FusedRun:
    """Run a graph on Lava inside one Process, many samples at a time, without latency.

    Args:
        graph: integer dialect for `fixed_pt`, float dialect for `floating_pt`.
        inputs: name to [T, B, *shape], see `export.trace.check_inputs`.
        number_format: `fixed_pt` (bit-accurate) or `floating_pt` (double precision).
        batch_size: samples that run side by side; memory is linear in it, results do not depend on it in `fixed_pt`.
        probes: what to record in every step, see `probes.every_probe`.
        progress: show a progress bar on stderr.
        timeout_s: longest time in seconds without a finished time step.
        steps_done: int64 [1], shared: counts the finished time steps, batch after batch (progress).

    Raises:
        LavaRuntimeError: Lava is missing, failed or stood still, or `batch_size` is not positive.
        ExportError: the graph does not fit, see `layerwise.check_run`.
        InputDataError: the inputs do not fit the graph.
    """
    if batch_size < 1:
        raise LavaRuntimeError(f"batch_size: is {batch_size}, allowed is at least 1; 64 is a good start")
    num_steps, num_samples = check_run(graph, inputs, number_format)
    _check_widths(graph)
    load_lava()
    from ..processes.fused_data_set.models import PyFusedDataSetModel
    from ..processes.fused_data_set.process import FusedDataSet
    from ..session import Session

    executor = Executor(graph, probes)
    plan = make_plan(executor.bytes_per_row, num_steps, num_samples, batch_size)
    session = Session(timeout_s=timeout_s, description="Lava fused" if progress else None, steps_done=steps_done)
    ledger = Ledger(graph, plan, probes, session.steps_done)
    fused = FusedDataSet(executor=executor, inputs=inputs, ledger=ledger, name="fused graph")
    session.run(
        fused,
        plan.lava_steps,
        number_format=number_format,
        models={fused: PyFusedDataSetModel},
        counted_steps=plan.total_steps,
    )
    return FusedRun(
        output_counts={name: sums.copy() for name, sums in ledger.output_sums.items()},
        layers=layer_activities(graph, ledger.events(), num_steps, num_samples),
        records=ledger.copies(),
        trace=ledger.trace(graph),
    )


def _check_widths(graph: Graph) -> None:
    if graph.fmt is None:
        return
    bits = graph.fmt.state_bits + graph.fmt.decay_bits
    if bits > INT64_BITS:
        raise LavaRuntimeError(
            f"graph: state and decay have {bits} bits together, allowed are {INT64_BITS}, whose product a 64-bit "
            "integer holds; use narrower widths"
        )
