"""How many samples a network classifies right by counting spikes, as floats and as integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .errors import InputDataError
from .graph import Graph
from .host_segment import output_counts
from .nodes import Output
from .trace import Array, Trace

LABELS = "labels"
"""Name of the array `[N]` of classes in the example file."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Share of samples whose class spikes most often (the first of equals), in two worlds.

    Attributes:
        output: the output node that counts, one neuron per class.
        num_samples: samples with labels.
        float_share: as floats.
        integer_share: as integers.
    """

    output: str
    num_samples: int
    float_share: float
    integer_share: float


def measure_accuracy(worlds: Mapping[str, tuple[Graph, Trace]], labels: Array) -> Accuracy:
    """Compare the class with the most spikes with the labels.

    Args:
        worlds: "float" and "integer" to graph and trace.
        labels: integers [N].

    Raises:
        InputDataError: there are several outputs, or labels that are no classes of theirs.
    """
    outputs = worlds["float"][0].of_type(Output)
    if len(outputs) != 1:
        raise InputDataError(f"input {LABELS}: there are {len(outputs)} outputs, allowed is one; leave labels out")
    ((name, node),) = outputs.items()
    are_classes = labels.ndim == 1 and np.array_equal(labels, np.round(labels))
    if not are_classes or labels.min() < 0 or labels.max() >= node.size:
        raise InputDataError(
            f"input {LABELS}: shape {labels.shape}, {labels.min()}..{labels.max()}; allowed are integers [N] within "
            f"0..{node.size - 1}, the neurons of {name}"
        )
    shares = {
        world: float((output_counts(graph, trace)[name].argmax(axis=1) == labels).mean())
        for world, (graph, trace) in worlds.items()
    }
    return Accuracy(output=name, num_samples=len(labels), float_share=shares["float"], integer_share=shares["integer"])
