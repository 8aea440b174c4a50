"""A `.nir` file as another framework writes it, and data for it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np

from export.interpreters.integer_interpreter import run_integer
from export.trace import Trace
from lava_runtime.model import load_model

DT_S = 1e-3
NUM_STEPS, NUM_INPUTS = 12, 10


def write_foreign_nir(path: Path) -> None:
    """Two LIF layers in NIR's own terms: no metadata, no time step; hard reset at once."""
    rng = np.random.default_rng(0)

    def lif(size: int) -> nir.LIF:
        tau = np.full(size, 8e-3)
        return nir.LIF(tau=tau, r=tau / DT_S, v_leak=np.zeros(size), v_threshold=np.ones(size), v_reset=np.zeros(size))

    nodes = {
        "input": nir.Input({"input": np.array([NUM_INPUTS])}),
        "w1": nir.Linear(rng.normal(0.1, 0.5, (16, NUM_INPUTS)).astype(np.float32)),
        "l1": lif(16),
        "w2": nir.Linear(rng.normal(0.1, 0.5, (6, 16)).astype(np.float32)),
        "l2": lif(6),
        "output": nir.Output({"output": np.array([6])}),
    }
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=list(pairwise(names))))


def spikes(num_samples: int, num_steps: int = NUM_STEPS) -> np.ndarray:
    """[N, T, n]; a longer draw begins like a shorter one."""
    rng = np.random.default_rng(1)
    return (rng.random((num_samples, num_steps, NUM_INPUTS)) < 0.3).astype(np.uint8)


def write_spikes(path: Path, num_samples: int, num_steps: int = NUM_STEPS) -> np.ndarray:
    data = spikes(num_samples, num_steps)
    with h5py.File(path, "w") as file:
        file.create_dataset("input", data=data, chunks=(1, *data.shape[1:]), compression="gzip")
    return data


def specification(model: Path, data: np.ndarray) -> Trace:
    """What the integer interpreter says of the same file and data."""
    graph = load_model(model, "fixed_pt", dt_s=DT_S)
    return run_integer(graph, {"input": data.swapaxes(0, 1)})
