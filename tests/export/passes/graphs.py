"""Small float graphs made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.graph import Edge, Graph
from export.nodes import LIF, Conv, Convolution, Linear, Node
from hardware_profiles.profile import integer_format

FMT = integer_format()


def graph_of(nodes: dict[str, Node], edges: Sequence[Edge | tuple[Any, ...]]) -> Graph:
    """A float graph; edges may be given as tuples."""
    made = tuple(edge if isinstance(edge, Edge) else Edge(*edge) for edge in edges)
    return Graph(nodes=nodes, edges=made, dialect="float", dt_s=1e-3)


def full(shape: tuple[int, ...], value: float) -> np.ndarray:
    return np.full(shape, value, dtype=np.float32)


def lif(shape: tuple[int, ...], threshold: float = 1.0, beta: float = 0.5, **changes: Any) -> LIF:
    settings = {"reset": "zero", "reset_delay": False, **changes}
    return LIF(beta=full(shape, beta), threshold=full(shape, threshold), **settings)


def linear(weight: Any, bias: Any = None, **changes: Any) -> Linear:
    array = np.array(weight, dtype=np.float32)
    return Linear(weight=array, bias=None if bias is None else np.array(bias, dtype=np.float32), **changes)


def conv(weight: Any, input_shape: tuple[int, ...], bias: Any = None, **geometry: Any) -> Conv:
    array = np.array(weight, dtype=np.float32)
    dimensions = len(input_shape) - 1
    settings = {
        "stride": (1,) * dimensions,
        "padding": (0,) * dimensions,
        "dilation": (1,) * dimensions,
        "groups": 1,
        **geometry,
    }
    return Conv(
        weight=array,
        bias=None if bias is None else np.array(bias, dtype=np.float32),
        geometry=Convolution(input_shape=input_shape, **settings),
    )
