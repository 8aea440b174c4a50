"""One simulation: host segments, Lava in every granularity and number format asked for, parity and counts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from export.graph import Graph
from export.host_segment import chip_inputs, made_by_hosts, output_rates, run_host_segments
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import DYNAMIC, IntegerDynamicThresholdLIF
from export.package import Exported, save_outputs
from export.parity import compare_bounded, compare_exact
from export.passes.freeze_thresholds import freeze_thresholds
from export.trace import Array, Trace
from hardware_profiles.activity import write_activity
from hardware_profiles.artifact import write_json
from hardware_profiles.rungs import PARITY_FILE, Rung, write_parity

from .config import SimulationConfig
from .counts import run_activity
from .fused.run import run_fused
from .layers import neurons
from .layerwise import run_processes
from .preconditions import NumberFormat
from .probes import every_probe
from .routing import in_lava_timing, is_stock_alone

SPECIFICATION = "NumPy integer interpreter"
YARDSTICK = "IR float32 interpreter"


class Simulation:
    """Runs an export on one set of inputs and writes everything that the report needs into a folder."""

    def __init__(
        self, exported: Exported, arrays: Mapping[str, Array], config: SimulationConfig, folder: Path, progress: bool
    ) -> None:
        """Run the host segments before the chip and fix the chip's inputs, once for all worlds.

        Args:
            exported: what to run.
            arrays: `[N, ...]`, see `Exported.host_inputs`.
            config: what to run it on.
            folder: an existing folder.
            progress: show progress bars on stderr.
        """
        self.exported, self.config, self.folder, self.progress = exported, config, folder, progress
        self.known = run_host_segments(exported.folder, exported.hosts, "before", arrays)
        self.inputs = chip_inputs(exported.float_graph, self.known, made_by_hosts(exported.hosts))
        self.num_steps, self.num_samples = next(iter(self.inputs.values())).shape[:2]
        self.rungs: list[Rung] = []
        _save_inputs(folder / "inputs.h5", self.inputs)

    def run(self) -> tuple[Rung, ...]:
        """Run everything and return the rungs of the ladder."""
        for number_format in self.config.number_formats:
            graph = self._graph(number_format)
            self._run_fused(graph, number_format)
            self._run_processes(graph, number_format)
        if self.config.witness and "fixed_pt" in self.config.number_formats and self.config.process_samples:
            graph = self.exported.integer_graph
            if graph.of_type(IntegerDynamicThresholdLIF) and is_stock_alone(freeze_thresholds(graph)):
                self._run_witness()
        write_parity(self.folder / PARITY_FILE, self.rungs)
        return tuple(self.rungs)

    def _graph(self, number_format: NumberFormat) -> Graph:
        return self.exported.integer_graph if number_format == "fixed_pt" else self.exported.float_graph

    def _run_fused(self, graph: Graph, number_format: NumberFormat) -> None:
        compare_all = self.num_samples <= self.config.parity_samples
        run = self._fused(graph, self.inputs, number_format, record=compare_all)
        world = f"Lava {number_format}, fused"
        traced = (
            run
            if compare_all
            else self._fused(graph, self._first(self.config.parity_samples), number_format, record=True)
        )
        assert traced.trace is not None
        self._compare(world, traced.trace, number_format, min(self.num_samples, self.config.parity_samples))
        self._save_outputs(world, number_format, run.output_counts)
        if number_format == self.config.number_formats[0]:
            _write_thresholds(self.folder / "thresholds.json", graph, traced.trace)
            activity = run_activity(
                graph,
                run.layers,
                number_format=number_format,
                granularity="fused",
                num_samples=self.num_samples,
                num_steps=self.num_steps,
            )
            write_activity(self.folder / "activity.json", activity)

    def _fused(self, graph: Graph, inputs: Mapping[str, Array], number_format: NumberFormat, record: bool) -> Any:
        return run_fused(
            graph,
            inputs,
            number_format=number_format,
            batch_size=self.config.batch_size,
            probes=every_probe(graph) if record else (),
            progress=self.progress,
            timeout_s=self.config.timeout_s,
        )

    def _run_processes(self, graph: Graph, number_format: NumberFormat) -> None:
        num_samples = min(self.config.process_samples, self.num_samples)
        timed, refusal = in_lava_timing(graph)
        if timed is None and num_samples:
            print(f"one Process per node: not run. {refusal}", file=sys.stderr)
        elif num_samples:
            trace = run_processes(
                graph,
                self._first(num_samples),
                number_format=number_format,
                progress=self.progress,
                timeout_s=self.config.timeout_s,
            )
            stock = ", all of them stock" if is_stock_alone(graph) else ""
            self._compare(f"Lava {number_format}, one Process per node{stock}", trace, number_format, num_samples)

    def _compare(self, world: str, trace: Trace, number_format: NumberFormat, num_samples: int) -> None:
        inputs = self._first(num_samples)
        if number_format == "fixed_pt":
            reference = run_integer(self.exported.integer_graph, inputs)
            self.rungs.append(compare_exact(f"{SPECIFICATION} = {world}", SPECIFICATION, world, reference, trace))
        else:
            graph = self.exported.float_graph
            reference = run_float(graph, inputs).trace
            name = f"{YARDSTICK} ≈ {world}"
            self.rungs.append(compare_bounded(name, YARDSTICK, world, reference, trace, graph, inputs))

    def _run_witness(self) -> None:
        """Run stock Lava alone, with thresholds frozen: arithmetic that others wrote.

        Each layer's note says how many spikes the movement of the thresholds decides.
        """
        frozen = freeze_thresholds(self.exported.integer_graph)
        first = self._first(min(self.config.process_samples, self.num_samples))
        inputs = {name: array for name, array in first.items() if name in frozen.nodes}
        trace = run_processes(
            frozen, inputs, number_format="fixed_pt", progress=self.progress, timeout_s=self.config.timeout_s
        )
        moving = run_integer(self.exported.integer_graph, first)
        world = "stock Lava Dense + LIFReset, thresholds frozen"
        rung = compare_exact(f"{SPECIFICATION} = {world}", SPECIFICATION, world, run_integer(frozen, inputs), trace)
        layers = tuple(
            replace(
                layer, note=f"{int((moving[layer.name].s != trace[layer.name].s).sum())} spikes differ from moving θ"
            )
            for layer in rung.layers
        )
        self.rungs.append(replace(rung, layers=layers))

    def _first(self, num_samples: int) -> dict[str, Array]:
        return {name: array[:, :num_samples] for name, array in self.inputs.items()}

    def _save_outputs(self, world: str, number_format: NumberFormat, counts: Mapping[str, Array]) -> None:
        after = [host for host in self.exported.hosts if host.when == "after"]
        known = self.known | output_rates(counts, self.num_steps)
        outputs = run_host_segments(self.exported.folder, self.exported.hosts, "after", known)
        arrays = {name: outputs[name] for host in after for name in host.outputs}
        arrays |= {f"{name}_count": count for name, count in counts.items()}
        save_outputs(self.folder / f"outputs_{number_format}.h5", world, arrays)


def _save_inputs(path: Path, inputs: Mapping[str, Array]) -> None:
    """Keep the chip's inputs `[N, T, *shape]` as they were sent, quantised context included, for replays."""
    with h5py.File(path, "w") as file:
        for name, array in inputs.items():
            file.create_dataset(name, data=array.swapaxes(0, 1), compression="gzip", shuffle=True)


def _write_thresholds(path: Path, graph: Graph, trace: Trace) -> None:
    """Write how θ moved: smallest, median and largest over samples, per step."""
    rows = []
    for name, node in neurons(graph).items():
        theta = trace[name].theta
        if isinstance(node, DYNAMIC) and theta is not None:
            rows.append(
                {
                    "name": name,
                    "fraction_bits": node.controller.fraction_bits,
                    "min": theta.min(axis=1).tolist(),
                    "median": np.median(theta, axis=1).tolist(),
                    "max": theta.max(axis=1).tolist(),
                }
            )
    write_json(path, {"layers": rows})
