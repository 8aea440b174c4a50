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
from .accuracy import Accuracy, measure_accuracy
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
from .ladder import WORLD_INTEGER, WORLD_TORCH, Models, climb, compare_onnx
from .netx_file import write_netx
from .nir_file import read_nir, write_nir
from .nodes import DYNAMIC, Norm
from .passes.fold_norm import fold_norm
from .passes.recognise_integrators import recognise_integrators
from .passes.scale import Calibration
from .pipeline import lower
from .quantization.calibration import calibrate
from .quantization.quantization_report import quantization_report
from .reader import trace_network
from .torch_reference import run_torch
from .trace import Array, Trace, first_samples
from .user_code import user_code


@dataclass(frozen=True, kw_only=True)
class NirOptions:
    """How `model.nir` is written.

    Attributes:
        standard_only: standard NIR nodes only; what they cannot say is refused by name.
        freeze_thresholds: with `standard_only`, let dynamic thresholds stand still; this changes spikes.
    """

    standard_only: bool = False
    freeze_thresholds: bool = False


class NetworkExport:
    """Exports a network into a folder, and checks what was written against the network."""

    def __init__(
        self,
        fmt: IntegerFormat,
        config: ExportConfig,
        options: NirOptions,
        folder: Path,
        labels: Array | None = None,
    ) -> None:
        """Prepare an export.

        Args:
            fmt: integer widths of the device.
            config: samples, calibration and ONNX.
            options: how NIR is written.
            folder: an existing folder.
            labels: classes `[N]`, to measure accuracy by spike counts; None to measure none.
        """
        self.fmt, self.config, self.options, self.folder, self.labels = fmt, config, options, folder, labels
        self.accuracy: Accuracy | None = None
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
        with user_code(f"network {factory}: its forward", "mend it"):
            traced = trace_network(deployment.chip, deployment.dt_s, specs, deployment.time_axis)
            inputs = chip_inputs(traced.graph, sent, made_by_hosts(before))
            torch_trace = run_torch(deployment.chip, traced, inputs)
        models = self._write_models(traced.graph, inputs)
        integer_trace = self._climb(models, inputs, torch_trace)
        num_steps = len(next(iter(inputs.values())))
        known = sent | output_rates(output_counts(models.as_read, torch_trace), num_steps)
        after, known = self._write_segments(deployment, "after", known)
        package.save_deployment(self.folder, factory, before + after)
        self._finish(models, inputs, deployment.chip, before + after)
        if after:
            integer_rates = output_rates(output_counts(models.integer_graph, integer_trace), num_steps)
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
        models = self._write_models(as_read, inputs)
        self._climb(models, inputs, None)
        package.save_deployment(self.folder, str(path), ())
        self._finish(models, inputs, None, ())
        return tuple(self.rungs)

    def _write_models(self, as_read: Graph, inputs: Mapping[str, Array]) -> Models:
        """Write NIR, integers and netx; from here on, only what is read back counts."""
        nir_path, integer_path = self.folder / package.NIR_FILE, self.folder / package.INTEGER_FILE
        standard_only, frozen = self.options.standard_only, self.options.freeze_thresholds
        write_nir(fold_norm(as_read), nir_path, standard_only=standard_only, freeze_thresholds=frozen)
        written = read_nir(nir_path)
        float_graph = recognise_integrators(written, self.fmt)
        save_graph(lower(float_graph, self.fmt, self._calibration(float_graph, inputs)), integer_path)
        integer_graph = load_graph(integer_path)
        self._write_netx(integer_graph)
        rewritten = bool(as_read.of_type(Norm)) or standard_only or float_graph is not written
        stand_still = frozen and bool(as_read.of_type(DYNAMIC))
        return Models(
            as_read=as_read,
            float_graph=float_graph,
            integer_graph=integer_graph,
            carried="frozen" if stand_still else "rewritten" if rewritten else "as_is",
        )

    def _climb(self, models: Models, inputs: Mapping[str, Array], torch_trace: Trace | None) -> Trace:
        """Compare all worlds, and return the integers'."""
        climbed = climb(models, inputs, torch_trace)
        self.rungs += climbed.rungs
        if self.labels is not None:
            worlds = {
                "float": (models.float_graph, climbed.float_trace),
                "integer": (models.integer_graph, climbed.integer_trace),
            }
            self.accuracy = measure_accuracy(worlds, self.labels)
        if self.config.onnx_samples:
            path = self.folder / package.ONNX_FILE
            self.rungs.append(compare_onnx(models, inputs, self.config.onnx_samples, path))
        return climbed.integer_trace

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
        found = calibrate(float_graph, first_samples(inputs, self.config.calibration_samples), self.fmt)
        self.notes.append(
            f"calibrated: {found.differ_without} of {found.num_decisions} spikes differed without, "
            f"{found.differ_with} with it"
        )
        return found

    def _finish(
        self,
        models: Models,
        inputs: Mapping[str, Array],
        network: nn.Module | None,
        hosts: tuple[HostFile, ...],
    ) -> None:
        """Write parity and report."""
        write_parity(self.folder / PARITY_FILE, self.rungs)
        chip = first_samples(models.on_chip(inputs), self.config.calibration_samples)
        num_samples = next(iter(inputs.values())).shape[1]
        if num_samples > self.config.calibration_samples:
            covered = f"the first {self.config.calibration_samples} of {num_samples} samples"
            self.notes.append(f"what integers change, per layer: on {covered} (calibration_samples)")
        rows = quantization_report(
            models.float_graph,
            models.integer_graph,
            chip,
            run_float(models.float_graph, chip).trace,
            run_integer(models.integer_graph, chip),
        )
        report = build_report(models, network, rows, hosts, self.notes, self.accuracy)
        write_json(self.folder / package.REPORT_FILE, report)

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
