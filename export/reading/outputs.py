"""What a forward returned: names of outputs, and the spikes of one step in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UnsupportedModuleError
from ..registry import read_states
from .expressions import Expression
from .tape import Operation, Ref, Traced
from .unrolled import Unrolled, stack_axis

READ_OUTS = ("sum", "mean", "div", "mul")
"""Functions over the stacked steps that a read-out applies; the graph ends at the spikes."""


def named_outputs(result: Any) -> Mapping[str, Any]:
    """Name what a network returned: a dict's own keys, `output_<i>` for a tuple, `output` for one tensor or list."""
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    if isinstance(result, tuple):
        return {f"output_{index}": value for index, value in enumerate(result)}
    return {"output": result}


def read_output(unrolled: Unrolled, name: str, value: Any) -> Expression | None:
    """Return what an output is in the last step, or None for membranes.

    Raises:
        UnsupportedModuleError: it is no signal of the network.
    """
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, list) and value:
        if len(value) != unrolled.num_steps:
            raise UnsupportedModuleError(
                f"output {name}: is a list of {len(value)} tensors in {unrolled.num_steps} steps, allowed is one "
                "tensor per step; return a tuple or a dict for several outputs"
            )
        value = value[-1]
    if not isinstance(value, Traced):
        raise UnsupportedModuleError(f"output {name}: is not the spikes of a layer; return spikes")
    ref = _last_step(unrolled, value.ref)
    if _is_state(unrolled, ref):
        return None
    expression = unrolled.resolve(ref, unrolled.num_steps - 1)
    return _accumulated(expression, unrolled.num_steps) or expression


def _last_step(unrolled: Unrolled, ref: Ref) -> Ref:
    """Look through a read-out (a sum over time, say) and the stack of steps to the last of them."""
    operation = unrolled.tape.operations[ref.index]
    if unrolled.num_steps > 1 and _stacks_steps(unrolled, operation):
        parts = operation.arguments["0"]
        return parts[-1] if isinstance(parts[-1], Ref) else ref
    if unrolled.num_steps > 1 and operation.name in READ_OUTS and isinstance(operation.arguments.get("0"), Ref):
        inner = _last_step(unrolled, operation.arguments["0"])
        if inner != operation.arguments["0"]:
            return inner
    return ref


def _stacks_steps(unrolled: Unrolled, operation: Operation) -> bool:
    return stack_axis(operation) is not None and len(operation.arguments["0"]) == unrolled.num_steps


def _is_state(unrolled: Unrolled, ref: Ref) -> bool:
    operation = unrolled.tape.operations[ref.index]
    has_states = operation.module is not None and bool(read_states(operation.module))
    return has_states and ref.item not in (None, 0)


def _accumulated(expression: Expression, num_steps: int) -> Expression | None:
    """Recognise a sum over all steps of one layer's spikes, `total = total + spk`, as those spikes."""
    if num_steps < 2 or expression.name != "add":
        return None
    leaves = _leaves(expression)
    now = [leaf for leaf in leaves if leaf.kind == "spikes" and leaf.delay == 0]
    delays = sorted(leaf.delay for leaf in leaves if leaf.kind == "spikes")
    one_layer = len({leaf.name for leaf in leaves if leaf.kind == "spikes"}) == 1
    complete = delays == list(range(num_steps)) and all(leaf.kind in ("spikes", "zeros") for leaf in leaves)
    return now[0] if one_layer and complete else None


def _leaves(expression: Expression) -> list[Expression]:
    if expression.name != "add" or expression.arguments is None:
        return [expression]
    parts = [value for value in expression.arguments.values() if isinstance(value, Expression)]
    constants = [value for value in expression.arguments.values() if not isinstance(value, Expression)]
    if any(constants):
        return [expression]
    return [leaf for part in parts for leaf in _leaves(part)]
