"""`python -m training`: render the benchmark, prepare videos, draw a clip, train MDST and MDST++, score any world."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hardware_profiles.command import run_command

from . import data_commands, fit_commands

PROGRAM = "python -m training"


class Subcommand(NamedTuple):
    """One entry of the command: its name, what it teaches, its arguments, and what it does."""

    name: str
    summary: str
    explanation: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    handle: Callable[[argparse.Namespace], int]


SUBCOMMANDS = (
    Subcommand(
        "render",
        "write the embedded audio-visual benchmark as video files",
        """Renders classes composed of object × motion × sound as ordinary mp4 files with sound, some combinations
held out, to <out>/<partition>/<class>/<nnn>.mp4 with classes.json. Reads section [benchmark].
The same seed gives the same frames, on any number of workers. docs/benchmark.md explains every setting.

example:
  python -m training render --config configs/demo.toml --out runs/demo/videos""",
        data_commands.add_render,
        data_commands.render,
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
        data_commands.add_prepare,
        data_commands.prepare,
    ),
    Subcommand(
        "layout",
        "write a prepared data set as feature files of the field's layout",
        """Averages the frame and audio features of every clip and writes them as <out>/<name>/class-split and
<out>/<name>/features/main_features, one h5 file per class and stage, as the code of the AVCA family reads them
(docs/data.md). Events have no place in that layout.

example:
  python -m training layout --data runs/demo/dataset --out runs/demo/layout --name Demo""",
        data_commands.add_layout,
        data_commands.layout,
    ),
    Subcommand(
        "picture",
        "draw a clip's frames beside its events",
        """Draws frames, ON (blue) and OFF (red) events, mel band energies and their events, time running to the right.

examples:
  python -m training picture clip.mp4 --out clip.png
  python -m training picture clip.mp4 --out clip.png --duration 2 --columns 6 --config configs/demo.toml""",
        data_commands.add_picture,
        data_commands.picture,
    ),
    Subcommand(
        "fit",
        "train MDST or MDST++ on a prepared data set",
        """The field's protocol on what `prepare` wrote: stage A trains on `train` and chooses epoch and offset on
val_seen and val_unseen, stage B trains anew on all three, then one test. Writes checkpoint.safetensors, metrics.json,
result.json, result.md and tensorboard/. A killed run resumes where it stood and ends as it would have. Reads [model],
[training] and [protocol].

example:
  python -m training fit --config configs/demo.toml --data runs/demo/dataset --out runs/demo/training""",
        fit_commands.add_fit,
        fit_commands.fit,
    ),
    Subcommand(
        "protocol",
        "train and test on the data set that the configuration names",
        """As `fit`, on the data set of section [data]; the word `protocol` may be left out.

examples:
  python -m training --config configs/ucf_main.toml
  python -m training protocol --config my.toml --out runs/my""",
        fit_commands.add_protocol,
        fit_commands.protocol,
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
        fit_commands.add_ablation,
        fit_commands.ablation,
    ),
    Subcommand(
        "score",
        "score embeddings of any world: S, U, HM, ZSL",
        """Classifies the test clips by the embeddings that export (float, integer) and lava_runtime (Lava) wrote, with
the offsets that were chosen on the validation classes in training, both heads, and writes accuracy.json.

example:
  python -m training score runs/demo/export/outputs_float.h5 runs/demo/simulation/outputs_fixed_pt.h5 \\
      --training runs/demo/training --data runs/demo/dataset --out runs/demo/scores""",
        fit_commands.add_score,
        fit_commands.score,
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


def with_subcommand(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `protocol` in front where there are options alone."""
    alone = bool(arguments) and arguments[0].split("=")[0] in ("--config", "--out")
    return ["protocol", *arguments] if alone else list(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; options alone mean `protocol`."""
    arguments = with_subcommand(sys.argv[1:] if arguments is None else arguments)
    return run_command(build_parser(), lambda args: args.handle(args), arguments)


if __name__ == "__main__":
    sys.exit(main())
