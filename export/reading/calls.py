"""Calls of a network's modules while its forward runs: each call of a module that the reader knows is one operation."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import snntorch as snn
import torch
from torch import nn

from ..errors import UnsupportedModuleError
from ..registry import check_refusal, is_registered, read_states, refuse_unregistered, wanted_sizes
from .tape import Operation, Ref, Tape, Traced, dtype_of, leaves, plain, shape_of, tape_argument


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
        if any(isinstance(leaf, Traced) for leaf in leaves([args, kwargs])):
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
        _check_states(network, tape, names)
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


def _call_registered(tape: Tape, name: str, module: nn.Module, args: Any, kwargs: Any, original: Any) -> Any:
    """Run a known module on plain tensors, as one operation."""
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise UnsupportedModuleError(f"module {name}: called with wrong arguments ({error})") from error
    arguments = {key: tape_argument(tape, value) for key, value in bound.arguments.items()}
    if module.training:
        raise UnsupportedModuleError(f"module {name}: forward puts it into training mode; export in eval mode")
    _take_states(tape, name, module, arguments)
    attributes = _assigned(tape, module)
    _check_sizes(tape, module, arguments)
    plain_args, plain_kwargs = plain(tuple(args)), plain(kwargs)
    result = original(module, *plain_args, **plain_kwargs)
    operation = Operation(name, module, arguments, attributes, shape_of(result), dtype=dtype_of(result))
    traced = tape.add(operation, result)
    _leave_states(tape, module)
    return traced


def _take_states(tape: Tape, name: str, module: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Hand a module its own states, as its last call left them, and note if forward changed them since."""
    for state in read_states(module):
        value, key = module._buffers.get(state), (id(module), state)
        if key in tape.states and arguments.get(state) is None and _is_disturbed(tape, value, tape.states[key]):
            raise UnsupportedModuleError(
                f"module {name}: forward changes its '{state}' between two steps, allowed is that its call alone does; "
                "reset it outside of forward, or before a loop over all steps in forward"
            )
        if isinstance(value, Traced):
            module._buffers[state] = value.as_subclass(torch.Tensor)


def _is_disturbed(tape: Tape, value: Any, left: torch.Tensor) -> bool:
    return value is not left or (isinstance(value, Traced) and value.ref in tape.overwritten)


def _leave_states(tape: Tape, module: nn.Module) -> None:
    """Make the states that a call left traced, so that forward cannot use them unseen."""
    index = len(tape.operations) - 1
    outputs = [state for state in read_states(module) if state != "spk"]
    for state in read_states(module):
        value = module._buffers.get(state)
        if value is not None:
            item = 0 if state == "spk" else 1 + outputs.index(state)
            traced: Any = value.as_subclass(Traced)
            traced.ref, traced.tape = Ref(index, item), tape
            module._buffers[state] = tape.states[id(module), state] = traced


def _check_states(network: nn.Module, tape: Tape, names: Mapping[int, str]) -> None:
    """Make all states plain again, after checking that only the modules' calls have written them."""
    for module in network.modules():
        assigned = [name for name, value in module._buffers.items() if isinstance(value, Traced)]
        assigned = [name for name in assigned if is_registered(module) and name not in read_states(module)]
        if assigned:
            raise UnsupportedModuleError(
                f"module {names[id(module)]}: forward assigns '{assigned[0]}' after the layer's last call, allowed is "
                "before it, from values of this step or the one before"
            )
        for state in read_states(module):
            value, key = module._buffers.get(state), (id(module), state)
            if isinstance(value, Traced):
                if key not in tape.states or _is_disturbed(tape, value, tape.states[key]):
                    raise UnsupportedModuleError(
                        f"module {names[id(module)]}: forward sets its '{state}', or calls its forward(); allowed is "
                        "to call the module itself"
                    )
                module._buffers[state] = tape.states[key] = value.as_subclass(torch.Tensor)


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
