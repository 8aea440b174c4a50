"""`python -m lava_runtime.plot`: spikes and membranes of one recorded sample, as a picture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardware_profiles.artifact import atomic_file
from hardware_profiles.command import run_command
from hardware_profiles.errors import ConfigError

from .dataset.results import LayerRecord, Records, open_records

EPILOG = """\
examples:
  python -m lava_runtime.plot run
  python -m lava_runtime.plot run --sample 3 --layers l2,l3 --neurons 0,5,17 --out raster.svg

Draws a raster of the spikes of each layer, and the membranes of some neurons with the threshold they are compared
with: --neurons, or those that spike most. What was recorded is what python -m lava_runtime --record named.
"""
SUFFIXES = (".png", ".svg", ".pdf")
NUM_NEURONS = 3
"""Neurons of a layer whose membranes are drawn unless others are named."""
MAX_LAYERS = 12
"""Layers that fit into one picture."""
WIDTH_IN, RASTER_IN, TRACE_IN, MARGIN_IN = 8.0, 1.5, 1.7, 0.9
DPI = 150
COLOURS = ("#1b6ca8", "#c8553d", "#3c8d5a", "#7a5195", "#b8860b")
INK, MUTED, GRID = "#1f2933", "#52606d", "#e4e7eb"
STYLE = {
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "text.parse_math": False,
    "svg.hashsalt": "axonport",
}


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    result = argparse.ArgumentParser(
        prog="python -m lava_runtime.plot",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("run", type=Path, help="folder written by python -m lava_runtime with --record")
    result.add_argument("--sample", type=int, default=0, help="which sample, from 0 (default 0)")
    result.add_argument("--layers", help="layers, as l2,l3 (default: all that were recorded)")
    result.add_argument("--neurons", help=f"whose membranes, as 0,5,17 (default: the {NUM_NEURONS} that spike most)")
    result.add_argument("--out", type=Path, help="picture to write, .png, .svg or .pdf (default: RUN/sample_0.png)")
    return result


def handle(args: argparse.Namespace) -> int:
    """Run the command."""
    out = args.out or args.run / f"sample_{args.sample}.png"
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"--out {out}: allowed are names that end in {', '.join(SUFFIXES)}")
    with open_records(args.run) as records:
        names = _layers(args.layers, records)
        layers = [records.read(name, args.sample) for name in names]
        title = f"{args.run.resolve().name}, sample {args.sample}: {records.world}"
        figure = draw(layers, records.dt_s, title, _neurons(args.neurons, layers))
    import matplotlib

    with atomic_file(out) as work, matplotlib.rc_context(STYLE):
        figure.savefig(work, dpi=DPI, metadata={"Date": None} if out.suffix == ".svg" else None)
    print(f"drawn into {out}")
    return 0


def _layers(text: str | None, records: Records) -> tuple[str, ...]:
    names = records.layers if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
    if not 0 < len(names) <= MAX_LAYERS:
        raise ConfigError(
            f"--layers: names {len(names)} of {', '.join(records.layers)}; allowed are 1 to {MAX_LAYERS} in one picture"
        )
    return names


def _neurons(text: str | None, layers: Sequence[LayerRecord]) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--neurons {text}: allowed are numbers from 0, as in 0,5,17")
    for layer in layers:
        size = 0 if layer.v is None else layer.v.shape[1]
        if size and max(map(int, parts)) >= size:
            raise ConfigError(f"--neurons {text}: {layer.name} has {size} neurons, allowed are 0 to {size - 1}")
    return tuple(map(int, parts))


def draw(layers: Sequence[LayerRecord], dt_s: float, title: str, chosen: Sequence[int] | None) -> Any:
    """Draw spikes and membranes below each other, over one time axis.

    Args:
        layers: what was recorded of each, in one sample.
        dt_s: duration of a time step in seconds.
        title: of the picture.
        chosen: neurons whose membranes are drawn; None takes those that spike most.

    Returns:
        A matplotlib figure.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels = [(layer, kind) for layer in layers for kind in ("s", "v") if getattr(layer, kind) is not None]
    if not panels:
        raise ConfigError("--layers: neither spikes nor membranes of these were recorded; record l1.s or l1.v")
    heights = [RASTER_IN if kind == "s" else TRACE_IN for _, kind in panels]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, sum(heights) + MARGIN_IN), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (layer, kind) in zip(axes, panels, strict=True):
            _raster(axis, layer) if kind == "s" else _traces(axis, layer, _most_active(layer, chosen))
        _time_axes(axes[0], axes[-1], getattr(*panels[0]).shape[0], dt_s)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _raster(axis: Any, layer: LayerRecord) -> None:
    """One dash per spike; neurons from bottom to top."""
    assert layer.s is not None
    steps, neurons = np.nonzero(layer.s)
    size = layer.s.shape[1]
    height_points = RASTER_IN * 72 * 0.8 / size
    axis.scatter(
        steps, neurons, marker="|", s=float(np.clip(height_points, 1.5, 14.0)) ** 2, color=COLOURS[0], linewidths=0.9
    )
    axis.set_ylim(-0.5 - 0.02 * size, size - 0.5 + 0.02 * size)
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_ylabel("neuron")
    rate = 100 * layer.s.mean()
    axis.set_title(f"{layer.name}: {len(steps)} spikes of {size} neurons, {rate:.3g} % of neuron-steps")


