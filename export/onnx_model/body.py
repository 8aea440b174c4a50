"""The body of an ONNX `Scan` while it is written: operations of one step, constants, and what is kept in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..nodes import Shape
from ..trace import Array

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
BATCH_AXIS = "B"
"""Name of the free batch size in every shape."""


@dataclass(frozen=True)
class ScanState:
    """One tensor that the Scan carries from step to step, zero at first.

    Attributes:
        now: its name at the start of the step.
        following: its name at the end of the step.
        shape: per sample.
    """

    now: str
    following: str
    shape: Shape


@dataclass
class ScanBody:
    """Collects operations under names that begin with the graph node that they belong to.

    Attributes:
        scope: the graph node that is being written.
        tick: condition that it ticks in this step; None where it always does.
        operations: in the order of computation.
        constants: weights and other fixed tensors by name, initializers of the model outside the body.
        states: in the order in which the Scan carries them.
        num_names: names given so far; each new one ends in this number, so that none occurs twice.
    """

    scope: str = ""
    tick: str | None = None
    operations: list[Any] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    states: list[ScanState] = field(default_factory=list)
    num_names: int = 0

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Append an operation with one output and return that output's name."""
        output = self._name(op_type)
        self.operations.append(helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def rename(self, source: str, output: str) -> None:
        """Give a value a second name, under which it leaves the body."""
        self.operations.append(helper.make_node("Identity", [source], [output], name=output))

    def constant(self, array: Array | np.generic, what: str = "constant") -> str:
        """Add a fixed tensor and return its name."""
        name = self._name(what)
        self.constants[name] = np.asarray(array)
        return name

    def state(self, shape: Shape, what: str) -> str:
        """Add a float32 state `[B, *shape]` and return its name at the start of the step."""
        name = self._name(what)
        self.states.append(ScanState(name, f"{name}/next", shape))
        return name

    def keep(self, state: str, value: str) -> str:
        """Say what a state holds after a tick, and return the name of what it holds after the step."""
        kept = value if self.tick is None else self.add("Where", self.tick, value, state)
        self.rename(kept, f"{state}/next")
        return kept

    def on_tick(self, value: str) -> str:
        """Return what is sent: the value on a tick, zeros in all other steps."""
        return value if self.tick is None else self.add("Where", self.tick, value, self.constant(np.float32(0), "zero"))

    def as_float(self, condition: str) -> str:
        """Turn a condition into 0.0 and 1.0."""
        return self.add("Cast", condition, to=FLOAT)

    def reshape(self, value: str, *shape: int) -> str:
        """Reshape what follows the batch axis."""
        return self.add("Reshape", value, self.constant(np.array([0, *shape], dtype=np.int64), "shape"))

    def _name(self, what: str) -> str:
        self.num_names += 1
        return f"{self.scope}/{what}_{self.num_names}"


def tensor_info(name: str, shape: Shape, *leading: str, kind: int = FLOAT) -> onnx.ValueInfoProto:
    """Describe a tensor `[*leading, *shape]`; the leading axes are free and have names."""
    return helper.make_tensor_value_info(name, kind, [*leading, *shape])
