"""What drives a neuron after `fold_scales`: at each port a sum of synapses, each reshaped at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hardware_profiles.arithmetic import IntegerFormat

from ..errors import ExportError
from ..graph import Graph
from ..nodes import NEURONS, Conv, Linear, Reshape, Scale, WindowSum
from ..ranges import arriving_bound
from .composition import bias_of
from .quantize_weights import WEIGHTS_AT_ONCE, round_weights
from .rewriting import Synapse
from .window_weights import WINDOW_BITS


@dataclass(frozen=True, eq=False)
class Drive:
    """One synapse of a neuron.

    Attributes:
        name: the synapse's node.
        synapse: its weights.
        port: the neuron's port that it drives.
        delay: steps from the synapse to the neuron.
        largest_input: bound on the magnitude of the integers that arrive at it.
        input_fraction_bits: fraction bits of these integers: those of windows over time count in 1/128.
    """

    name: str
    synapse: Synapse
    port: str
    delay: int
    largest_input: int
    input_fraction_bits: int = 0
    _sums: dict[int, int] = field(default_factory=dict)

    def largest_sum(self, mantissa_bits: int, fmt: IntegerFormat) -> int:
        """Return the bound on |Σ w x| with mantissas w·2^mantissa_bits, before the exponent."""
        if mantissa_bits not in self._sums:
            weight = self.synapse.weight
            rows = weight.reshape(-1, 1) if isinstance(self.synapse, Scale) else weight.reshape(len(weight), -1)
            num_rows = max(1, WEIGHTS_AT_ONCE // max(rows.shape[1], 1))
            parts = (rows[start : start + num_rows] for start in range(0, len(rows), num_rows))
            sums = (np.abs(round_weights(part, mantissa_bits, fmt)).sum(axis=1).max(initial=0) for part in parts)
            self._sums[mantissa_bits] = int(max(sums, default=0)) * self.largest_input
        return self._sums[mantissa_bits]


def drives_of(graph: Graph, name: str, bounds: Mapping[str, int]) -> list[Drive]:
    """Return the synapses of a neuron, port by port; `bounds` as from `ranges.value_bounds`."""
    drives = []
    for port in ("input", "recurrent", "threshold"):
        for edge in graph.incoming(name, port):
            synapse, delay = edge.source, edge.delay
            while isinstance(graph.nodes[synapse], Reshape):
                (before,) = graph.incoming(synapse)
                synapse, delay = before.source, delay + before.delay
            node = graph.nodes[synapse]
            if not isinstance(node, (Linear, Conv, Scale)):
                raise ExportError(
                    f"node {name}: {synapse} ({type(node).__name__}) arrives at port '{port}' without weights; "
                    "fold scales before quantising"
                )
            largest = arriving_bound(graph, synapse, "input", bounds)
            fraction_bits = WINDOW_BITS if _reads_windows(graph, synapse) else 0
            drives.append(Drive(synapse, node, port, delay, largest, fraction_bits))
    return drives


def _reads_windows(graph: Graph, synapse: str) -> bool:
    """Tell whether sums over time are among the integers that arrive at a synapse."""
    waiting, seen = [synapse], set()
    while waiting:
        name = waiting.pop()
        node = graph.nodes[name]
        if isinstance(node, WindowSum):
            return True
        if name not in seen and not isinstance(node, NEURONS):
            seen.add(name)
            waiting += [source for port in node.ports for source in graph.sources(name, port)]
    return False


def constant_drive(name: str, drives: list[Drive], size: int) -> npt.NDArray[np.float64]:
    """Return the bias of a neuron, float64 [n]: what its synapses send on zero input, together.

    Raises:
        ExportError: a bias arrives late; no field of a chip carries that.
    """
    total = np.zeros(size)
    for drive in drives:
        bias = bias_of(drive.synapse)
        if bias is None:
            continue
        if drive.delay:
            raise ExportError(
                f"node {drive.name}: its bias arrives {drive.delay} steps late at {name}, allowed is a constant bias; "
                "delay the connection before the layer instead"
            )
        assert drive.port != "threshold", "`drive_offsets` turns these into spikes"
        total += bias.ravel()
    return total
