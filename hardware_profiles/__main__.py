"""`python -m hardware_profiles`: look at profiles, price a run, write the report."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .activity import read_activity
from .artifact import atomic_folder, is_current, machine, provenance
from .command import run_command
from .config import as_mapping, read_section
from .energy import EnergyReport, price
from .energy_text import energy_text, profile_text
from .meters import find_nvml, find_rapl
from .profile import load_profile, profile_names, read_profile
from .reference import Bench, bound_reference, measure_reference
from .reference_file import ReferenceMeasurement, write_reference
from .report.contents import STAGES, gather, input_files
from .report_config import ReportConfig

DEFAULT_PROFILES = ReportConfig().profiles

EPILOG = """\
examples:
  python -m hardware_profiles list
  python -m hardware_profiles show loihi2
  python -m hardware_profiles check my_chip.toml
  python -m hardware_profiles energy runs/demo/simulation/activity.json --profile loihi2
  python -m hardware_profiles report --simulation runs/demo/simulation --export runs/demo/export --out runs/demo/report

A profile is a built-in name or the path of your own .toml file; docs/energy.md gives its format, and the rule
by which counts become joules. Set AXONPORT_DEBUG=1 to see tracebacks.
"""


@dataclass(frozen=True)
class Subcommand:
    """One subcommand: a line of help, its arguments, and what it does."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def _list(args: argparse.Namespace) -> None:
    for name in profile_names():
        profile = load_profile(name)
        print(f"{name:<12} {profile.family:<13} {profile.title}")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", help="built-in name (see `list`) or path of a .toml file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _show(args: argparse.Namespace) -> None:
    profile = load_profile(args.profile)
    print(json.dumps(dataclasses.asdict(profile), indent=1) if args.json else profile_text(profile))


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="your profile, a .toml file")


def _check(args: argparse.Namespace) -> None:
    profile = read_profile(args.file)
    print(
        f"{args.file}: profile '{profile.name}' is valid: {len(profile.coefficients)} coefficients, each with a source"
    )


def _energy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("activity", type=Path, help="activity.json, written by lava_runtime")
    _profile_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _profile_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        action="append",
        metavar="NAME|FILE",
        help=f"chip to price on; may be repeated (default: {' '.join(DEFAULT_PROFILES)})",
    )


def _energy(args: argparse.Namespace) -> None:
    activity = read_activity(args.activity)
    reports: list[EnergyReport] = [price(activity, load_profile(name)) for name in args.profile or DEFAULT_PROFILES]
    if args.json:
        print(json.dumps([dataclasses.asdict(report) for report in reports], indent=1))
    else:
        print("\n\n".join(energy_text(report) for report in reports))


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--simulation", type=Path, required=True, help="folder of lava_runtime: activity, parity")
    parser.add_argument("--export", type=Path, help="folder of export: parity, what was carried and quantised")
    parser.add_argument("--scores", type=Path, help="folder with accuracy.json")
    parser.add_argument("--training", type=Path, help="folder of training: its manifest, for provenance")
    parser.add_argument("--reference", type=Path, help="folder with reference.json (CPU/GPU)")
    _profile_argument(parser)
    _config_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write report.html, .json and .md into")


def _config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="TOML file with a table [report]; defaults are good")


def _read_config(path: Path | None) -> ReportConfig:
    return read_section(path, "report", ReportConfig) if path else ReportConfig()


def _report(args: argparse.Namespace) -> None:
    names = args.profile or list(_read_config(args.config).profiles)
    folders: dict[str, Path | None] = {stage: getattr(args, stage) for stage in STAGES}
    report = gather(folders, [load_profile(name) for name in names])
    inputs = input_files(folders) | {f"profile {name}": Path(name) for name in names if name not in profile_names()}
    manifest = provenance("report", {"profile": names}, inputs)
    if args.out.is_dir() and is_current(args.out, manifest):
        print(f"{args.out}: report is up to date", file=sys.stderr)
        return
    from .report.render import write_report  # matplotlib takes seconds to import

    with atomic_folder(args.out, manifest) as work:
        write_report(work, report)
    for line in report.absent:
        print(f"absent: {line}", file=sys.stderr)
    print(args.out / "report.html")


