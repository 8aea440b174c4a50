"""`python -m export`: a trained network to NIR, integers and ONNX, checked against itself."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardware_profiles.artifact import atomic_folder, is_current, provenance, read_json
from hardware_profiles.command import check_files, run_command
from hardware_profiles.config import as_mapping, read_section
from hardware_profiles.errors import ConfigError
from hardware_profiles.rungs import PARITY_FILE, Rung, print_rungs, read_parity

from .config import ExportConfig
from .factory_source import source_files

EPILOG = """\
The network is an nn.Module whose forward computes one time step, forward(x) or forward(x, mem, ...), or loops over
time itself, over x[t] or x[:, t]; neurons keep their membranes (init_hidden=True) or are handed them. Its factory
returns it, or an export.deployment.Deployment (host parts before and after the chip, where forward has the time, dt).
Instead of a factory, name a .nir file of any framework.

examples:
  python -m export my_net:make_model --checkpoint weights.pt --example spikes.npz --out runs/mine
      spikes.npz holds one array per input of forward, [samples, steps, *shape], spikes 0/1 or small integers, and
      perhaps `labels` [samples]: then the accuracy by spike counts is measured too
  python -m export theirs.nir --dt 1e-4 --example spikes.npz --out runs/theirs
      arrays are named like the file's input nodes; NIR has no time step, so say the one it was made with
  python -m export my_net:make_model --checkpoint weights.pt --example spikes.npz --standard-only --out runs/portable
      NIR's own nodes only, for other readers; what they cannot say is refused by name

writes model.nir (float), integer_model.h5, network.onnx, network.net (lava-dl netx, if it can say the network),
host_*.onnx, deployment.json, parity.json, export_report.json.
exit code 1 if more than --max-mismatch spikes (or membranes) disagree with the network beyond rounding, 2 for bad
input.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    result = argparse.ArgumentParser(
        prog="python -m export",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("network", help="module:function (the current folder is searched), or a .nir file")
    result.add_argument("--checkpoint", type=Path, help=".safetensors, or torch.save(model.state_dict())")
    result.add_argument("--example", type=Path, required=True, help=".npz or HDF5 with inputs [N, T, *shape]")
    result.add_argument("--group", action="append", default=[], help="HDF5 group to read; repeat to concatenate")
    result.add_argument("--dt", type=float, help="time step in seconds of a .nir file that does not say it")
    result.add_argument("--calibrate", action="store_true", help="choose integer scales by the example's spikes")
    result.add_argument("--standard-only", action="store_true", help="write NIR's own nodes only, or refuse by name")
    result.add_argument(
        "--freeze-thresholds", action="store_true", help="with --standard-only: let dynamic thresholds stand still"
    )
    result.add_argument("--config", type=Path, help="TOML file with a table [export]; defaults are good")
    result.add_argument("--max-mismatch", type=int, default=0, help="disagreements with snnTorch allowed (default 0)")
    result.add_argument("--out", type=Path, required=True, help="folder to write; replaced as a whole")
    return result


def handle(args: argparse.Namespace) -> int:
    """Run the command."""
    _check(args)
    config = read_section(args.config, "export", ExportConfig) if args.config else ExportConfig()
    if args.calibrate:
        config = dataclasses.replace(config, calibrate=True)
    files = {"input": args.example} | ({"checkpoint": args.checkpoint} if args.checkpoint else {})
    files |= {"network": Path(args.network)} if _is_nir(args) else source_files(args.network)
    settings = {
        **as_mapping(config), "factory": args.network, "groups": args.group, "dt": args.dt,
        "standard_only": args.standard_only, "freeze_thresholds": args.freeze_thresholds,
    }  # fmt: skip
    manifest = provenance("export", settings, files)
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return _exit_code(read_parity(args.out / PARITY_FILE), args.max_mismatch)
    rungs = _export(args, config, manifest)
    _tell(args.out, rungs)
    return _exit_code(rungs, args.max_mismatch)


def _check(args: argparse.Namespace) -> None:
    """Refuse files that are not there and options that would be ignored, before torch is imported."""
    network = Path(args.network) if _is_nir(args) else None
    check_files(
        {"--example": args.example, "--checkpoint": args.checkpoint, "--config": args.config, "network": network}
    )
    if args.max_mismatch < 0:
        raise ConfigError(f"--max-mismatch {args.max_mismatch}: allowed is 0 or more")
    if args.freeze_thresholds and not args.standard_only:
        raise ConfigError("--freeze-thresholds: is for standard nodes; add --standard-only, or leave it out")
    if _is_nir(args) and args.checkpoint:
        raise ConfigError(f"--checkpoint {args.checkpoint}: a .nir file holds its own weights; leave it out")
    if args.dt is not None and not _is_nir(args):
        raise ConfigError(f"--dt {args.dt}: is for .nir files; a factory says it with Deployment(dt_s=...)")
    if args.dt is not None and not 0 < args.dt < math.inf:
        raise ConfigError(f"--dt {args.dt}: allowed is a positive number of seconds")


def _is_nir(args: argparse.Namespace) -> bool:
    return str(args.network).endswith(".nir")


def _export(args: argparse.Namespace, config: ExportConfig, manifest: Mapping[str, Any]) -> tuple[Rung, ...]:
    # torch takes seconds to import; help, refusals and what is up to date do without
    from hardware_profiles.profile import integer_format

    from .accuracy import LABELS
    from .arrays import load_arrays
    from .deployment import load_deployment, wanted_arrays
    from .export_network import NetworkExport, NirOptions
    from .nir_file import read_nir

    options = NirOptions(standard_only=args.standard_only, freeze_thresholds=args.freeze_thresholds)
    fmt = integer_format(config.profile)
    if _is_nir(args):
        path = Path(args.network)
        names = set(read_nir(path, args.dt).inputs())
        arrays = load_arrays(args.example, args.group, names, config.num_samples, {LABELS})
        labels = None if LABELS in names else arrays.pop(LABELS, None)
        with atomic_folder(args.out, manifest) as folder:
            return NetworkExport(fmt, config, options, folder, labels).export_nir(path, args.dt, arrays)
    deployment = load_deployment(args.network, args.checkpoint)
    needed, possible = wanted_arrays(deployment)
    names = needed | possible
    arrays = load_arrays(args.example, args.group, needed, config.num_samples, possible | {LABELS})
    labels = None if LABELS in names else arrays.pop(LABELS, None)
    with atomic_folder(args.out, manifest) as folder:
        return NetworkExport(fmt, config, options, folder, labels).export_deployment(deployment, args.network, arrays)


def _tell(out: Path, rungs: Sequence[Rung]) -> None:
    from .export_report import print_report
    from .package import REPORT_FILE

    print_report(read_json(out / REPORT_FILE))
    print_rungs(rungs)
    print(f"exported to {out}")


def _exit_code(rungs: Sequence[Rung], max_mismatch: int) -> int:
    """Say again of a folder that is up to date what was said when it was made."""
    claimed = [rung for rung in rungs if rung.exactness != "quantised"]
    mismatches = sum(
        layer.unexplained or 0 if rung.exactness == "bounded" else layer.mismatches
        for rung in claimed
        for layer in rung.layers
    )
    membranes = sum(layer.membrane_mismatches or 0 for rung in claimed for layer in rung.layers)
    if max(mismatches, membranes) <= max_mismatch:
        return 0
    also = f" and {membranes} membranes" if membranes else ""
    print(
        f"python -m export: {mismatches} spikes{also} differ from the network, allowed are {max_mismatch}",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(run_command(parser(), handle))
