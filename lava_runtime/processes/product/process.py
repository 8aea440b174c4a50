"""The product's ports."""

from __future__ import annotations

from math import prod

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from export.nodes import MatMul, Product


class SignalProduct(AbstractProcess):
    """Multiplies what arrives at two ports in the same time step, elementwise or as matrices.

    Stock `ProdNeuron` multiplies elementwise only, and only in fixed_pt. Ports, flat in C order: a_in, b_in, s_out.
    """

    def __init__(self, *, node: Product | MatMul, name: str | None = None) -> None:
        super().__init__(node=node, name=name)
        self.a_in = InPort(shape=(prod(node.ports["a"]),))
        self.b_in = InPort(shape=(prod(node.ports["b"]),))
        self.s_out = OutPort(shape=(node.size,))
