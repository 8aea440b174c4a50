"""The nodes of the graph: one frozen dataclass per equation, in two dialects (float, integer).

Time is discrete. Spikes are 0 or 1; all comparisons are strict (`>`), as in snnTorch and Lava. Every node says the
shape that it sends and the shape that each port receives (`signal.Signal`).
"""

from .integer import (
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
)
from .linear import Conv, Convolution, Gather, Linear, Pool, Reduce, Reshape, Scale, window_count
from .neurons import LI, LIF, AlphaLIF, CubaLIF, DynamicThresholdLIF, Reset, Threshold
from .norm import Norm
from .product import MatMul, Product
from .signal import Float, Input, InputKind, Int, Int8, Output, Shape, Signal, UInt8
from .window import IntegerWindowSum, WindowSum, window_weights

Structural = Input | Output | Pool | Gather | Reshape | Reduce | Product | MatMul
"""Nodes without weights, the same in both dialects."""
FloatNode = (
    Structural
    | WindowSum
    | Linear
    | Conv
    | Scale
    | Norm
    | LIF
    | CubaLIF
    | AlphaLIF
    | LI
    | Threshold
    | DynamicThresholdLIF
)
IntegerNode = (
    Structural
    | IntegerWindowSum
    | IntegerLinear
    | IntegerConv
    | IntegerScale
    | IntegerLIF
    | IntegerCubaLIF
    | IntegerAlphaLIF
    | IntegerThreshold
    | IntegerDynamicThresholdLIF
)
Node = FloatNode | IntegerNode

DYNAMIC = (DynamicThresholdLIF, IntegerDynamicThresholdLIF)
"""Neurons with a threshold controller."""
NEURONS = (
    LIF,
    CubaLIF,
    AlphaLIF,
    Threshold,
    IntegerLIF,
    IntegerCubaLIF,
    IntegerAlphaLIF,
    IntegerThreshold,
    *DYNAMIC,
)
"""Nodes that send binary spikes; traces record them."""
SYNAPSES = (Linear, Conv, Scale, IntegerLinear, IntegerConv, IntegerScale)
"""Nodes with weights: on Lava each delivers one step late."""
REARRANGEMENTS = (Pool, Gather, Reduce)
"""Nodes that only add and move values: on Lava they too are synapses, of weight one."""
PRODUCTS = (Product, MatMul)
WINDOWS = (WindowSum, IntegerWindowSum)
"""Nodes that sum over time: a slower stage begins behind each."""

__all__ = [
    "DYNAMIC",
    "LI",
    "LIF",
    "NEURONS",
    "PRODUCTS",
    "REARRANGEMENTS",
    "SYNAPSES",
    "WINDOWS",
    "AlphaLIF",
    "Conv",
    "Convolution",
    "CubaLIF",
    "DynamicThresholdLIF",
    "Float",
    "FloatNode",
    "Gather",
    "Input",
    "InputKind",
    "Int",
    "Int8",
    "IntegerAlphaLIF",
    "IntegerConv",
    "IntegerCubaLIF",
    "IntegerDynamicThresholdLIF",
    "IntegerLIF",
    "IntegerLinear",
    "IntegerNode",
    "IntegerScale",
    "IntegerThreshold",
    "IntegerWindowSum",
    "Linear",
    "MatMul",
    "Node",
    "Norm",
    "Output",
    "Pool",
    "Product",
    "Reduce",
    "Reset",
    "Reshape",
    "Scale",
    "Shape",
    "Signal",
    "Structural",
    "Threshold",
    "UInt8",
    "WindowSum",
    "window_count",
    "window_weights",
]
