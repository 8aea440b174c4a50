"""What the training subcommands take and do: fit, protocol, ablation, score."""

from __future__ import annotations

import argparse
import shutil
import sys
from glob import escape
from pathlib import Path

from hardware_profiles.artifact import atomic_folder, check_replaceable, is_current, provenance
from hardware_profiles.config import as_mapping, read_section

from .config import PAIRS, ProtocolConfig, TrainingConfig
from .data.section import DataConfig, PreparedConfig, data_inputs, read_data_section
from .data_commands import add_config_and_out
from .model.config import ModelConfig


def add_fit(parser: argparse.ArgumentParser) -> None:
    """Arguments of `fit`."""
    add_config_and_out(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")


def add_score(parser: argparse.ArgumentParser) -> None:
    """Arguments of `score`."""
    parser.add_argument(
        "outputs", type=Path, nargs="+", metavar="OUTPUTS", help="outputs_*.h5 of export or lava_runtime"
    )
    parser.add_argument("--training", type=Path, required=True, metavar="DIR", help="folder written by `fit`")
    parser.add_argument(
        "--pair", choices=PAIRS, default="test", help="partitions that were run, seen and unseen (test)"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, replaced as a whole")


def add_ablation(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ablation`."""
    add_config_and_out(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by `prepare`")
    parser.add_argument("--workers", type=int, metavar="N", help="runs side by side (one per core)")


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """Arguments of `protocol`."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML file with [data]")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (runs/ and the config's name)")


def fit(args: argparse.Namespace) -> int:
    """Train on a prepared data set."""
    return _train(args.config, PreparedConfig(folder=str(args.data)), args.out)


def protocol(args: argparse.Namespace) -> int:
    """Train on the data set that [data] names."""
    out = args.out or Path("runs") / args.config.stem
    return _train(args.config, read_data_section(args.config), out)


def _read_sections(config: Path) -> tuple[ModelConfig, TrainingConfig, ProtocolConfig]:
    return (
        read_section(config, "model", ModelConfig),
        read_section(config, "training", TrainingConfig),
        read_section(config, "protocol", ProtocolConfig),
    )


def _shown(**sections: object) -> dict[str, object]:
    """Return sections as manifests hold them."""
    return {name: as_mapping(values) for name, values in sections.items()}


def _train(config: Path, data: DataConfig, out: Path) -> int:
    model, training, protocol = _read_sections(config)
    shown = _shown(data=data, model=model, training=training, protocol=protocol)
    manifest = provenance("fit", shown, data_inputs(data))
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


def ablation(args: argparse.Namespace) -> int:
    """Train every arm with every seed and compare."""
    from .ablation.arms import choose_arms
    from .ablation.config import AblationConfig

    data = PreparedConfig(folder=str(args.data))
    model, training, protocol = _read_sections(args.config)
    ablation = read_section(args.config, "ablation", AblationConfig)
    choose_arms(model, ablation.arms)  # refused before anything is read
    shown, inputs = _shown(data=data, model=model, training=training, protocol=protocol), data_inputs(data)
    manifest = provenance("ablation", {**shown, **_shown(ablation=ablation)}, inputs)
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return 0
    check_replaceable(args.out)
    from .ablation.report import PICTURE_FILE, run_ablation
    from .ablation.runs import Setting

    # runs are kept by what they depend on: more seeds or arms find those that are there
    shared = provenance("ablation runs", shown, inputs)
    out = args.out.resolve()
    work = out.parent / f".{out.name}.resume-{shared['key'][:12]}"
    with atomic_folder(args.out, manifest) as folder:
        made_by = f"commit {manifest['commit'][:12]}, {manifest['machine']}"
        text = run_ablation(Setting(data, model, training, protocol, work), ablation, folder, made_by, args.workers)
    print(f"{text}\n{args.out}: ablation.md, ablation.json, {PICTURE_FILE}; single runs stay in {work}")
    return 0


def score(args: argparse.Namespace) -> int:
    """Score what any world embedded."""
    inputs = {f"outputs {index}": path for index, path in enumerate(args.outputs)}
    manifest = provenance("score", {"pair": args.pair}, {**inputs, "training": args.training, "data": args.data})
    if is_current(args.out, manifest):
        print(f"{args.out}: up to date")
        return 0
    from .data.prepared import open_prepared
    from .protocol import SCORES
    from .scoring import run_score

    with atomic_folder(args.out, manifest) as folder:
        result = run_score(args.training, open_prepared(args.data), args.outputs, folder, args.pair)
    for row in result["rows"]:
        for head, scores in row["heads"].items():
            figures = "  ".join(f"{name} {scores[name]:5.1f}" for name in SCORES)
            print(f"{row['world']:<32} {head:<6} {figures} %")
    return 0
