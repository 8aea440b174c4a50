"""`python -m benchmarks`: time what a user waits for, beside a plain way to do the same work."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from hardware_profiles.artifact import commit, machine, write_json
from hardware_profiles.command import run_command
from hardware_profiles.errors import ConfigError

from . import events, lava_chain, lava_convolution, onnx_scan, training_leaky, training_step
from .comparison import Comparison, Skipped

BENCHMARKS: dict[str, Callable[[bool, int], Comparison]] = {
    "lava": partial(lava_chain.compare, size=lava_chain.BUSY),
    "lava-sparse": partial(lava_chain.compare, size=lava_chain.SPARSE),
    "lava-convolution": lava_convolution.compare,
    "events": partial(events.compare, height_px=256, width_px=256),
    "events-346x260": partial(events.compare, height_px=260, width_px=346),
    "training-64": partial(training_leaky.compare, case=training_leaky.SMALL),
    "training-784": partial(training_leaky.compare, case=training_leaky.LARGE),
    "training-chip": training_step.compare,
    "training-64-cuda": partial(training_leaky.compare, case=training_leaky.SMALL, device="cuda"),
    "training-784-cuda": partial(training_leaky.compare, case=training_leaky.LARGE, device="cuda"),
    "onnx-1": partial(onnx_scan.compare, batch=1),
    "onnx-8": partial(onnx_scan.compare, batch=8),
    "onnx-128": partial(onnx_scan.compare, batch=128),
}
GROUPS = {"training": tuple(name for name in BENCHMARKS if name.startswith("training-"))}
"""Names that stand for several benchmarks."""
HIGH_LOAD = 0.5
"""Processes that want a core, per core, above which timings say little."""
EPILOG = """examples:
  python -m benchmarks                          all of them, minutes
  python -m benchmarks --quick                  small sizes, to see that they run
  python -m benchmarks lava --rounds 7 --out bench.json

Contenders run in turns, so that all meet the same load; compare ratios, not times, across machines.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Timings with baselines: Lava runs, event generation, training steps, ONNX Runtime.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = ", ".join([*BENCHMARKS, *(f"{group} ({len(names)} of them)" for group, names in GROUPS.items())])
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {which}; all if none")
    parser.add_argument("--quick", action="store_true", help="small sizes; the figures say little")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contender; medians are shown (default 5)")
    parser.add_argument("--out", type=Path, help="also write all figures to this JSON file")
    return parser


def _run(args: argparse.Namespace) -> None:
    names = [name for asked in args.names or BENCHMARKS for name in GROUPS.get(asked, (asked,))]
    for name in names:
        if name not in BENCHMARKS:
            allowed = ", ".join([*BENCHMARKS, *GROUPS])
            raise ConfigError(f"benchmark '{name}': there is none; allowed are {allowed}, choose from them")
    if args.rounds < 1:
        raise ConfigError(f"--rounds is {args.rounds}, allowed is at least 1")
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    where = f"{machine()}; commit {commit()}; one torch thread; load average {load:.1f} at the start"
    if load > HIGH_LOAD * (os.cpu_count() or 1):
        print(f"warning: load average is {load:.1f}; others use this machine, so times are too long", file=sys.stderr)
    comparisons: dict[str, Comparison] = {}
    print(where)
    for name in names:
        try:
            comparisons[name] = BENCHMARKS[name](args.quick, args.rounds)
        except Skipped as reason:
            print(f"\n{name} is skipped: {reason}", flush=True)
            continue
        print(f"\n{comparisons[name].table()}", flush=True)
    if args.out:
        found = {name: dataclasses.asdict(comparison) for name, comparison in comparisons.items()}
        write_json(args.out, {"format": "axonport-benchmarks-1", "where": where, "comparisons": found})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(build_parser(), _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
