"""How the reader learns to read a module: a small registration protocol, open to users' own neurons.

A *reading function* turns one call of a module into one graph node::

    def read_my_neuron(call: ModuleCall) -> Reading: ...
    register_module(MyNeuron, read_my_neuron)

Types are matched exactly, never by inheritance: a subclass may change the equation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from .errors import UnsupportedModuleError
from .nodes import Node


@dataclass(frozen=True)
class Value:
    """What flows between modules while a network is read.

    Attributes:
        node: the graph node that produces it.
        is_state: True for a membrane, which only its own neuron may use.
    """

    node: str
    is_state: bool = False


@dataclass(frozen=True)
class ModuleCall:
    """One call of a leaf module in the traced forward.

    Attributes:
        name: qualified module name, such as `visual.lif1`.
        module: the module itself, in eval mode.
        arguments: values by parameter name of the module's `forward`; None where the caller gave None.
        size: number of values per sample that arrive at the first argument, or None if not known yet.
    """

    name: str
    module: nn.Module
    arguments: Mapping[str, Any]
    size: int | None

    def refuse(self, reason: str) -> UnsupportedModuleError:
        """Return the error that names this module and why it cannot be carried exactly."""
        return UnsupportedModuleError(f"module {self.name} ({type(self.module).__name__}): {reason}")

    def need_size(self) -> int:
        """Return `size`.

        Raises:
            UnsupportedModuleError: nothing tells how many values arrive.
        """
        if self.size is None:
            raise self.refuse("its number of inputs is not known, put an nn.Linear before it")
        return self.size


@dataclass(frozen=True)
class Reading:
    """What a call becomes.

    Attributes:
        node: the graph node.
        ports: which argument arrives at which port of the node.
        state: name of the argument that carries the membrane, if any.
        returns_state: the module returns (spikes, membrane) instead of spikes alone.
    """

    node: Node
    ports: Mapping[str, Any]
    state: str | None = None
    returns_state: bool = False


@dataclass(frozen=True)
class PassThrough:
    """The call changes nothing in eval mode (Dropout, Identity)."""

    argument: Any


ReadingFunction = Callable[[ModuleCall], Reading | PassThrough]
_READINGS: dict[type[nn.Module], ReadingFunction] = {}


def register_module(kind: type[nn.Module], read: ReadingFunction) -> None:
    """Teach the reader to read modules whose type is exactly `kind`."""
    _READINGS[kind] = read


def is_registered(module: nn.Module) -> bool:
    """Tell whether `module` is read as one node."""
    return type(module) in _READINGS


def read_module(call: ModuleCall) -> Reading | PassThrough:
    """Read one call.

    Raises:
        UnsupportedModuleError: the type is not registered, or its settings cannot be carried exactly.
    """
    read = _READINGS.get(type(call.module))
    if read is None:
        known = ", ".join(sorted(kind.__name__ for kind in _READINGS))
        raise call.refuse(f"cannot be exported; supported are {known}; register a reading function or replace it")
    return read(call)
