"""`python -m lava_runtime`: a data set on Lava; of an export folder, compared layer by layer with the specification."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardware_profiles.artifact import atomic_folder, is_current, provenance
from hardware_profiles.command import check_files, run_command
from hardware_profiles.config import as_mapping, read_section
from hardware_profiles.errors import ConfigError
from hardware_profiles.rungs import PARITY_FILE, Rung, print_rungs, read_parity

from .config import SimulationConfig
from .dataset.command import MODEL_SUFFIXES, add_options, given_options, handle_file

EPILOG = """\
examples:
  python -m lava_runtime runs/demo/export --input runs/demo/dataset/dataset.h5 \\
      --group test_seen --group test_unseen --out runs/demo/simulation
  python -m lava_runtime runs/mine --input spikes.npz --number-format fixed_pt --process-samples 1 --out runs/lava
      arrays [samples, steps, *shape], named like the inputs of model.nir (and of the host segments)

  python -m lava_runtime model.nir --input data.h5 --record l2.v,l3.s --out run
      any .nir file, or an integer_model.h5, on all cores; the same command goes on where a killed one stopped

An export folder: every sample runs on one fused Lava Process; the first --process-samples also run with one Lava
Process per node, stock Dense, Sparse and LIF wherever they can express it. Writes activity.json (event counts, what
energy is priced from), parity.json, thresholds.json, inputs.h5, outputs_*.h5.
A model file: writes outputs.h5 (counts [N, n] per output), records.h5 (layer/variable [N, T, n]), activity.json; see
python -m lava_runtime.plot.
exit code 1 if a rung of the parity ladder does not hold, 2 for bad input.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    result = argparse.ArgumentParser(
        prog="python -m lava_runtime",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("model", type=Path, help="folder written by python -m export, .nir file or integer_model.h5")
    result.add_argument("--input", type=Path, required=True, help=".npz or HDF5 with inputs [N, T, *shape]")
    result.add_argument("--group", action="append", default=[], help="HDF5 group to read; repeat to concatenate")
    result.add_argument("--samples", type=int, help="run only the first so many samples")
    result.add_argument("--number-format", choices=["fixed_pt", "floating_pt", "both"], help="default: as configured")
    result.add_argument("--out", type=Path, required=True, help="folder to write; replaced as a whole")
    folders = result.add_argument_group("export folders")
    folders.add_argument("--process-samples", type=int, help="samples that also run with one Process per node")
    folders.add_argument("--config", type=Path, help="TOML file with a table [simulation]; defaults are good")
    add_options(result)
    return result


def configure(args: argparse.Namespace) -> SimulationConfig:
    """Merge the configuration file and the command line."""
    config = read_section(args.config, "simulation", SimulationConfig) if args.config else SimulationConfig()
    if args.number_format and args.number_format != "both":
        config = dataclasses.replace(config, number_formats=(args.number_format,))
    elif args.number_format == "both":
        config = dataclasses.replace(config, number_formats=("fixed_pt", "floating_pt"))
    if args.process_samples is not None:
        config = dataclasses.replace(config, process_samples=args.process_samples)
    return config


def handle(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.model.suffix in MODEL_SUFFIXES and not args.model.is_dir():
        for option, value in (("--process-samples", args.process_samples), ("--config", args.config)):
            if value is not None:
                raise ConfigError(f"{option} {value}: is for export folders, {args.model} is a file; leave it out")
        return handle_file(args)
    for option, value in given_options(args).items():
        raise ConfigError(f"{option} {value}: is for model files, {args.model} is an export folder; leave it out")
    if args.samples is not None and args.samples < 1:
        raise ConfigError(f"--samples {args.samples}: allowed is at least 1; leave it out to run all")
    check_files({"--input": args.input, "--config": args.config})
    config = configure(args)
    settings = {**as_mapping(config), "groups": args.group, "samples": args.samples}
    manifest = provenance("simulation", settings, {"export": args.model, "input": args.input})
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return _exit_code(read_parity(args.out / PARITY_FILE))
    rungs = _simulate(args, config, manifest)
    print_rungs(rungs)
    print(f"simulated into {args.out}")
    return _exit_code(rungs)


def _simulate(args: argparse.Namespace, config: SimulationConfig, manifest: Mapping[str, Any]) -> tuple[Rung, ...]:
    # torch and ONNX Runtime take seconds to import; help, refusals and what is up to date do without
    from export.arrays import load_arrays
    from export.package import load_export

    from .simulation import Simulation

    exported = load_export(args.model)
    arrays = load_arrays(args.input, args.group, exported.host_inputs(), args.samples)
    with atomic_folder(args.out, manifest) as folder:
        return Simulation(exported, arrays, config, folder, progress=sys.stderr.isatty()).run()


def _exit_code(rungs: Sequence[Rung]) -> int:
    """Say again of a folder that is up to date what was said when it was made."""
    broken = [rung.name for rung in rungs if not rung.holds]
    for name in broken:
        print(f"python -m lava_runtime: does not hold: {name}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(run_command(parser(), handle))
