"""Runs a network's forward on example tensors and writes down every operation: our own tracing.

The forward really runs, so loops over time, shapes, helper functions and lists work as they do in training. Tensors
that depend on the input are `Traced`; each operation on them becomes an `Operation` on the tape, each call of a module
that the reader knows becomes one too, and everything else is refused at the place where it happens.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import snntorch as snn
import torch
from torch import nn

from ..errors import UnsupportedModuleError
from ..registry import check_refusal, is_registered, read_states, refuse_unregistered, wanted_sizes

QUESTIONS = {"size", "dim", "len", "ndim", "numel", "is_floating_point", "is_complex", "get_device", "is_contiguous"}
"""Functions whose answer depends on shape and type alone."""
VALUES = {"bool", "item", "tolist", "numpy", "int", "float_", "index", "equal", "allclose", "array", "any", "all"}
"""Functions whose answer depends on what the values are: a graph cannot follow them."""
FRESH = {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "new_tensor", "rand_like"}
"""Functions that make a tensor of their own."""


@dataclass(frozen=True)
class Ref:
    """What operation number `index` returned, or element `item` of it."""

    index: int
    item: int | None = None


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation on traced tensors.

    Attributes:
        name: function name, or the qualified name of the module called, or the input's name.
        module: the module called; None for functions and inputs.
        arguments: by parameter for modules, by position (as text) for functions; values are Ref, tensors, or others.
        attributes: buffers of the module that forward assigned anew, such as a moving threshold.
        shape: of the result (of the first element, if there are several), with batch.
        is_input: True for the network's inputs.
        function: what was called on tensors, for functions.
    """

    name: str
    module: nn.Module | None
    arguments: Mapping[str, Any]
    attributes: Mapping[str, Any]
    shape: tuple[int, ...]
    is_input: bool = False
    function: Any = None


@dataclass
class Tape:
    """What a forward did, in order.

    Attributes:
        operations: in the order of execution.
        overwritten: values that were changed in place since, and must not be used any more.
        modules: names of the modules whose forward is running, innermost last.
        mistaken: the first input whose last axis its first layer contradicts, and the size that the layer wants.
        buffers: (module, buffer) to what it was before forward, which may assign another.
    """

    operations: list[Operation] = field(default_factory=list)
    overwritten: set[Ref] = field(default_factory=set)
    modules: list[str] = field(default_factory=list)
    mistaken: tuple[str, int] | None = None
    buffers: dict[tuple[int, str], torch.Tensor | None] = field(default_factory=dict)

    def add(self, operation: Operation, result: Any) -> Any:
        """Write an operation down and return its result as traced tensors."""
        index = len(self.operations)
        self.operations.append(operation)
        if isinstance(result, (tuple, list)):
            return type(result)(_traced(part, self, Ref(index, item)) for item, part in enumerate(result))
        return _traced(result, self, Ref(index))

    def use(self, tensor: Traced) -> Ref:
        """Return what a tensor refers to.

        Raises:
            UnsupportedModuleError: it was overwritten in place since.
        """
        if tensor.ref in self.overwritten:
            raise UnsupportedModuleError(
                f"{self.where()}: uses a tensor that was changed in place since; write y = x + z instead of x += z"
            )
        return tensor.ref

    def where(self) -> str:
        """Say in which module the forward is."""
        return f"module {self.modules[-1]}" if self.modules and self.modules[-1] else "network"


