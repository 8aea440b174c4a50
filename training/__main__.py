"""`python -m training`: render the benchmark, prepare videos, draw a clip, train the MDST, score any world."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Callable, Sequence
from glob import escape
from pathlib import Path
from typing import NamedTuple

from hardware_profiles.artifact import atomic_folder, is_current, provenance, read_json
from hardware_profiles.command import run_command
from hardware_profiles.config import as_mapping, read_section
from hardware_profiles.errors import ConfigError

from .config import ModelConfig, TrainingConfig

PROGRAM = "python -m training"
# Subcommands import what they need when they run: PyAV, matplotlib and Lightning take seconds, and help, refusals
# and what is up to date do without.


class Subcommand(NamedTuple):
    """One entry of the command: its name, what it teaches, its arguments, and what it does."""

    name: str
    summary: str
    explanation: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    handle: Callable[[argparse.Namespace], int]


def _add_config_and_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML file, see configs/demo.toml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, replaced as a whole")


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    _add_config_and_out(parser)
    parser.add_argument(
        "--videos", type=Path, required=True, metavar="DIR", help="folder of videos, searched with its subfolders"
    )


def _add_picture(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, metavar="CLIP", help="any video file")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="picture to write")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take [preparation] from here instead of defaults")
    parser.add_argument("--duration", type=float, metavar="S", help="draw the first S seconds (default: all)")
    parser.add_argument("--size", type=int, default=192, metavar="PX", help="pixels per side for events (192)")
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="frames shown (8)")


def _render(args: argparse.Namespace) -> int:
    from .data.render import BenchmarkConfig, render_benchmark

    manifest = render_benchmark(read_section(args.config, "benchmark", BenchmarkConfig), args.out)
    print(f"{args.out}: up to date" if manifest is None else f"{args.out}: {manifest['num_clips']} clips")
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from .data.prepare import PreparationConfig, prepare_dataset

    manifest = prepare_dataset(read_section(args.config, "preparation", PreparationConfig), args.videos, args.out)
    if manifest is None:
        print(f"{args.out}: up to date")
        return 0
    for reason in manifest["skipped"].values():
        print(f"skipped: {reason}", file=sys.stderr)
    for name in manifest["truncated"]:
        print(f"truncated: {name}", file=sys.stderr)
    print(
        f"{args.out}: {manifest['num_clips']} clips, {len(manifest['truncated'])} truncated, "
        f"{len(manifest['skipped'])} skipped"
    )
    return 0


def _picture(args: argparse.Namespace) -> int:
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


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, replaced as a whole")
    parser.add_argument("--name", required=True, help="the data set's folder below it, for example UCF")


def _layout(args: argparse.Namespace) -> int:
    from .data.avgzsl.write_layout import write_avgzsl_layout

    is_new = write_avgzsl_layout(args.data, args.out, args.name)
    print(args.out / args.name if is_new else f"{args.out}: up to date")
    return 0


def _add_fit(parser: argparse.ArgumentParser) -> None:
    _add_config_and_out(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "outputs", type=Path, nargs="+", metavar="OUTPUTS", help="outputs_*.h5 of export or lava_runtime"
    )
    parser.add_argument("--training", type=Path, required=True, metavar="DIR", help="folder written by `fit`")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, replaced as a whole")


def _fit(args: argparse.Namespace) -> int:
    model = read_section(args.config, "model", ModelConfig)
    config = read_section(args.config, "training", TrainingConfig)
    manifest = provenance("fit", {"model": as_mapping(model), "training": as_mapping(config)}, {"data": args.data})
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return 0
    from .fit import METRICS, run_fit

    out = args.out.resolve()  # `.` has no name
    resume = f".{out.name}.resume-"
    with atomic_folder(args.out, manifest) as folder:
        run_fit(args.data, model, config, folder, out.parent / f"{resume}{manifest['key'][:12]}")
        test = read_json(folder / METRICS)["test"]
    for work in out.parent.glob(f"{escape(resume)}*"):  # of this run, and of runs given up
        shutil.rmtree(work, ignore_errors=True)
    print(f"{args.out}: test S {test['S']:.1f} U {test['U']:.1f} HM {test['HM']:.1f} ZSL {test['ZSL']:.1f} %")
    return 0


def _score(args: argparse.Namespace) -> int:
    inputs = {f"outputs {index}": path for index, path in enumerate(args.outputs)}
    manifest = provenance("score", {}, {**inputs, "training": args.training, "data": args.data})
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return 0
    from .fit import run_score

    with atomic_folder(args.out, manifest) as folder:
        result = run_score(args.training, args.data, args.outputs, folder)
    for row in result["rows"]:
        print(f"{row['world']:<32} S {row['S']:5.1f}  U {row['U']:5.1f}  HM {row['HM']:5.1f}  ZSL {row['ZSL']:5.1f} %")
    return 0


SUBCOMMANDS = (
    Subcommand(
        "render",
        "write the embedded audio-visual benchmark as video files",
        """Renders classes composed of object × motion × sound as ordinary mp4 files with sound, some combinations
