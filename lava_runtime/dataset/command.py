"""`python -m lava_runtime model.nir`: a data set on Lava, without comparing it with anything."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hardware_profiles.artifact import is_current, provenance
from hardware_profiles.command import check_files
from hardware_profiles.cores import num_cores
from hardware_profiles.errors import ConfigError

if TYPE_CHECKING:
    from hardware_profiles.activity import Activity

    from .run import DatasetRun, Part

BATCH_SIZE = 64
MODEL_SUFFIXES = (".nir", ".h5", ".hdf5")
"""Of model files; a path without one of them is an export folder."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of model files to the command line; their defaults show that they were not given."""
    group = parser.add_argument_group("model files")
    group.add_argument(
        "--granularity", choices=["fused", "processes"], help="one Lava Process (default), or one per node"
    )
    group.add_argument(
        "--target",
        choices=["simulation", "hardware"],
        help="hardware: a Loihi 2, with Intel's extension",
    )
    group.add_argument("--record", help="what to record in every step, as l2.v,l3.s; or all")
    group.add_argument("--dt", type=float, help="time step in seconds of a .nir file that does not say it")
    group.add_argument("--profile", help="hardware profile whose integer widths a .nir file gets (default loihi2)")
    group.add_argument(
        "--batch-size", type=int, help=f"samples side by side in the fused Process (default {BATCH_SIZE})"
    )
    group.add_argument("--workers", type=int, help="shards at a time (default: all cores; one with processes)")
    group.add_argument("--shard-samples", type=int, help="samples per shard (default: by memory and number of samples)")
    group.add_argument("--part", help="k/n: run only every n-th shard, for machines that share the folder of --out")
    group.add_argument(
        "--timeout", type=float, help="seconds without a finished time step that end a run (default 120)"
    )


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of model files that were given."""
    names = (
        *("granularity", "target", "record", "dt", "profile"),
        *("batch_size", "workers", "shard_samples", "part", "timeout"),
    )
    return {f"--{name.replace('_', '-')}": getattr(args, name) for name in names if getattr(args, name) is not None}


def handle_file(args: argparse.Namespace) -> int:
    """Run a model file on a data set."""
    _check(args)
    if not {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"} & os.environ.keys():
        os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported: workers share the cores, not the threads
    from .run import Part

    part = None if args.part is None else Part.read(args.part)
    manifest = provenance("dataset", _settings(args), {"model": args.model, "input": args.input})
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return 0
    _run(args, manifest, part)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what is wrong by itself, before anything large is imported."""
    check_files({"model": args.model, "--input": args.input})
    fused = args.granularity != "processes"
    if args.batch_size is not None and not fused:
        raise ConfigError(f"--batch-size {args.batch_size}: is for --granularity fused; leave it out")
    for option in ("samples", "batch_size", "workers", "shard_samples"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ConfigError(
                f"--{option.replace('_', '-')} {value}: allowed is at least 1; leave it out for the default"
            )
    for option in ("dt", "timeout"):
        value = getattr(args, option)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{option} {value}: allowed is a positive number of seconds")
    if args.number_format == "both":
        raise ConfigError("--number-format both: is for export folders, allowed are fixed_pt and floating_pt")


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what results depend on; how many workers, and how long they may stand still, changes nothing."""
    return {
        "granularity": args.granularity or "fused",
        "target": args.target or "simulation",
        "number_format": args.number_format or "fixed_pt",
        "record": args.record or "",
        "groups": args.group,
        "samples": args.samples,
        "dt": args.dt,
        "profile": args.profile,
        "batch_size": args.batch_size or BATCH_SIZE,
        "shard_samples": args.shard_samples,
    }


def _run(args: argparse.Namespace, manifest: Mapping[str, Any], part: Part | None) -> None:
    from ..model import load_model
    from ..preconditions import TIMEOUT_S
    from ..probes import read_probes
    from .compute import LavaSettings
    from .run import DatasetRun
    from .shards import default_samples_per_shard
    from .source import open_source

    settings = _settings(args)
    graph = load_model(args.model, settings["number_format"], dt_s=args.dt, profile=args.profile)
    if args.model.suffix == ".nir" and settings["number_format"] == "fixed_pt":
        print(
            f"{args.model}: integers chosen from ranges, without calibration; python -m export --calibrate does better"
        )
    lava = LavaSettings(
        granularity=settings["granularity"],
        number_format=settings["number_format"],
        probes=read_probes(settings["record"], graph),
        batch_size=settings["batch_size"],
        timeout_s=args.timeout or TIMEOUT_S,
        target=settings["target"],
    )
    with open_source(args.input, args.group, graph, args.samples) as source:
        samples_per_shard = args.shard_samples or default_samples_per_shard(
            graph, lava.probes, lava.granularity, source.num_samples, source.num_steps, lava.batch_size
        )
        run = DatasetRun(
            graph=graph,
            source=source,
            settings=lava,
            samples_per_shard=samples_per_shard,
            num_workers=args.workers or (num_cores() if lava.granularity == "fused" else 1),
            out=args.out,
            manifest=manifest,
        )
        began = time.monotonic()
        activity = run.run(part)
    if activity is None:
        print(f"{args.out}: part {args.part} is done; run without --part to put all parts together")
    else:
        _tell(activity, run, time.monotonic() - began)


def _tell(activity: Activity, run: DatasetRun, elapsed_s: float) -> None:
    """Print a short summary."""
    from hardware_profiles.number_format import format_count, format_share

    steps = activity.num_samples * activity.num_steps
    print(
        f"{activity.num_samples} samples × {activity.num_steps} steps on Lava, {activity.number_format}, "
        f"{activity.granularity}: {elapsed_s:.1f} s"
    )
    for layer in activity.layers:
        if layer.kind in ("lif", "dynamic_threshold_lif") or layer.spikes:
            rate = format_share(layer.spikes / (layer.num_neurons * steps))
            clipped = f", {format_count(layer.saturations)} membranes clipped" if layer.saturations else ""
            print(f"  {layer.name}: {format_count(layer.spikes)} spikes, {rate} of neuron-steps{clipped}")
    print(f"results in {run.out}: {', '.join(sorted(path.name for path in run.out.iterdir()))}")
    sys.stdout.flush()
