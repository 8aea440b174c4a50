"""A network of another framework, from its `.nir` file to Lava: `python -m examples.foreign_nir`.

`spikingjelly.nir` was written by SpikingJelly 2.0.0 (`export_to_nir`): Conv2d, LIFNode, AvgPool2d, Flatten, Linear and
LIFNode, with hard resets. NIR files have no time step; SpikingJelly's is 1e-4 s.
"""

from pathlib import Path

import numpy as np

from export.interpreters.float_interpreter import run_float
from export.nir_file import read_nir
from export.pipeline import lower
from export.trace import Array
from hardware_profiles.profile import integer_format
from lava_runtime.fused.run import run_fused


def main() -> tuple[Array, Array]:
    """Read it and return its spikes per sample and class: as floats, which are SpikingJelly's own, and on Lava."""
    graph = read_nir(Path(__file__).with_name("spikingjelly.nir"), dt_s=1e-4)
    (name,) = graph.inputs()
    events = (np.random.default_rng(0).random((25, 4, 2, 8, 8)) < 0.4).astype(np.uint8)
    (floats,) = run_float(graph, {name: events}).outputs.values()
    on_chip = lower(graph, integer_format("loihi2"))
    (lava,) = run_fused(on_chip, {name: events}, number_format="fixed_pt").output_counts.values()
    return floats.sum(axis=0).astype(int), lava


if __name__ == "__main__":
    print(*main(), sep="\n")