held out, to <out>/<partition>/<class>/<nnn>.mp4 with classes.json. Reads section [benchmark].
The same seed gives the same frames.

example:
  python -m training render --config configs/demo.toml --out runs/demo/videos""",
        _add_config_and_out,
        _render,
    ),
    Subcommand(
        "prepare",
        "turn a folder of videos into spikes and features",
        """Reads every video below --videos (anything FFmpeg decodes), turns frames into ON/OFF events and sound into
band energies and events, and writes <out>/dataset.h5. Reads section [preparation].
A folder with classes.json (from render, or your own) is read as <partition>/<class>/<clip>; any other folder
becomes one unlabelled partition, clips.

examples:
  python -m training prepare --config configs/demo.toml --videos runs/demo/videos --out runs/demo/dataset
  python -m training prepare --config my.toml --videos ~/clips --out runs/clips""",
        _add_prepare,
        _prepare,
    ),
    Subcommand(
        "layout",
        "write a prepared data set as feature files of the field's layout",
        """Averages the frame and audio features of every clip and writes them as <out>/<name>/class-split and
<out>/<name>/features/main_features, one h5 file per class and stage, as the code of the AVCA family reads them
(docs/data.md). Events have no place in that layout.

example:
  python -m training layout --data runs/demo/dataset --out runs/demo/layout --name Demo""",
        _add_layout,
        _layout,
    ),
    Subcommand(
        "picture",
        "draw a clip's frames beside its events",
        """Draws frames, ON (blue) and OFF (red) events, mel band energies and their events, time running to the right.

examples:
  python -m training picture clip.mp4 --out clip.png
  python -m training picture clip.mp4 --out clip.png --duration 2 --columns 6 --config configs/demo.toml""",
        _add_picture,
        _picture,
    ),
    Subcommand(
        "fit",
        "train the MDST on a prepared data set",
        """Trains motion streams, context stream and read-out, keeps the epoch with the best validation HM, and writes
checkpoint.safetensors and metrics.json. A killed run resumes at its last epoch. Reads [model] and [training].

example:
  python -m training fit --config configs/demo.toml --data runs/demo/dataset --out runs/demo/training""",
        _add_fit,
        _fit,
    ),
    Subcommand(
        "score",
        "score embeddings of any world: S, U, HM, ZSL",
        """Classifies the test clips by the embeddings that export (float, integer) and lava_runtime (Lava) wrote, with
the offset that was chosen on the validation classes in training, and writes accuracy.json.

example:
  python -m training score runs/demo/export/outputs_float.h5 runs/demo/simulation/outputs_fixed_pt.h5 \\
      --training runs/demo/training --data runs/demo/dataset --out runs/demo/scores""",
        _add_score,
        _score,
    ),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m training` with all subcommands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Videos with sound to events, and spiking networks trained on them.",
        epilog="Each subcommand has its own --help with examples. AXONPORT_DEBUG=1 shows tracebacks.",
    )
    parsers = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for entry in SUBCOMMANDS:
        sub = parsers.add_parser(
            entry.name,
            help=entry.summary,
            description=f"{entry.summary[0].upper()}{entry.summary[1:]}.\n\n{entry.explanation}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        entry.add_arguments(sub)
        sub.set_defaults(handle=entry.handle)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(build_parser(), lambda args: args.handle(args), arguments)


if __name__ == "__main__":
    sys.exit(main())