def _traces(axis: Any, layer: LayerRecord, neurons: Sequence[int]) -> None:
    """Membranes after each step, dots where the neuron spikes, thresholds dashed."""
    assert layer.v is not None
    steps = np.arange(len(layer.v))
    for colour, neuron in zip(COLOURS * (len(neurons) // len(COLOURS) + 1), neurons, strict=False):
        v = layer.v[:, neuron]
        axis.plot(steps, v, color=colour, linewidth=1.1, label=f"neuron {neuron}")
        if layer.s is not None:
            spikes = np.flatnonzero(layer.s[:, neuron])
            axis.plot(spikes, v[spikes], "o", color=colour, markersize=3)
    for colour, level in _thresholds(layer, neurons):
        axis.plot(
            steps, np.broadcast_to(level, len(steps)), color=colour, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1
        )
    axis.grid(axis="y", color=GRID, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.set_ylabel("membrane v")
    told = "" if layer.threshold is None else "; dashed: threshold"
    axis.set_title(f"{layer.name}: membranes after each step{told}")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handlelength=1.2)


def _thresholds(layer: LayerRecord, neurons: Sequence[int]) -> list[tuple[str, Any]]:
    """Return colour and height of the threshold lines: one if the neurons share it, else each neuron's own."""
    if layer.threshold is None:
        return []
    if layer.threshold.ndim == 2:  # moves, for all neurons alike
        return [(MUTED, layer.threshold[:, 0])]
    own = layer.threshold[list(neurons)]
    if len(set(own.tolist())) == 1:
        return [(MUTED, own[0])]
    return [(COLOURS[index % len(COLOURS)], level) for index, level in enumerate(own)]


def _most_active(layer: LayerRecord, chosen: Sequence[int] | None) -> tuple[int, ...]:
    """Return the neurons to draw: those that spike most, or whose membrane moves most where spikes are unknown."""
    if chosen is not None or layer.v is None:
        return tuple(chosen or ())
    activity = layer.v.std(axis=0) if layer.s is None else layer.s.sum(axis=0)
    return tuple(sorted(np.argsort(-activity.astype(np.float64), kind="stable")[:NUM_NEURONS].tolist()))


def _time_axes(first: Any, last: Any, num_steps: int, dt_s: float) -> None:
    """Say the time in steps below and in milliseconds above."""
    last.set_xlabel("time step")
    last.set_xlim(-0.5, num_steps - 0.5)
    last.xaxis.get_major_locator().set_params(integer=True)
    above = first.secondary_xaxis("top", functions=(lambda t: t * dt_s * 1e3, lambda ms: ms / (dt_s * 1e3)))
    above.set_xlabel("time in ms", fontsize=8, color=MUTED)
    above.tick_params(labelsize=8, colors=MUTED)
    above.spines["top"].set_visible(True)


if __name__ == "__main__":
    sys.exit(run_command(parser(), handle))
