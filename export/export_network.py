"""One export from a loaded network to a full folder: graphs, host segments, parity and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.artifact import write_json
from hardware_profiles.rungs import PARITY_FILE, Rung, write_parity

from . import package
from .config import ExportConfig
from .deployment import Deployment, chip_input_specs
from .errors import ExportError
from .export_report import build_report
from .graph import Graph
from .graph_file import load_graph, save_graph
from .host_segment import (
    HostFile,
    chip_inputs,
    made_by_hosts,
    output_counts,
    output_rates,
    run_host_segments,
    write_host_segment,
)
from .interpreters.float_interpreter import run_float
from .interpreters.integer_interpreter import run_integer
from .netx_file import write_netx
from .nir_file import read_nir, write_nir
from .nodes import Norm
from .onnx_model.network import write_onnx
from .onnx_model.run import onnx_trace, run_onnx
from .parity import compare_bounded, compare_exact, compare_quantised
from .passes.fold_norm import fold_norm
from .passes.scale import Calibration
from .pipeline import lower
from .quantization.calibration import calibrate
from .quantization.quantization_report import quantization_report
from .reader import trace_network
from .torch_reference import run_torch
from .trace import Array, Trace

WORLD_TORCH = "snnTorch float32"
WORLD_READ = "graph as read, float32"
WORLD_FLOAT = "IR float32 (from the .nir file)"
WORLD_INTEGER = "NumPy integer interpreter"
WORLD_ONNX = "ONNX Runtime float32"


@dataclass(frozen=True, kw_only=True)
class NirOptions:
    """How `model.nir` is written.

    Attributes:
        standard_only: standard NIR nodes only; what they cannot say is refused by name.
        freeze_thresholds: with `standard_only`, let dynamic thresholds stand still; this changes spikes.
    """

    standard_only: bool = False
    freeze_thresholds: bool = False


@dataclass(frozen=True, eq=False)
class _Worlds:
    """The same inputs in several worlds; `torch` only where a network was read."""

    torch: Trace | None
    read: Trace
    float: Trace
    integer: Trace


class NetworkExport:
    """Exports a network into a folder, and checks what was written against the network."""

    def __init__(self, fmt: IntegerFormat, config: ExportConfig, options: NirOptions, folder: Path) -> None:
        """Prepare an export.

        Args:
            fmt: integer widths of the device.
            config: samples, calibration and ONNX.
            options: how NIR is written.
            folder: an existing folder.
        """
        self.fmt, self.config, self.options, self.folder = fmt, config, options, folder
        self.notes: list[str] = []
        self.rungs: list[Rung] = []

    def export_deployment(self, deployment: Deployment, factory: str, arrays: Mapping[str, Array]) -> tuple[Rung, ...]:
        """Export a network with its host segments.

        Args:
            deployment: the network with its weights.
            factory: `module:function` it came from.
            arrays: inputs `[N, ...]` of the host segments and of the chip, N ≥ 1.

        Returns:
            The rungs of the parity ladder that this stage climbs.
        """
        before, _ = self._write_segments(deployment, "before", arrays)
        # the chip receives what the deployed host sends, in every world; the snnTorch world keeps torch's own read-out
        sent = run_host_segments(self.folder, before, "before", arrays)
        specs = chip_input_specs(deployment, sent)
        traced = trace_network(deployment.chip, deployment.dt_s, specs, deployment.time_axis)
        inputs = chip_inputs(traced.graph, sent, made_by_hosts(before))
        as_read = traced.graph
        float_graph, integer_graph = self._write_models(as_read, inputs)
        worlds = self._climb(as_read, float_graph, integer_graph, inputs, run_torch(deployment.chip, traced, inputs))
        num_steps = len(next(iter(inputs.values())))
        assert worlds.torch is not None
        known = sent | output_rates(output_counts(as_read, worlds.torch), num_steps)
        after, known = self._write_segments(deployment, "after", known)
        package.save_deployment(self.folder, factory, before + after)
        self._finish(as_read, float_graph, integer_graph, inputs, deployment.chip, before + after)
        if after:
            integer_rates = output_rates(output_counts(integer_graph, worlds.integer), num_steps)
            self._save_outputs(after, known, sent | integer_rates)
        return tuple(self.rungs)

    def export_nir(self, path: Path, dt_s: float | None, arrays: Mapping[str, Array]) -> tuple[Rung, ...]:
        """Export a `.nir` file that any framework wrote.

        Args:
            path: the file.
            dt_s: its time step in seconds, if the file does not say it.
            arrays: inputs `[N, T, *shape]` under the names of its input nodes.

        Returns:
            The rungs of the parity ladder that this stage climbs.
        """
        as_read = read_nir(path, dt_s)
        inputs = chip_inputs(as_read, arrays)
        float_graph, integer_graph = self._write_models(as_read, inputs)
        self._climb(as_read, float_graph, integer_graph, inputs, None)
        package.save_deployment(self.folder, str(path), ())
        self._finish(as_read, float_graph, integer_graph, inputs, None, ())
        return tuple(self.rungs)

    def _write_models(self, as_read: Graph, inputs: Mapping[str, Array]) -> tuple[Graph, Graph]:
        """Write NIR, integers, ONNX and netx; from here on, only what is read back counts."""
        folded = fold_norm(as_read)
        nir_path, integer_path = self.folder / package.NIR_FILE, self.folder / package.INTEGER_FILE
        write_nir(
            folded,
            nir_path,
            standard_only=self.options.standard_only,
            freeze_thresholds=self.options.freeze_thresholds,
        )
        float_graph = package.load_float_graph(self.folder, self.fmt)
        save_graph(lower(float_graph, self.fmt, self._calibration(float_graph, inputs)), integer_path)
        integer_graph = load_graph(integer_path)
        self._write_netx(integer_graph)
        return float_graph, integer_graph

    def _write_netx(self, integer_graph: Graph) -> None:
        """Write what lava-dl's netx can express; its simulation takes wider weights than a chip."""
        path = self.folder / package.NETX_FILE
        try:
            write_netx(integer_graph, path)
            return
        except ExportError as error:
            refusal = str(error)
        try:
            write_netx(integer_graph, path, simulator_only=True)
            self.notes.append(f"{package.NETX_FILE}: for Lava's simulation only ({refusal})")
        except ExportError as error:
            self.notes.append(f"no {package.NETX_FILE}: {error}")

    def _calibration(self, float_graph: Graph, inputs: Mapping[str, Array]) -> Calibration | None:
        if not self.config.calibrate:
            return None
        found = calibrate(float_graph, _first(inputs, self.config.calibration_samples), self.fmt)
        self.notes.append(
            f"calibrated: {found.differ_without} of {found.num_decisions} spikes differed without, "
            f"{found.differ_with} with it"
        )
        return found

    def _climb(
        self,
        as_read: Graph,
        float_graph: Graph,
        integer_graph: Graph,
        inputs: Mapping[str, Array],
        torch_trace: Trace | None,
    ) -> _Worlds:
        """Run all worlds and compare each with the next."""
        chip = {name: array for name, array in inputs.items() if name in float_graph.nodes}
        worlds = _Worlds(
            torch=torch_trace,
            read=run_float(as_read, inputs).trace,
            float=run_float(float_graph, chip).trace,
            integer=run_integer(integer_graph, chip),
        )
        self._compare_floats(as_read, inputs, worlds)
        if self.config.onnx_samples:
            self._compare_onnx(float_graph, chip)
        name = f"{WORLD_FLOAT} → {WORLD_INTEGER}"
        self.rungs.append(compare_quantised(name, WORLD_FLOAT, WORLD_INTEGER, worlds.float, worlds.integer))
        return worlds

    def _compare_floats(self, as_read: Graph, inputs: Mapping[str, Array], worlds: _Worlds) -> None:
        """Compare snnTorch with the file: exactly, or by way of the graph as read if something was rewritten."""
        rewritten = bool(as_read.of_type(Norm)) or self.options.standard_only
        if worlds.torch is not None and not rewritten:
            name = f"{WORLD_TORCH} = {WORLD_FLOAT}"
            self.rungs.append(compare_exact(name, WORLD_TORCH, WORLD_FLOAT, worlds.torch, worlds.float))
            return
        if worlds.torch is not None:
            name = f"{WORLD_TORCH} = {WORLD_READ}"
            self.rungs.append(compare_exact(name, WORLD_TORCH, WORLD_READ, worlds.torch, worlds.read))
        pair = (WORLD_READ, WORLD_FLOAT, worlds.read, worlds.float)
        if self.options.freeze_thresholds:
            self.rungs.append(compare_quantised(f"{WORLD_READ} → {WORLD_FLOAT}, thresholds frozen", *pair))
        elif rewritten:
            self.rungs.append(compare_bounded(f"{WORLD_READ} ≈ {WORLD_FLOAT}", *pair, as_read, inputs))
        else:
            self.rungs.append(compare_exact(f"{WORLD_READ} = {WORLD_FLOAT}", *pair))

    def _compare_onnx(self, float_graph: Graph, inputs: Mapping[str, Array]) -> None:
        path = self.folder / package.ONNX_FILE
        write_onnx(float_graph, path, record=True)
        first = _first(inputs, self.config.onnx_samples)
        trace = onnx_trace(float_graph, run_onnx(path, first))
        name = f"{WORLD_FLOAT} ≈ {WORLD_ONNX}"
        reference = run_float(float_graph, first).trace
        self.rungs.append(compare_bounded(name, WORLD_FLOAT, WORLD_ONNX, reference, trace, float_graph, first))
        write_onnx(float_graph, path)

    def _finish(
        self,
        as_read: Graph,
        float_graph: Graph,
        integer_graph: Graph,
        inputs: Mapping[str, Array],
        network: nn.Module | None,
        hosts: tuple[HostFile, ...],
    ) -> None:
        """Write parity and report."""
        write_parity(self.folder / PARITY_FILE, self.rungs)
        chip = _first(
            {name: array for name, array in inputs.items() if name in float_graph.nodes},
            self.config.calibration_samples,
        )
        rows = quantization_report(
            float_graph,
            integer_graph,
            chip,
            run_float(float_graph, chip).trace,
            run_integer(integer_graph, chip),
        )
        write_json(
            self.folder / package.REPORT_FILE,
            build_report(as_read, float_graph, integer_graph, network, rows, hosts, self.rungs, self.notes),
        )

    def _write_segments(
        self, deployment: Deployment, when: Literal["before", "after"], arrays: Mapping[str, Array]
    ) -> tuple[tuple[HostFile, ...], dict[str, Array]]:
        files, known = [], dict(arrays)
        for segment in deployment.hosts:
            if segment.when == when:
                file, outputs = write_host_segment(segment, known, self.folder)
                files.append(file)
                known |= outputs
        return tuple(files), known

    def _save_outputs(
        self, after: tuple[HostFile, ...], known: Mapping[str, Array], known_integer: Mapping[str, Array]
    ) -> None:
        """Save what the read-out says in the float and in the integer world, for scoring."""
        names = [name for host in after for name in host.outputs]
        path = self.folder / "outputs_float.h5"
        package.save_outputs(path, WORLD_TORCH, {name: known[name] for name in names})
        integer = run_host_segments(self.folder, after, "after", known_integer)
        path = self.folder / "outputs_integer.h5"
        package.save_outputs(path, WORLD_INTEGER, {name: integer[name] for name in names})


def _first(inputs: Mapping[str, Array], num_samples: int) -> dict[str, Array]:
    return {name: array[:, :num_samples] for name, array in inputs.items()}