def _reference_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("factory", help="module:function that returns the network, as for python -m export")
    parser.add_argument("--checkpoint", type=Path, help="weights, as for python -m export")
    parser.add_argument("--input", type=Path, required=True, help=".npz or HDF5 with inputs [N, T, n]")
    parser.add_argument("--group", action="append", default=[], help="HDF5 group to read; repeat to concatenate")
    _config_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write reference.json into")


def _reference(args: argparse.Namespace) -> None:
    config = _read_config(args.config)
    files = {"input": args.input} | ({"checkpoint": args.checkpoint} if args.checkpoint else {})
    settings = {**as_mapping(config), "factory": args.factory, "groups": args.group}
    manifest = provenance("reference", settings, files)
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return
    measurements = _measure_all(args, config)
    with atomic_folder(args.out, manifest) as work:
        write_reference(work / "reference.json", measurements)
    for one in measurements:
        high = "?" if one.energy_high_j is None else f"{one.energy_high_j:.3g}"
        print(f"{one.device_name}, batch {one.batch}: {one.energy_low_j:.3g}..{high} J per inference [{one.badge}]")


def _measure_all(args: argparse.Namespace, config: ReportConfig) -> list[ReferenceMeasurement]:
    """Load the network and the largest batch once, and measure every batch size."""
    from export.arrays import load_arrays
    from export.deployment import load_deployment, wanted_arrays

    deployment = load_deployment(args.factory, args.checkpoint)
    needed, possible = wanted_arrays(deployment)
    arrays = load_arrays(args.input, args.group, needed, max(config.batch_sizes), possible)
    return [
        one
        for batch in config.batch_sizes
        for one in _reference_at(args.factory, deployment, {name: a[:batch] for name, a in arrays.items()}, config)
    ]


def _reference_at(
    factory: str, deployment: Any, arrays: dict[str, Any], config: ReportConfig
) -> list[ReferenceMeasurement]:
    """Measure one batch on the CPU, and on the GPU if there is one; else bound the GPU from its profile."""
    import torch

    from export.torch_reference import make_runner

    size = len(next(iter(arrays.values())))
    bench = Bench(window_s=config.window_s)
    common: dict[str, Any] = {
        "num_samples_per_run": size,
        "batch": size,
        "workload": f"{factory} in torch, float32",
    }
    run, flop = make_runner(deployment, arrays, "cpu")
    cpu = measure_reference(
        run,
        flop_per_run=flop,
        device_name=machine(),
        meter=find_rapl(),
        profile=load_profile(config.cpu_profile),
        bench=bench,
        **common,
    )
    gpu_profile = load_profile(config.gpu_profile)
    if not torch.cuda.is_available():
        return [cpu, bound_reference(flop_per_run=flop, device_name=gpu_profile.title, profile=gpu_profile, **common)]
    run, flop = make_runner(deployment, arrays, "cuda")
    name = torch.cuda.get_device_name()
    gpu = measure_reference(
        run, flop_per_run=flop, device_name=name, meter=find_nvml(), profile=gpu_profile, bench=bench, **common
    )
    return [cpu, gpu]


SUBCOMMANDS: dict[str, Subcommand] = {
    "list": Subcommand("print the built-in profiles", _no_arguments, _list),
    "show": Subcommand("print a profile with every source", _show_arguments, _show),
    "check": Subcommand("validate your own profile file", _check_arguments, _check),
    "energy": Subcommand("price the event counts of a run", _energy_arguments, _energy),
    "reference": Subcommand(
        "run the network in torch on this CPU (and GPU) for comparison", _reference_arguments, _reference
    ),
    "report": Subcommand("write report.html, report.json and report.md", _report_arguments, _report),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of `python -m hardware_profiles`."""
    parser = argparse.ArgumentParser(
        prog="python -m hardware_profiles",
        description="What a device is, and what a run on it costs: profiles, energies, the report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    for name, subcommand in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=subcommand.help, description=f"{subcommand.help.capitalize()}.")
        subcommand.add_arguments(subparser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    return run_command(build_parser(), lambda args: SUBCOMMANDS[args.subcommand].run(args), arguments)


if __name__ == "__main__":
    sys.exit(main())