class Traced(torch.Tensor):
    """A tensor that depends on the network's input; torch hands every operation on it to `__torch_function__`."""

    ref: Ref
    tape: Tape

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and write it down unless it only asks for shapes."""
        arguments = [*args, *(kwargs or {}).values()]
        tape = next(leaf.tape for leaf in _leaves(arguments) if isinstance(leaf, Traced))
        name = _name(func)
        with torch._C.DisableTorchFunctionSubclass():
            if name in VALUES:
                raise UnsupportedModuleError(
                    f"{tape.where()}: forward cannot be traced, it branches on values (Tensor.{name}); compute with "
                    "tensors instead"
                )
            result = func(*_plain(args), **_plain(kwargs or {}))
        if name in QUESTIONS or name in FRESH or not _has_tensor(result):
            return result
        named = {str(position): tape_argument(tape, value) for position, value in enumerate(args)}
        named |= {key: tape_argument(tape, value) for key, value in (kwargs or {}).items()}
        if name.endswith("_") and isinstance(args[0], Traced):
            tape.overwritten.add(args[0].ref)
            name = name[:-1]
        return tape.add(Operation(name, None, named, {}, _shape(result), function=func), result)


def _name(func: Any) -> str:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":  # properties, such as Tensor.T
        return str(func.__self__.__name__)
    return str(name).strip("_") if str(name).startswith("__") else str(name)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, Mapping):
        yield from _leaves(list(value.values()))
    else:
        yield value


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_plain(part) for part in value) if type(value) in (tuple, list) else value
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    # a copy, since the function may write in place
    return value.as_subclass(torch.Tensor).clone() if isinstance(value, Traced) else value


def _has_tensor(result: Any) -> bool:
    return any(isinstance(leaf, torch.Tensor) for leaf in _leaves(result))


def _shape(result: Any) -> tuple[int, ...]:
    return tuple(next(leaf for leaf in _leaves(result) if isinstance(leaf, torch.Tensor)).shape)


def _traced(value: Any, tape: Tape, ref: Ref) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    traced = value.as_subclass(Traced)
    traced.ref, traced.tape = ref, tape
    return traced


def tape_argument(tape: Tape, value: Any) -> Any:
    """Return an argument as it is written down: references instead of traced tensors."""
    if isinstance(value, Traced):
        return tape.use(value)
    if isinstance(value, (tuple, list)):
        return tuple(tape_argument(tape, part) for part in value)
    return value


def record_input(tape: Tape, name: str, values: torch.Tensor) -> Any:
    """Write down an input of the network and return it as a traced tensor."""
    return tape.add(Operation(name, None, {}, {}, tuple(values.shape), is_input=True), values.clone())


@contextlib.contextmanager
def recording(network: nn.Module, tape: Tape) -> Iterator[None]:
    """While this holds, calls of the network's modules are written down."""
    names = {id(module): name for name, module in network.named_modules()}
    tape.buffers = {(id(m), name): value for m in network.modules() for name, value in m._buffers.items()}
    original = nn.Module.__call__

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        name = names.get(id(module), type(module).__name__)
        if any(isinstance(leaf, Traced) for leaf in _leaves([args, kwargs])):
            check_refusal(name, module)
            if is_registered(module):
                return _call_registered(tape, name, module, args, kwargs, original)
            is_leaf = type(module).__module__.startswith("torch.nn.modules") and not list(module.children())
            if is_leaf or isinstance(module, snn.SpikingNeuron):
                raise refuse_unregistered(name, module)
        tape.modules.append(name)
        try:
            return original(module, *args, **kwargs)
        finally:
            tape.modules.pop()

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


def _call_registered(tape: Tape, name: str, module: nn.Module, args: Any, kwargs: Any, original: Any) -> Any:
    """Run a known module on plain tensors, as one operation."""
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise UnsupportedModuleError(f"module {name}: called with wrong arguments ({error})") from error
    arguments = {key: tape_argument(tape, value) for key, value in bound.arguments.items()}
    attributes = _assigned(tape, module)
    _check_sizes(tape, module, arguments)
    plain_args, plain_kwargs = _plain(tuple(args)), _plain(kwargs)
    result = original(module, *plain_args, **plain_kwargs)
    return tape.add(Operation(name, module, arguments, attributes, _shape(result)), result)


def _assigned(tape: Tape, module: nn.Module) -> dict[str, Any]:
    """Return the buffers that forward has assigned to a module, such as a moving threshold; plain ones stay there."""
    assigned: dict[str, Any] = {}
    for attribute, value in [*module._buffers.items()]:
        if attribute in read_states(module):
            continue
        if value is not tape.buffers.get((id(module), attribute), value):
            assigned[attribute] = tape_argument(tape, value)
        if isinstance(value, Traced):
            module._buffers[attribute] = value.as_subclass(torch.Tensor)
    return assigned


def _check_sizes(tape: Tape, module: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Note an input that has not the size that a layer wants of it."""
    for parameter, size in wanted_sizes(module).items():
        ref = arguments.get(parameter)
        operation = _input_behind(tape, ref)
        if operation is not None and operation.shape[-1] != size:
            tape.mistaken = tape.mistaken or (operation.name, size)


def _input_behind(tape: Tape, ref: Any) -> Operation | None:
    """Return the input that an argument is, or is one step of."""
    operation = tape.operations[ref.index] if isinstance(ref, Ref) else None
    while operation is not None and not operation.is_input:
        source = operation.arguments.get("0")
        is_element = operation.name in ("getitem", "select", "unbind") and isinstance(source, Ref)
        operation = tape.operations[source.index] if is_element and isinstance(source, Ref) else None
    return operation
