"""One time step found in a rearranged input series: transposed, split, sliced, or indexed."""

from __future__ import annotations

from math import prod

import torch

from .tape import VIEWS, Operation, Ref, Tape

MOVING = VIEWS | {"split", "flip", "index_select"}
"""Functions that only move values."""


def input_behind(tape: Tape, ref: Ref) -> Operation | None:
    """Return the input that a value is a rearrangement of, or None."""
    operation = tape.operations[ref.index]
    while not operation.is_input:
        source = operation.arguments.get("0")
        others = [value for key, value in operation.arguments.items() if key != "0" and isinstance(value, Ref)]
        if operation.name not in MOVING or not isinstance(source, Ref) or others:
            return None
        operation = tape.operations[source.index]
    return operation


def find_step(tape: Tape, ref: Ref, axis: int) -> tuple[str, int, tuple[int, ...] | None] | None:
    """Find the step of an input that a value is, or is a part of, by moving the numbers of its elements.

    Args:
        tape: what forward did.
        ref: the value, of shape [B, ...].
        axis: where the input has the time, 0 or 1.

    Returns:
        (input, step, None) for a whole step; (input, step, places within one sample) for a part or rearrangement of
        one; None if it is neither.
    """
    operation = input_behind(tape, ref)
    if operation is None or len(operation.shape) <= axis:
        return None
    steps, batch = operation.shape[axis], operation.shape[1 - axis]
    sample = operation.shape[2:]
    numbers = torch.arange(steps * batch * prod(sample)).reshape(steps, batch, *sample).transpose(0, axis)
    moved = _moved(tape, ref, numbers)
    if moved.dim() == 0 or len(moved) != batch or moved.numel() == 0:
        return None
    step = int(moved.reshape(-1)[0]) // (batch * prod(sample))
    places = moved - (step * batch + torch.arange(batch).reshape(-1, *(1,) * (moved.dim() - 1))) * prod(sample)
    if not bool((places == places[:1]).all()) or int(places.min()) < 0 or int(places.max()) >= prod(sample):
        return None
    is_whole = places.shape[1:] == sample and torch.equal(places[0].reshape(-1), torch.arange(prod(sample)))
    return operation.name, step, None if is_whole else tuple(places[0].reshape(-1).tolist())


def _moved(tape: Tape, ref: Ref, numbers: torch.Tensor) -> torch.Tensor:
    operation = tape.operations[ref.index]
    if operation.is_input:
        return numbers
    source = operation.arguments["0"]
    assert isinstance(source, Ref)
    rest = [operation.arguments[key] for key in operation.arguments if key.isdigit() and key != "0"]
    named = {key: value for key, value in operation.arguments.items() if not key.isdigit()}
    if operation.name in ("to", "float", "type", "type_as", "data", "dropout"):
        return _moved(tape, source, numbers)
    result = operation.function(_moved(tape, source, numbers), *rest, **named)
    moved: torch.Tensor = result if ref.item is None else result[ref.item]
    return moved


def places_within(step: torch.Tensor, places: tuple[int, ...], shape: tuple[int, ...]) -> torch.Tensor:
    """Take the values at `places` out of every sample of a step, and give each sample a shape."""
    return step.reshape(len(step), -1)[:, list(places)].reshape(len(step), *shape)
