"""Finds the one time step in a recorded forward.

It tells which calls belong to which neuron layer and step, and what each step computes from the inputs and the spikes
of this and earlier steps. A forward for one step calls every neuron layer once. A forward with the loop over time
inside calls it T times; then every step must compute the same from its own past, zeros before the first, and that one
computation is the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..errors import UnsupportedModuleError
from ..registry import read_states
from .expressions import Expression, at_rest, key_of, module_id
from .series import find_step, places_within
from .tape import Operation, Ref, Tape

ELEMENTS = ("getitem", "select", "unbind")
"""Functions that can take one step out of a sequence."""


@dataclass(frozen=True)
class NeuronCall:
    """One call of a module that keeps a state: step `step` of layer `layer`."""

    layer: str
    step: int


class Unrolled:
    """A tape, understood as steps.

    Attributes:
        calls: operation index to layer and step.
        layers: layer name to the operations that are its steps.
        states: parameter of forward that carries a state, to (layer, name of the state).
        batch: samples in the inputs with which forward ran.
        num_steps: T; 1 for a forward that computes one step.
        restarted: modules to which forward handed zeros as their state.
    """

    def __init__(self, tape: Tape, time_axis: int | None) -> None:
        self.tape, self.time_axis = tape, time_axis
        shapes = [operation.shape for operation in tape.operations if operation.is_input]
        self.batch = shapes[0][1 if time_axis == 0 else 0] if shapes else 1
        self.calls: dict[int, NeuronCall] = {}
        self.layers: dict[str, list[int]] = {}
        self.states: dict[str, tuple[str, str]] = {}
        self.restarted: set[str] = set()
        self._interned: dict[Any, Expression] = {}
        self._resolved: dict[tuple[Ref, int], Expression] = {}
        for index, operation in enumerate(tape.operations):
            if operation.module is not None and read_states(operation.module):
                self._place(index, operation)
        lengths = {layer: len(indices) for layer, indices in self.layers.items()}
        self.num_steps = max(lengths.values(), default=1)
        for layer, length in lengths.items():
            if length != self.num_steps:
                raise UnsupportedModuleError(
                    f"module {layer}: is called {length} times in a forward of {self.num_steps} steps; call every "
                    "layer once per step"
                )

    def _place(self, index: int, operation: Operation) -> None:
        """Find the layer and step of a call from where its states come from."""
        previous = self._previous(operation)
        if previous is None:
            taken = sum(layer.split(" #")[0] == operation.name for layer in self.layers)
            layer = operation.name if not taken else f"{operation.name} #{taken + 1}"
            self.layers[layer] = []
            step = 0
        else:
            layer, step = self.calls[previous].layer, self.calls[previous].step + 1
            if len(self.layers[layer]) != step:
                raise _refuse(operation, "continues twice from the same membrane, allowed is once per step")
        self._note_states(operation, layer)
        self.calls[index] = NeuronCall(layer, step)
        self.layers[layer].append(index)

    def _previous(self, operation: Operation) -> int | None:
        """Return the call whose states this call continues, or None for the first."""
        assert operation.module is not None
        origins = set()
        for name in read_states(operation.module):
            state = operation.arguments.get(name)
            if state is None:
                same = [i for i in self.calls if self.tape.operations[i].module is operation.module]
                origins.add(same[-1] if same else None)
            elif isinstance(state, Ref):
                origins.add(self._origin(operation, name, state))
            elif bool((torch.as_tensor(state) != 0).any()):
                raise _refuse(operation, f"starts from a '{name}' that is not zero, allowed are zeros")
            else:
                self.restarted.add(operation.name)
                origins.add(None)
        if len(origins) > 1:
            raise _refuse(operation, "mixes states of different steps; pass all states of its last call, or none")
        return origins.pop()

    def _origin(self, operation: Operation, name: str, state: Ref) -> int | None:
        assert operation.module is not None
        source = self.tape.operations[state.index]
        if source.is_input:
            return None
        states = [kept for kept in read_states(operation.module) if kept != "spk"]
        item = 0 if name == "spk" else 1 + states.index(name)
        if source.module is not operation.module or state.item != item:
            raise _refuse(operation, "its membrane argument comes from another layer, pass its own membrane or None")
        return state.index

    def _note_states(self, operation: Operation, layer: str) -> None:
        assert operation.module is not None
        for name in read_states(operation.module):
            state = operation.arguments.get(name)
            if isinstance(state, Ref) and self.tape.operations[state.index].is_input:
                self.states[self.tape.operations[state.index].name] = (layer, name)

    def layer_input(self, layer: str) -> Expression:
        """Return the call of a layer in the last step, after checking that every step computes the same."""
        last = self._call(layer, self.num_steps - 1)
        for step in range(self.num_steps - 1):
            if not self._same(self._call(layer, step), last, step):
                raise UnsupportedModuleError(
                    f"module {layer}: step {step} computes something else than step {self.num_steps - 1}; every step "
                    "must do the same, from zeros before the first"
                )
        return last

    def _call(self, layer: str, step: int) -> Expression:
        return self._apply(Ref(self.layers[layer][step]), step)

    def resolve(self, ref: Ref, step: int) -> Expression:
        """Return what a reference is, seen from a step."""
        key = (ref, step)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(ref, step)
        return self._resolved[key]

    def _resolve(self, ref: Ref, step: int) -> Expression:
        operation = self.tape.operations[ref.index]
        if operation.is_input:
            return self._input(operation)
        if ref.index in self.calls:
            return self._spikes(ref, step)
        if self.time_axis is not None:
            found = find_step(self.tape, ref, self.time_axis)
            if found is not None:
                return self._part_of_step(operation, *found, step)
        element = self._element(operation, ref.item)
        return self.resolve(element, step) if element is not None else self._apply(ref, step)

    def _part_of_step(
        self, operation: Operation, name: str, time: int, places: tuple[int, ...] | None, step: int
    ) -> Expression:
        """Return a step of an input, or what is taken out of it."""
        origin = next(made for made in self.tape.operations if made.is_input and made.name == name)
        whole = self._intern(Expression("input", name, origin.shape[2:], delay=step - time))
        if places is None:
            return whole
        shape = operation.shape[1:]
        taking = Operation("getitem", None, {}, {}, operation.shape, function=places_within)
        arguments = {"0": whole, "1": places, "2": shape}
        return self._intern(Expression("function", "getitem", shape, operation=taking, arguments=arguments))

    def _input(self, operation: Operation) -> Expression:
        if operation.name in self.states:
            raise UnsupportedModuleError(
                f"input {operation.name}: is the state of a layer, allowed is to hand it to that layer only"
            )
        if self.time_axis is not None:
            raise UnsupportedModuleError(
                f"input {operation.name}: is used as a whole sequence, allowed is one step at a time; call the layers "
                "inside the loop over time"
            )
        return self._intern(Expression("input", operation.name, operation.shape[1:]))

    def _spikes(self, ref: Ref, step: int) -> Expression:
        operation, call = self.tape.operations[ref.index], self.calls[ref.index]
        if ref.item not in (None, 0):
            raise UnsupportedModuleError(
                f"module {operation.name}: its membrane is used as a value, allowed are its spikes; only the layer "
                "itself may use its membrane"
            )
        return self._intern(Expression("spikes", call.layer, operation.shape[1:], delay=step - call.step))

    def _element(self, operation: Operation, item: int | None) -> Ref | None:
        """Recognise one step taken out of a stack of steps."""
        source = operation.arguments.get("0")
        if not isinstance(source, Ref):
            return None
        origin = self.tape.operations[source.index]
        position = step_of(operation, item, stack_axis(origin))
        if position is None or origin.is_input:
            return None
        part = origin.arguments["0"][position]
        return part if isinstance(part, Ref) else None

    def _apply(self, ref: Ref, step: int) -> Expression:
        """Build the expression of an operation from those of its arguments."""
        operation = self.tape.operations[ref.index]
        states = read_states(operation.module) if operation.module is not None else ()
        arguments = {key: self._argument(v, step) for key, v in operation.arguments.items() if key not in states}
        attributes = {key: self._argument(value, step) for key, value in operation.attributes.items()}
        kind = "function" if operation.module is None else "module"
        return self._intern(
            Expression(
                kind,
                operation.name,
                operation.shape[1:],
                operation=operation,
                item=ref.item,
                arguments=arguments,
                attributes=attributes,
            )
        )

    def _argument(self, value: Any, step: int) -> Any:
        if isinstance(value, Ref):
            return self.resolve(value, step)
        if isinstance(value, tuple):
            return tuple(self._argument(part, step) for part in value)
        if isinstance(value, torch.Tensor):
            kind = "zeros" if not bool((value != 0).any()) else "constant"
            return self._intern(Expression(kind, kind, tuple(value.shape), constant=value.detach()))
        return value

    def _intern(self, expression: Expression) -> Expression:
        return self._interned.setdefault(key_of(expression), expression)

    def _same(self, early: Any, late: Any, step: int) -> bool:
        """Tell whether an early step computes what a late one does, with zeros for what lies before the first."""
        if early is late:
            return True
        if isinstance(early, Expression) and isinstance(late, Expression):
            if early.constant is not None and late.constant is None:
                return self._is_past(late, step) and torch.equal(early.constant, at_rest(late, early.constant))
            structure = (early.kind, early.name, early.shape, early.delay, early.item, module_id(early))
            if structure != (late.kind, late.name, late.shape, late.delay, late.item, module_id(late)):
                return False
            if early.constant is not None and late.constant is not None:
                return torch.equal(early.constant, late.constant)
            pairs = [(early.arguments or {}, late.arguments or {}), (early.attributes or {}, late.attributes or {})]
            return all(a.keys() == b.keys() and all(self._same(a[k], b[k], step) for k in a) for a, b in pairs)
        if isinstance(early, tuple) and isinstance(late, tuple):
            return len(early) == len(late) and all(self._same(a, b, step) for a, b in zip(early, late, strict=True))
        return bool(early == late)

    def _is_past(self, expression: Any, step: int) -> bool:
        """Tell whether an expression depends only on what lies before the first step, seen from `step`."""
        if isinstance(expression, tuple):
            return all(self._is_past(part, step) for part in expression)
        if not isinstance(expression, Expression) or expression.constant is not None:
            return True
        if expression.kind in ("input", "spikes"):
            return expression.delay > step
        return all(self._is_past(value, step) for value in (expression.arguments or {}).values())


def step_of(operation: Operation, item: int | None, axis: int | None) -> int | None:
    """Return the step that an indexing operation takes out of its argument along `axis`, or None."""
    if axis is None or operation.name not in ELEMENTS:
        return None
    if operation.name == "unbind":
        return item if operation.arguments.get("dim", operation.arguments.get("1", 0)) == axis else None
    index = operation.arguments.get("1")
    if operation.name == "select":
        dimension, index = operation.arguments.get("1", operation.arguments.get("dim")), operation.arguments.get("2")
        return int(index) if dimension == axis and isinstance(index, int) else None
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) <= axis or not isinstance(parts[axis], int):
        return None
    whole = all(part == slice(None) for position, part in enumerate(parts) if position != axis)
    return int(parts[axis]) if whole else None


def walks_along(tape: Tape, axis: int) -> bool:
    """Tell whether forward indexes an input along an axis, step by step."""
    for operation in tape.operations:
        source = operation.arguments.get("0")
        is_input = isinstance(source, Ref) and tape.operations[source.index].is_input
        if is_input and step_of(operation, 0, axis) is not None:
            return True
    return False


def stack_axis(operation: Operation) -> int | None:
    """Return the axis along which an operation stacks its parts, or None if it does not."""
    if operation.name != "stack":
        return None
    return int(operation.arguments.get("dim", operation.arguments.get("1", 0)))


def _refuse(operation: Operation, reason: str) -> UnsupportedModuleError:
    return UnsupportedModuleError(f"module {operation.name} ({type(operation.module).__name__}): {reason}")
