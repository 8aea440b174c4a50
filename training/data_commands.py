"""What the data subcommands take and do: render, prepare, picture, layout."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from hardware_profiles.config import read_section
from hardware_profiles.errors import ConfigError

# Subcommands import what they need when they run: PyAV, matplotlib and Lightning take seconds, and help, refusals
# and what is up to date do without.


def add_config_and_out(parser: argparse.ArgumentParser) -> None:
    """The arguments that most subcommands share."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML file, see configs/demo.toml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, replaced as a whole")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, metavar="N", help="clips at a time; the result is the same (default: all cores)"
    )


def add_render(parser: argparse.ArgumentParser) -> None:
    """Arguments of `render`."""
    add_config_and_out(parser)
    _add_workers(parser)


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """Arguments of `prepare`."""
    add_config_and_out(parser)
    parser.add_argument(
        "--videos", type=Path, required=True, metavar="DIR", help="folder of videos, searched with its subfolders"
    )
    _add_workers(parser)


def add_picture(parser: argparse.ArgumentParser) -> None:
    """Arguments of `picture`."""
    parser.add_argument("clip", type=Path, metavar="CLIP", help="any video file")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="picture to write")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take [preparation] from here instead of defaults")
    parser.add_argument("--duration", type=float, metavar="S", help="draw the first S seconds (default: all)")
    parser.add_argument("--size", type=int, default=192, metavar="PX", help="pixels per side for events (192)")
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="frames shown (8)")


def render(args: argparse.Namespace) -> int:
    """Write the embedded benchmark."""
    from .data.render import BenchmarkConfig, render_benchmark

    config = read_section(args.config, "benchmark", BenchmarkConfig)
    manifest = render_benchmark(config, args.out, num_workers=args.workers)
    if manifest is None:
        print(f"{args.out}: up to date")
    else:
        print(f"{args.out}: {manifest['num_clips']} {manifest['origin']}")
    return 0


def prepare(args: argparse.Namespace) -> int:
    """Turn a folder of videos into a data set."""
    from .data.prepare import PreparationConfig, prepare_dataset

    config = read_section(args.config, "preparation", PreparationConfig)
    manifest = prepare_dataset(config, args.videos, args.out, num_workers=args.workers)
    if manifest is None:
        print(f"{args.out}: up to date")
        return 0
    for reason in manifest["skipped"].values():
        print(f"skipped: {reason}", file=sys.stderr)
    for name in manifest["truncated"]:
        print(f"truncated: {name}", file=sys.stderr)
    print(
        f"{args.out}: {manifest['num_clips']} clips, {len(manifest['truncated'])} truncated, "
        f"{len(manifest['skipped'])} skipped; {manifest['origin']}"
    )
    return 0


def picture(args: argparse.Namespace) -> int:
    """Draw a clip."""
    if args.out.suffix != ".png":
        raise ConfigError(f"--out {args.out}: allowed is a name that ends in .png")
    from .data.picture import draw_picture
    from .data.prepare import PreparationConfig

    config = read_section(args.config, "preparation", PreparationConfig) if args.config else PreparationConfig()
    if args.duration is not None:
        config = dataclasses.replace(config, duration_s=args.duration)
    draw_picture(args.clip, args.out, config, size_px=args.size, num_columns=args.columns)
    print(args.out)
    return 0


def add_layout(parser: argparse.ArgumentParser) -> None:
    """Arguments of `layout`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, replaced as a whole")
    parser.add_argument("--name", required=True, help="the data set's folder below it, for example UCF")


def layout(args: argparse.Namespace) -> int:
    """Write a prepared data set in the field's layout."""
    from .data.avgzsl.write_layout import write_avgzsl_layout

    is_new = write_avgzsl_layout(args.data, args.out, args.name)
    print(args.out / args.name if is_new else f"{args.out}: up to date")
    return 0
