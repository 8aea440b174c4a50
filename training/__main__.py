"""`python -m training`: render the benchmark, prepare videos, draw a clip, train and test a model, score any world."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Callable, Sequence
from glob import escape
from pathlib import Path
from typing import NamedTuple

from hardware_profiles.artifact import atomic_folder, check_replaceable, is_current, provenance
from hardware_profiles.command import run_command
from hardware_profiles.config import as_mapping, read_section
from hardware_profiles.errors import ConfigError

from .config import PAIRS, ProtocolConfig, TrainingConfig
from .data.section import DataConfig, PreparedConfig, data_inputs, read_data_section
from .model.config import ModelConfig

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


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, metavar="N", help="clips at a time; the result is the same (default: all cores)"
    )


def _add_render(parser: argparse.ArgumentParser) -> None:
    _add_config_and_out(parser)
    _add_workers(parser)


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    _add_config_and_out(parser)
    parser.add_argument(
        "--videos", type=Path, required=True, metavar="DIR", help="folder of videos, searched with its subfolders"
    )
    _add_workers(parser)


def _add_picture(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, metavar="CLIP", help="any video file")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="picture to write")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take [preparation] from here instead of defaults")
    parser.add_argument("--duration", type=float, metavar="S", help="draw the first S seconds (default: all)")
    parser.add_argument("--size", type=int, default=192, metavar="PX", help="pixels per side for events (192)")
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="frames shown (8)")


def _render(args: argparse.Namespace) -> int:
    from .data.render import BenchmarkConfig, render_benchmark

    config = read_section(args.config, "benchmark", BenchmarkConfig)
    manifest = render_benchmark(config, args.out, num_workers=args.workers)
    if manifest is None:
        print(f"{args.out}: up to date")
    else:
        print(f"{args.out}: {manifest['num_clips']} {manifest['origin']}")
    return 0


def _prepare(args: argparse.Namespace) -> int:
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
    parser.add_argument(
        "--pair", choices=PAIRS, default="test", help="partitions that were run, seen and unseen (test)"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, replaced as a whole")


def _add_ablation(parser: argparse.ArgumentParser) -> None:
    _add_config_and_out(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")
    parser.add_argument("--workers", type=int, metavar="N", help="runs side by side (one per core)")


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML file with [data]")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (runs/ and the config's name)")


def _fit(args: argparse.Namespace) -> int:
    return _train(args.config, PreparedConfig(folder=str(args.data)), args.out)


def _protocol(args: argparse.Namespace) -> int:
    out = args.out or Path("runs") / args.config.stem
    return _train(args.config, read_data_section(args.config), out)


def _train(config: Path, data: DataConfig, out: Path) -> int:
    model = read_section(config, "model", ModelConfig)
    training = read_section(config, "training", TrainingConfig)
    protocol = read_section(config, "protocol", ProtocolConfig)
    sections = {"data": data, "model": model, "training": training, "protocol": protocol}
    manifest = provenance("fit", {name: as_mapping(values) for name, values in sections.items()}, data_inputs(data))
    if is_current(out, manifest):
        print(f"{out}: up to date")
        return 0
    check_replaceable(out)
    from .data.reader import open_data
    from .fit import run_fit
    from .result import RESULT_TEXT

    work = out.resolve()  # `.` has no name
    resume = f".{work.name}.resume-"
    with atomic_folder(out, manifest) as folder:
        opened = open_data(data)
        print(f"{opened.title}: {opened.origin}", file=sys.stderr)
        run_fit(opened, model, training, protocol, folder, work.parent / f"{resume}{manifest['key'][:12]}")
        text = (folder / RESULT_TEXT).read_text(encoding="utf-8")
    for left in work.parent.glob(f"{escape(resume)}*"):  # of this run, and of runs given up
        shutil.rmtree(left, ignore_errors=True)
    print(f"{text}\n{out}: {RESULT_TEXT}, metrics.json, checkpoint.safetensors")
    return 0


def _ablation(args: argparse.Namespace) -> int:
    from .ablation.config import AblationConfig

    data = PreparedConfig(folder=str(args.data))
    model = read_section(args.config, "model", ModelConfig)
    training = read_section(args.config, "training", TrainingConfig)
    protocol = read_section(args.config, "protocol", ProtocolConfig)
    ablation = read_section(args.config, "ablation", AblationConfig)
    sections = {"data": data, "model": model, "training": training, "protocol": protocol}
    manifest = provenance(
        "ablation",
        {name: as_mapping(values) for name, values in {**sections, "ablation": ablation}.items()},
        data_inputs(data),
    )
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return 0
    check_replaceable(args.out)
    from .ablation.report import PICTURE_FILE, run_ablation
    from .ablation.runs import Setting

    # runs are kept by what they depend on: more seeds or arms find those that are there
    shared = provenance(
        "ablation runs", {name: as_mapping(values) for name, values in sections.items()}, data_inputs(data)
    )
    out = args.out.resolve()
    work = out.parent / f".{out.name}.resume-{shared['key'][:12]}"
    with atomic_folder(args.out, manifest) as folder:
        made_by = f"commit {manifest['commit'][:12]}, {manifest['machine']}"
        text = run_ablation(Setting(data, model, training, protocol, work), ablation, folder, made_by, args.workers)
    print(f"{text}\n{args.out}: ablation.md, ablation.json, {PICTURE_FILE}; single runs stay in {work}")
    return 0


def _score(args: argparse.Namespace) -> int:
    inputs = {f"outputs {index}": path for index, path in enumerate(args.outputs)}
    manifest = provenance("score", {"pair": args.pair}, {**inputs, "training": args.training, "data": args.data})
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return 0
    from .data.prepared import open_prepared
    from .scoring import run_score

    with atomic_folder(args.out, manifest) as folder:
        result = run_score(args.training, open_prepared(args.data), args.outputs, folder, args.pair)
    for row in result["rows"]:
        for head, scores in row["heads"].items():
            figures = "  ".join(f"{name} {scores[name]:5.1f}" for name in ("S", "U", "HM", "ZSL"))
            print(f"{row['world']:<32} {head:<6} {figures} %")
    return 0


SUBCOMMANDS = (
    Subcommand(
        "render",
        "write the embedded audio-visual benchmark as video files",
        """Renders classes composed of object × motion × sound as ordinary mp4 files with sound, some combinations
