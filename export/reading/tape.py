"""Runs a network's forward on example tensors and writes down every operation: our own tracing.

The forward really runs, so loops over time, shapes, helper functions and lists work as they do in training. Tensors
that depend on the input are `Traced`; each operation on them becomes an `Operation` on the tape, each call of a module
that the reader knows becomes one too, and everything else is refused at the place where it happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import UnsupportedModuleError

QUESTIONS = {"size", "dim", "len", "ndim", "numel", "is_floating_point", "is_complex", "get_device", "is_contiguous"}
"""Functions whose answer depends on shape and type alone."""
VALUES = {"__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__", "__array__", "item", "tolist",
          "numpy", "equal", "allclose", "nonzero", "unique"}  # fmt: skip
"""Functions whose answer depends on what the values are: a graph cannot follow them."""
FRESH = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
"""Functions that make a tensor of their own."""
SETTINGS = {"requires_grad", "grad", "names"}
"""Attributes of a tensor that forward may set: its values stay what they are."""
VIEWS = {
    "view", "reshape", "flatten", "unflatten", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis",
    "squeeze", "unsqueeze", "expand", "expand_as", "view_as", "reshape_as", "narrow", "select", "getitem", "chunk",
    "split", "tensor_split", "unbind", "T", "mT", "t", "contiguous", "detach", "data", "cpu", "to", "float", "type",
    "type_as", "dropout", "broadcast_to", "requires_grad_",
}  # fmt: skip
"""Functions that may return their argument's own memory."""
VIEWING = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
HARMLESS = ("requires_grad_", "detach_")
"""Functions in place that change no value."""
DTYPES = (torch.float32, torch.bool)
"""What a network may compute in."""


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
        dtype: of the result.
    """

    name: str
    module: nn.Module | None
    arguments: Mapping[str, Any]
    attributes: Mapping[str, Any]
    shape: tuple[int, ...]
    is_input: bool = False
    function: Any = None
    dtype: torch.dtype = torch.float32


@dataclass
class Tape:
    """What a forward did, in order.

    Attributes:
        operations: in the order of execution.
        overwritten: values that were changed in place since, and must not be used any more.
        modules: names of the modules whose forward is running, innermost last.
        mistaken: the first input whose last axis its first layer contradicts, and the size that the layer wants.
        buffers: (module, buffer) to what it was before forward, which may assign another.
        states: (module, state) to what the module's last call left there.
        converted: tensors that were written to with values that depend on the input, and their classes.
        viewed: what may share memory with another value, to that value.
    """

    operations: list[Operation] = field(default_factory=list)
    overwritten: set[Ref] = field(default_factory=set)
    modules: list[str] = field(default_factory=list)
    mistaken: tuple[str, int] | None = None
    buffers: dict[tuple[int, str], torch.Tensor | None] = field(default_factory=dict)
    states: dict[tuple[int, str], torch.Tensor] = field(default_factory=dict)
    converted: list[tuple[torch.Tensor, type]] = field(default_factory=list)
    viewed: dict[Ref, Ref] = field(default_factory=dict)

    def add(self, operation: Operation, result: Any) -> Any:
        """Write an operation down and return its result as traced tensors.

        Raises:
            UnsupportedModuleError: it computed in another type than float32.
        """
        if operation.dtype not in DTYPES:
            raise UnsupportedModuleError(
                f"{self.where()}: {operation.name} computes in {str(operation.dtype).removeprefix('torch.')}, allowed "
                "is float32 (and bool for spikes); convert with .float()"
            )
        index = len(self.operations)
        self.operations.append(operation)
        viewed = operation.arguments.get("0", operation.arguments.get("input"))
        if isinstance(viewed, Ref) and (operation.name in VIEWS or isinstance(operation.module, VIEWING)):
            for item in range(len(result)) if isinstance(result, (tuple, list)) else (None,):
                self.viewed[Ref(index, item)] = self.viewed.get(viewed, viewed)
        if isinstance(result, (tuple, list)):
            return type(result)(as_traced(part, self, Ref(index, item)) for item, part in enumerate(result))
        return as_traced(result, self, Ref(index))

    def use(self, tensor: Traced) -> Ref:
        """Return what a tensor refers to.

        Raises:
            UnsupportedModuleError: it was overwritten in place since, or comes from an earlier call of forward.
        """
        if tensor.tape is not self:
            raise UnsupportedModuleError(
                f"{self.where()}: uses a value of an earlier call of forward, kept in an attribute; keep states in "
                "neurons (init_hidden=True), or write the loop over time into forward and start from zeros there"
            )
        if tensor.ref in self.overwritten:
            raise UnsupportedModuleError(
                f"{self.where()}: uses a tensor that was changed in place since; write y = x + z instead of x += z"
            )
        return tensor.ref

    def release(self) -> None:
        """Give tensors that were written to their classes back."""
        for tensor, kind in self.converted:
            tensor.__class__ = kind

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
        tape = next(leaf.tape for leaf in leaves([args, kwargs or {}]) if isinstance(leaf, Traced))
        name = _name(func)
        if getattr(func, "__name__", name) in VALUES or name in VALUES:
            raise UnsupportedModuleError(
                f"{tape.where()}: forward cannot be traced, it branches on values (Tensor.{name}); compute with "
                "tensors instead"
            )
        if name not in QUESTIONS | FRESH:
            named = {str(position): tape_argument(tape, value) for position, value in enumerate(args)}
            named |= {key: tape_argument(tape, value) for key, value in (kwargs or {}).items()}
        if name in ("setitem", "set"):
            return assign(tape, func, args)
        _check_written(tape, name, kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*plain(args, name.endswith("_")), **plain(kwargs or {}))
        if name in QUESTIONS or name in FRESH or not _has_tensor(result):
            return result
        if name.endswith("_") and name not in HARMLESS:
            overwrite(tape, args[0])
            name = name[:-1]
        return tape.add(
            Operation(name, None, named, {}, shape_of(result), function=func, dtype=dtype_of(result)), result
        )


def assign(tape: Tape, func: Any, args: Sequence[Any]) -> None:
    """Write down an assignment to a step of a series, `rec[t] = spk`, as the stack of its steps.

    Raises:
        UnsupportedModuleError: something else is assigned to.
    """
    if func.__name__ == "__set__":
        if func.__self__.__name__ not in SETTINGS:
            raise UnsupportedModuleError(f"{tape.where()}: sets the attribute '{func.__self__.__name__}' of a tensor")
        return
    series, index, value = args
    axis, step = _place(index)
    is_stack = isinstance(series, Traced) and tape.operations[series.ref.index].name == "stack"
    if axis is None or not (is_stack or type(series) is torch.Tensor) or axis >= series.dim():
        raise UnsupportedModuleError(
            f"{tape.where()}: assigns to a part of a tensor, allowed is one step of a series, rec[t] = spk; use "
            "torch.cat, or multiply by a mask"
        )
    if is_stack and tape.operations[series.ref.index].arguments["dim"] == axis:
        parts = list(tape.operations[tape.use(series).index].arguments["0"])
    else:
        parts = [part.clone() for part in plain(series).unbind(axis)]
    if (is_stack and len(parts) == 0) or tuple(value.shape) != tuple(series.select(axis, 0).shape):
        raise UnsupportedModuleError(f"{tape.where()}: assigns {tuple(value.shape)} to a step of {tuple(series.shape)}")
    parts[step] = tape_argument(tape, value)
    operation = Operation(
        "stack", None, {"0": tuple(parts), "dim": axis}, {}, tuple(series.shape), function=torch.stack
    )
    overwrite(tape, series)
    series.ref = tape.add(operation, plain(series)).ref


def _place(index: Any) -> tuple[int | None, int]:
    """Return axis and step of an index that takes one step, such as `t` or `:, t`."""
    parts = index if isinstance(index, tuple) else (index,)
    places = [(axis, part) for axis, part in enumerate(parts) if part is not Ellipsis and part != slice(None)]
    is_step = len(places) == 1 and type(places[0][1]) is int and Ellipsis not in parts[: places[0][0]]
    return places[0] if is_step else (None, 0)


def overwrite(tape: Tape, tensor: torch.Tensor) -> None:
    """Note that a tensor was written to in place: neither it nor what shares its memory may be used any more."""
    if not isinstance(tensor, Traced):
        tape.converted.append((tensor, tensor.__class__))
        tensor.__class__ = Traced
        tensor.ref, tensor.tape = Ref(-1 - len(tape.converted)), tape  # type: ignore[attr-defined]
    assert isinstance(tensor, Traced)
    origin = tape.viewed.get(tensor.ref, tensor.ref)
    tape.overwritten |= {tensor.ref, origin, *(ref for ref, source in tape.viewed.items() if source == origin)}


def _check_written(tape: Tape, name: str, kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("out") is not None:
        raise UnsupportedModuleError(f"{tape.where()}: {name} writes to out=, allowed is to use what it returns")


def _name(func: Any) -> str:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":  # properties, such as Tensor.T
        return str(func.__self__.__name__)
    if name == "__set__":
        return "set"
    return str(name).strip("_") if str(name).startswith("__") else str(name)


def leaves(value: Any) -> Iterator[Any]:
    """Iterate over what containers contain."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, Mapping):
        yield from leaves(list(value.values()))
    else:
        yield value


def plain(value: Any, written: bool = False) -> Any:
    """Return plain tensors; `written` says that the first is written to, which must not reach the network's own."""
    if written and type(value[0]) is not Traced:
        return (value[0].clone(), *plain(tuple(value[1:])))
    if isinstance(value, (tuple, list)):
        return type(value)(plain(part) for part in value) if type(value) in (tuple, list) else value
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    # a copy, since the function may write in place
    return value.as_subclass(torch.Tensor).clone() if isinstance(value, Traced) else value


def _has_tensor(result: Any) -> bool:
    return any(isinstance(leaf, torch.Tensor) for leaf in leaves(result))


def shape_of(result: Any) -> tuple[int, ...]:
    """Return the shape of the first tensor of a result."""
    return tuple(next(leaf for leaf in leaves(result) if isinstance(leaf, torch.Tensor)).shape)


def dtype_of(result: Any) -> torch.dtype:
    """Return the type of the first tensor of a result."""
    return next(leaf for leaf in leaves(result) if isinstance(leaf, torch.Tensor)).dtype


def as_traced(value: Any, tape: Tape, ref: Ref) -> Any:
    """Return a tensor as one that depends on the input."""
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
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        return value.detach().clone()  # what it is now: forward may write to it later
    return value
