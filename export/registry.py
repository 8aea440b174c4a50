"""How the reader learns to read a module: a small registration protocol, open to users' own neurons.

A *reading function* turns one call of a module into graph nodes::

    def read_my_neuron(call: ModuleCall) -> Reading: ...
    register_module(MyNeuron, read_my_neuron, states=("mem",))

Types are matched exactly, never by inheritance: a subclass may change the equation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from .errors import UnsupportedModuleError
from .nodes import Node, Shape

IGNORED = ""
"""The port of a parameter whose value the module does not use."""


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module in the traced forward.

    Attributes:
        name: qualified module name, such as `visual.lif1`.
        module: the module itself, in eval mode.
        shape: per-sample shape of its first argument.
        carries_spikes: its first argument is 0 or 1.
        connected: parameters of `forward`, and attributes such as a moving threshold, at which a signal arrives.
    """

    name: str
    module: nn.Module
    shape: Shape
    carries_spikes: bool = False
    connected: frozenset[str] = frozenset()

    def refuse(self, reason: str) -> UnsupportedModuleError:
        """Return the error that names this module and why it cannot be carried exactly."""
        return UnsupportedModuleError(f"module {self.name} ({type(self.module).__name__}): {reason}")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a call becomes: `scales` → `before` → node, whose spikes are multiplied by `gain`.

    Attributes:
        node: the graph node.
        ports: parameter of `forward` (or attribute) to the port of the node at which it arrives, or IGNORED.
        before: nodes through which the signal at port `input` passes first, such as the sum of a max pooling.
        recurrent: node through which the node's own spikes of the step before arrive at its port `recurrent`.
        gain: what a spike is worth, if not 1.
    """

    node: Node
    ports: Mapping[str, str] = field(default_factory=lambda: {"input": "input"})
    before: tuple[Node, ...] = ()
    recurrent: Node | None = None
    gain: np.float32 | None = None


@dataclass(frozen=True)
class PassThrough:
    """The call changes nothing in eval mode (Dropout, Identity)."""


ReadingFunction = Callable[[ModuleCall], Reading | PassThrough]


SizeFunction = Callable[[nn.Module], Mapping[str, int]]


@dataclass(frozen=True)
class _Registered:
    read: ReadingFunction
    states: tuple[str, ...]
    sizes: SizeFunction


_READINGS: dict[type[nn.Module], _Registered] = {}


def register_module(
    kind: type[nn.Module],
    read: ReadingFunction,
    states: tuple[str, ...] = (),
    sizes: SizeFunction = lambda module: {},
) -> None:
    """Teach the reader to read modules whose type is exactly `kind`.

    Args:
        kind: the module's class.
        read: its reading function.
        states: what a spiking module keeps from step to step, in the order in which it returns them after the
            spikes; each is a parameter of its `forward` and an attribute of the module, as in snnTorch. The
            attribute `init_hidden` says that it keeps them itself and returns spikes alone (unless `output`).
        sizes: tells, for an instance, which length it wants of the last axis of which parameters of its `forward`;
            from this the shapes of inputs follow where nobody names them.
    """
    _READINGS[kind] = _Registered(read, states, sizes)


_REFUSALS: dict[type[nn.Module], Callable[[nn.Module], str | None]] = {}


def register_refusal(kind: type[nn.Module], reason: Callable[[nn.Module], str | None]) -> None:
    """Refuse modules whose type is exactly `kind` before they run; `reason` returns None for those that are well."""
    _REFUSALS[kind] = reason


def check_refusal(name: str, module: nn.Module) -> None:
    """Raise if a module is known to compute something wrong or ill-defined.

    Raises:
        UnsupportedModuleError: with the reason.
    """
    why = _REFUSALS.get(type(module))
    reason = None if why is None else why(module)
    if reason is not None:
        raise UnsupportedModuleError(f"module {name} ({type(module).__name__}): {reason}")


def is_registered(module: nn.Module) -> bool:
    """Tell whether `module` is read as one operation."""
    return type(module) in _READINGS


def read_states(module: nn.Module) -> tuple[str, ...]:
    """Return the names of what a module keeps from step to step; none for a module without memory."""
    registered = _READINGS.get(type(module))
    return () if registered is None else registered.states


def wanted_sizes(module: nn.Module) -> Mapping[str, int]:
    """Return the sizes that a registered module wants of its arguments."""
    return _READINGS[type(module)].sizes(module)


def read_module(call: ModuleCall) -> Reading | PassThrough:
    """Read one call of a registered module.

    Raises:
        UnsupportedModuleError: its settings cannot be carried exactly.
    """
    return _READINGS[type(call.module)].read(call)


def refuse_unregistered(name: str, module: nn.Module) -> UnsupportedModuleError:
    """Return the error for a module that the reader does not know."""
    known = ", ".join(sorted(kind.__name__ for kind in _READINGS))
    return UnsupportedModuleError(
        f"module {name} ({type(module).__name__}): cannot be exported; supported are {known}; register a reading "
        "function or replace it"
    )
