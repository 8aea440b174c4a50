"""`python -m export`: a trained network to NIR, integers and ONNX, checked against itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardware_profiles.artifact import atomic_folder, is_current, provenance
from hardware_profiles.command import run_command
from hardware_profiles.config import as_mapping, read_section
from hardware_profiles.rungs import PARITY_FILE, Rung, print_rungs, read_parity

from .config import ExportConfig

EPILOG = """\
The network is a module whose forward computes ONE time step: forward(x) with init_hidden=True neurons, or
forward(x, mem, ...) with membranes passed by hand. The factory returns it, or an export.deployment.Deployment.

examples:
  python -m export my_net:make_model --checkpoint weights.pt --input spikes.npz --out runs/mine
      spikes.npz holds one array per parameter of forward, [samples, steps, channels], spikes 0/1
  python -m export training.mdst:make_deployment --checkpoint runs/demo/training/checkpoint.safetensors \\
      --input runs/demo/dataset/dataset.h5 --group test_seen --group test_unseen --out runs/demo/export

writes model.nir (float), integer_model.h5, host_*.onnx, deployment.json, parity.json, export_report.json.
exit code 1 if snnTorch and the exported graph disagree in more than --max-mismatch neuron-steps, 2 for bad input.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    result = argparse.ArgumentParser(
        prog="python -m export",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("factory", help="module:function that returns the network; the current folder is searched")
    result.add_argument("--checkpoint", type=Path, help=".safetensors, or torch.save(model.state_dict())")
    result.add_argument("--input", type=Path, required=True, help=".npz or HDF5 with example inputs [N, T, n]")
    result.add_argument("--group", action="append", default=[], help="HDF5 group to read; repeat to concatenate")
    result.add_argument("--config", type=Path, help="TOML file with a table [export]; defaults are good")
    result.add_argument("--max-mismatch", type=int, default=0, help="spikes that may differ from snnTorch (default 0)")
    result.add_argument("--out", type=Path, required=True, help="folder to write; replaced as a whole")
    return result


def handle(args: argparse.Namespace) -> int:
    """Run the command."""
    config = read_section(args.config, "export", ExportConfig) if args.config else ExportConfig()
    files = {"input": args.input} | ({"checkpoint": args.checkpoint} if args.checkpoint else {})
    settings = {**as_mapping(config), "factory": args.factory, "groups": args.group}
    manifest = provenance("export", settings, files)
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return _exit_code(read_parity(args.out / PARITY_FILE), args.max_mismatch)
    rungs = _export(args, config, manifest)
    print_rungs(rungs)
    print(f"exported to {args.out}")
    return _exit_code(rungs, args.max_mismatch)


def _export(args: argparse.Namespace, config: ExportConfig, manifest: Mapping[str, Any]) -> tuple[Rung, ...]:
    # torch takes seconds to import; help, refusals and what is up to date do without
    from hardware_profiles.profile import integer_format

    from .arrays import load_arrays
    from .deployment import load_deployment, needed_arrays
    from .export_network import export_network

    deployment = load_deployment(args.factory, args.checkpoint)
    arrays = load_arrays(args.input, args.group, needed_arrays(deployment), config.num_samples)
    with atomic_folder(args.out, manifest) as folder:
        return export_network(deployment, args.factory, arrays, integer_format(config.profile), folder)


def _exit_code(rungs: Sequence[Rung], max_mismatch: int) -> int:
    """Say again of a folder that is up to date what was said when it was made."""
    mismatches = sum(layer.mismatches for rung in rungs if rung.exactness == "exact" for layer in rung.layers)
    if mismatches <= max_mismatch:
        return 0
    print(f"python -m export: {mismatches} spikes differ from snnTorch, allowed are {max_mismatch}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(run_command(parser(), handle))
