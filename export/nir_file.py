r"""Float graph ↔ `.nir` file: the one table of names and units between our discrete time and NIR's continuous.

| graph                                   | NIR 1.0.8                                                           |
|-----------------------------------------|---------------------------------------------------------------------|
| `Input`, `Output`                       | `Input` (metadata: kind), `Output`                                  |
| `Linear`                                | `Linear`, or `Affine` with a bias                                   |
| `Conv`                                  | `Conv1d`, `Conv2d`: one group, square kernels, filled up with zeros |
| `Pool` in 2-D; in 1-D                   | `SumPool2d`, `AvgPool2d`; `Conv1d`                                  |
| `Reshape` to one axis                   | `Flatten`; among flattened values nothing                           |
| `Reshape` of an `Input`                 | `Input` of that shape                                               |
| `Gather`                                | `Linear` of 0 and 1; among images one-hot `Conv`s, summed           |
| `Gather`s that concatenate for a `Linear` | one `Linear`, `Affine` per part, summed                          |
| `Reduce`, `Linear` with positions       | `Linear`, `Affine`                                                  |
| `Conv`, `Pool` of flattened values      | `Linear`, `Affine`                                                  |
| `Scale`                                 | `Scale`                                                             |
| `Threshold`                             | `Threshold`                                                         |
| `LI`                                    | `LI`: tau = dt/(1−β) [s], r = tau/dt; all β = 1: `I`, r = 1/dt      |
| `LIF` zero; clear, not delayed          | `LIF`: tau and r as in LI, v_leak = v_reset = 0; all β = 1: `IF`    |
| `LIF` none                              | `LI` → `Threshold`                                                  |
| `CubaLIF` clear, not delayed            | `CubaLIF`: tau_syn = dt/(1−α), w_in = tau_syn/dt, tau_mem, r        |
| `CubaLIF` none                          | `CubaLI` → `Threshold`                                              |
| `LIF`, `CubaLIF`, `AlphaLIF` otherwise  | extensions `SnnTorchLeaky`, `SnnTorchSynaptic`, `SnnTorchAlpha`     |
| `DynamicThresholdLIF`, `Product`, `MatMul`, `WindowSum` | extensions of the same names                        |
| an edge's delay                         | `Delay` of steps · dt [s]                                           |
| port `recurrent`                        | an edge; metadata remembers that it is added last                   |

dt is the node's own: behind windows over time it is the graph's times the node's period.

Forward Euler at that dt turns NIR's equations back into ours. Decays are also stored exactly, as metadata,
because 1 − dt/tau need not return the same float; they must agree with tau or the file is refused. What a node was
before it became a matrix, or a kernel got zeros, stands in metadata too, and is believed only if it gives the same
arrays again: other readers need none of it. Arrays are rounded to float32, snnTorch's own precision.

Files of others: see `nir_neurons` for tau, r and w_in, `nir_format.wiring` for loops, `nir_format.parse` for versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np

from hardware_profiles.artifact import atomic_file

from .graph import Graph
from .nir_format.read import read_graph
from .nir_format.write import to_nir_graph
from .passes.fold_norm import fold_norm
from .passes.standardize import standardize
from .passes.standardize_concatenation import split_concatenations
from .passes.standardize_inputs import shape_inputs
from .verify import verify


def write_nir(graph: Graph, path: Path, *, standard_only: bool = False, freeze_thresholds: bool = False) -> None:
    """Write a float graph as NIR.

    Args:
        graph: float dialect, "model" timing.
        path: the file.
        standard_only: use nothing but NIR's own nodes, so that every reader of NIR understands the file.
        freeze_thresholds: with `standard_only`, let dynamic thresholds stand still; this changes spikes.

    Raises:
        UnsupportedModuleError: `standard_only`, and a node has no standard form.
        NirFileError: an array would be too large.
    """
    verify(graph, "float")
    graph = fold_norm(graph)
    if standard_only:
        graph = standardize(graph, freeze=freeze_thresholds)
    nir_graph = to_nir_graph(*split_concatenations(shape_inputs(graph)))
    for node in nir_graph.nodes.values():
        _lend_arrays(node)
    with atomic_file(path) as work:
        nir.write(str(work), nir_graph)


class _Lent(np.ndarray):  # type: ignore[type-arg]
    """An array that is written and not changed, so that nir.write's copy of each node need not copy it."""

    def __deepcopy__(self, memo: object) -> _Lent:
        return self


def _lend_arrays(node: Any) -> None:
    for name, value in vars(node).items():
        if isinstance(value, np.ndarray):
            setattr(node, name, value.view(_Lent))


def read_nir(path: Path, dt_s: float | None = None) -> Graph:
    """Read a `.nir` file, ours or another framework's.

    Args:
        path: the file.
        dt_s: time step in seconds for files that have none in their metadata.

    Raises:
        NirFileError: unknown version, no dt, unknown or inexact nodes, damaged or hostile file.
        ExportError: the graph in it is not allowed, see `verify`.
    """
    return read_graph(path, dt_s)