held out, to <out>/<partition>/<class>/<nnn>.mp4 with classes.json. Reads section [benchmark].
The same seed gives the same frames, on any number of workers. docs/benchmark.md explains every setting.

example:
  python -m training render --config configs/demo.toml --out runs/demo/videos""",
        _add_render,
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
        """The field's protocol on what `prepare` wrote: stage A trains on `train` and chooses epoch and offset on
val_seen and val_unseen, stage B trains anew on all three, then one test. Writes checkpoint.safetensors, metrics.json,
result.json, result.md and tensorboard/. A killed run resumes where it stood and ends as it would have. Reads [model],
[training] and [protocol].

example:
  python -m training fit --config configs/demo.toml --data runs/demo/dataset --out runs/demo/training""",
        _add_fit,
        _fit,
    ),
    Subcommand(
        "protocol",
        "train and test on the data set that the configuration names",
        """As `fit`, on the data set of section [data]; the word `protocol` may be left out.

examples:
  python -m training --config configs/ucf_main.toml
  python -m training protocol --config my.toml --out runs/my""",
        _add_protocol,
        _protocol,
    ),
    Subcommand(
        "ablation",
        "train each block's absence, over several seeds, and compare",
        """Trains the model of [model] (architecture mdst++), the same with each block taken away or exchanged, MDST,
and the context-only model, with every seed of [ablation]; writes ablation.md (S, U, HM, ZSL with 95 % intervals,
differences seed by seed, under biased and flipped backgrounds), ablation.json and ablation.png. A killed ablation goes
on from the runs that are done. Reads [model], [training], [protocol] and [ablation].

example:
  python -m training ablation --config configs/ablation.toml --data runs/ablation/dataset --out runs/ablation/table""",
        _add_ablation,
        _ablation,
    ),
    Subcommand(
        "score",
        "score embeddings of any world: S, U, HM, ZSL",
        """Classifies the test clips by the embeddings that export (float, integer) and lava_runtime (Lava) wrote, with
the offsets that were chosen on the validation classes in training, both heads, and writes accuracy.json.

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
    """Run the command and return its exit code; options alone mean `protocol`."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0].split("=")[0] in ("--config", "--out"):
        arguments = ["protocol", *arguments]
    return run_command(build_parser(), lambda args: args.handle(args), arguments)


if __name__ == "__main__":
    sys.exit(main())
