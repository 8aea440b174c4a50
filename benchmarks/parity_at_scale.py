"""`python -m benchmarks.parity_at_scale`: 10⁹ neuron-steps of the fused runner compared, and 10⁸ of stock Lava.

A neuron-step is one neuron in one time step of one sample, spike and membrane both. The specification is the NumPy
integer interpreter. Two comparisons, reported apart: the fused runner on chains of convolutions before every kind of
integer neuron; and a chain of Lava's own Processes alone (`Conv` or `Sparse`, `LIFReset`), without a line of ours.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    Input,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerLIF,
    IntegerThreshold,
    Node,
    Output,
)
from export.nodes.linear import Convolution
from export.trace import Array, Trace
from hardware_profiles.artifact import commit, machine, write_json
from hardware_profiles.command import run_command
from hardware_profiles.errors import ConfigError
from hardware_profiles.profile import integer_format
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes
from lava_runtime.probes import every_probe
from lava_runtime.routing import is_stock_alone

CHANNELS, LENGTH, KERNEL = 8, 1024, 5
INPUT_RATE = 0.1
PLAIN = [(reset, delayed) for reset in ("zero", "subtract", "clear", "none") for delayed in (False, True)]


@dataclass
class Tally:
    """What was compared so far.

    Attributes:
        neuron_steps: neurons × steps × samples.
        spikes: how many of them spiked.
        mismatches: spikes or membranes that differ.
    """

    neuron_steps: int = 0
    spikes: int = 0
    mismatches: int = 0

    def see(self, expected: Trace, actual: Trace) -> None:
        """Compare two traces."""
        assert set(expected) == set(actual)
        for name, layer in expected.items():
            self.neuron_steps += layer.s.size
            self.spikes += int(layer.s.sum())
            self.mismatches += int((layer.s != actual[name].s).sum())
            if layer.v is not None:
                self.mismatches += int((layer.v != actual[name].v).sum())


def neuron(kind: str, rng: np.random.Generator) -> Node:
    """Return a layer of neurons with parameters of their own: decays, thresholds, biases."""
    shape = (CHANNELS, LENGTH)
    parameters: dict[str, Any] = {
        "vth": rng.integers(150, 600, shape),
        "bias_mant": rng.integers(-40, 90, shape),
        "bias_exp": 2,
    }
    decays: dict[str, Any] = {"dv": rng.integers(100, 1500, shape)}
    if kind == "threshold":
        return IntegerThreshold(**parameters)
    if kind == "alpha":
        return IntegerAlphaLIF(du=rng.integers(100, 400, shape), dv=rng.integers(800, 1500, shape), reset="clear",
                               **parameters)  # fmt: skip
    if kind == "synaptic":
        return IntegerCubaLIF(du=rng.integers(1000, 3000, shape), reset="subtract", **decays, **parameters)
    reset, delayed = PLAIN[int(kind)]
    return IntegerLIF(reset=reset, reset_delay=delayed, **decays, **parameters)  # type: ignore[arg-type]


def chain(kinds: list[str], seed: int) -> Graph:
    """Return convolution, neurons, convolution, … in the integer dialect."""
    rng = np.random.default_rng(seed)
    geometry = Convolution(input_shape=(CHANNELS, LENGTH), stride=(1,), padding=(KERNEL // 2,), dilation=(1,))
    nodes: dict[str, Node] = {"x": Input(shape=(CHANNELS, LENGTH))}
    edges, last = [], "x"
    for depth, kind in enumerate(kinds):
        weight = rng.integers(-107, 110, (CHANNELS, CHANNELS, KERNEL)).astype(np.int8)
        nodes[f"w{depth}"] = IntegerConv(weight_int8=weight, weight_exp=1, geometry=geometry)
        nodes[f"n{depth}"] = neuron(kind, rng)
        edges += [Edge(last, f"w{depth}"), Edge(f"w{depth}", f"n{depth}")]
        last = f"n{depth}"
    nodes["y"] = Output(shape=(CHANNELS, LENGTH))
    edges.append(Edge(last, "y"))
    return Graph(nodes=nodes, edges=tuple(edges), dialect="integer", dt_s=1e-3, fmt=integer_format())


def spikes(num_steps: int, batch: int, seed: int) -> dict[str, Array]:
    """Return random input."""
    rng = np.random.default_rng(seed)
    return {"x": (rng.random((num_steps, batch, CHANNELS, LENGTH)) < INPUT_RATE).astype(np.uint8)}


def compare(
    graphs: list[Graph], run: Callable[[Graph, Mapping[str, Array]], Trace], shape: tuple[int, int], wanted: int,
    description: str,
) -> Tally:  # fmt: skip
    """Compare with the interpreter, graph after graph on ever new inputs, until enough neuron-steps are seen."""
    tally, seed = Tally(), 0
    with tqdm(total=wanted, desc=description, unit="neuron-step", unit_scale=True) as bar:
        while tally.neuron_steps < wanted:
            graph = graphs[seed % len(graphs)]
            inputs = spikes(*shape, seed)
            tally.see(run_integer(graph, inputs), run(graph, inputs))
            seed += 1
            bar.update(tally.neuron_steps - bar.n)
    return tally


def _fused(graph: Graph, inputs: Mapping[str, Array]) -> Trace:
    run = run_fused(graph, inputs, number_format="fixed_pt", probes=every_probe(graph))
    assert run.trace is not None
    return run.trace


def _stock(graph: Graph, inputs: Mapping[str, Array]) -> Trace:
    assert is_stock_alone(graph)
    return run_processes(graph, inputs, number_format="fixed_pt")


def _run(args: argparse.Namespace) -> int:
    if args.fused < 1 or args.stock < 1:
        raise ConfigError(f"--fused {args.fused}, --stock {args.stock}: allowed are 1 neuron-step and more")
    kinds = ["0", "1", "2", "3", "4", "5", "6", "7", "synaptic", "alpha", "threshold"]
    mixed = [chain(kinds[shift:] + kinds[:shift], shift) for shift in range(0, len(kinds), 3)]
    worlds: dict[str, Callable[[], Tally]] = {
        "fused Lava, every kind of neuron": lambda: compare(mixed, _fused, (32, 8), args.fused, "fused"),
        "stock Lava Processes alone": lambda: compare(
            [chain(["0", "0", "0"], 7)], _stock, (100, 4), args.stock, "stock"
        ),
    }
    where, found = f"{machine()}; commit {commit()}", {}
    print(where)
    for world, tallied in worlds.items():
        start_s = time.perf_counter()
        tally = tallied()
        found[world] = {**vars(tally), "elapsed_s": round(time.perf_counter() - start_s, 1)}
        print(
            f"{world}: {tally.neuron_steps:.3g} neuron-steps compared with the integer interpreter, {tally.mismatches} "
            f"mismatches, {100 * tally.spikes / tally.neuron_steps:.1f} % spiked, {found[world]['elapsed_s']} s"
        )
    if args.out:
        write_json(args.out, {"format": "axonport-parity-at-scale-1", "where": where, "worlds": found})
    broken = any(world["mismatches"] or not 0 < world["spikes"] < world["neuron_steps"] for world in found.values())
    return 1 if broken else 0


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.parity_at_scale", description=__doc__)
    result.add_argument("--fused", type=float, default=1e9, help="neuron-steps of the fused runner (default 1e9)")
    result.add_argument("--stock", type=float, default=1e8, help="neuron-steps of stock Lava (default 1e8)")
    result.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    return result


if __name__ == "__main__":
    sys.exit(run_command(parser(), _run))
