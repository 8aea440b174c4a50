"""A network's forward to a float graph: the forward runs on example tensors, and what it does is read.

The network's own control flow is followed, not its module list, so branches, loops over time, shared layers and state
arguments are seen as they are. Everything the graph cannot say is refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from .errors import UnsupportedModuleError
from .graph import Edge, Graph
from .nodes import Input, Output
from .reading.calls import record_input, recording
from .reading.emission import GAIN_SUFFIX, Emission
from .reading.functions import BATCH, EMITTERS
from .reading.outputs import named_outputs, read_output
from .reading.prune import prune
from .reading.readable import check_readable
from .reading.repetition import (
    check_steps,
    first_difference,
    left_as_it_was,
    one_sample_more,
    put_to_rest,
    weights_digest,
)
from .reading.snntorch_modules import register_snntorch_modules
from .reading.tape import Tape
from .reading.torch_modules import register_torch_modules
from .reading.unrolled import Unrolled, walks_along
from .registry import is_registered
from .verify import verify

DEFAULT_DT_S = 1e-3
STEPS = ((3, 12), (12, 24))
"""Steps for which a forward with a loop over time is run, and for how many once more, which must be the same graph.
Delays that the first choice is too short for show in the second."""
FIRST_GUESS = 8
"""Size of an input whose shape nobody told; the first layer that it meets corrects it."""
TimeAxis = Literal["auto", "none", "first", "second"]
_AXES: dict[str, tuple[int | None, ...]] = {"auto": (None, 0, 1), "none": (None,), "first": (0,), "second": (1,)}

register_torch_modules()
register_snntorch_modules()


@dataclass(frozen=True)
class TracedNetwork:
    """A network as it was read.

    Attributes:
        graph: verified float graph.
        states: parameter of `forward` that carries a state, to (module, its name for that state).
        calls: module to the neuron nodes that its calls are, in the order of the calls within a step.
        time_axis: axis of the inputs along which forward loops over time; None if it computes one step.
        fixed_steps: steps that forward computes on one and the same input, whatever its shape; 1 otherwise.
    """

    graph: Graph
    states: Mapping[str, tuple[str, str]]
    calls: Mapping[str, tuple[str, ...]]
    time_axis: int | None = None
    fixed_steps: int = 1


def read_network(
    network: nn.Module,
    dt_s: float = DEFAULT_DT_S,
    inputs: Mapping[str, Input] | None = None,
    time_axis: TimeAxis = "auto",
) -> Graph:
    """Read a network; see `trace_network`."""
    return trace_network(network, dt_s, inputs, time_axis).graph


def trace_network(
    network: nn.Module,
    dt_s: float = DEFAULT_DT_S,
    inputs: Mapping[str, Input] | None = None,
    time_axis: TimeAxis = "auto",
) -> TracedNetwork:
    """Read a network whose `forward` computes one time step, or loops over time.

    Args:
        network: takes spikes `[B, *shape]` (and states, if explicit), or whole sequences, and returns spikes: one
            tensor, a tuple, or a dict of named ones; for a loop, stacked over time or as a list.
        dt_s: duration of a time step in seconds; metadata only, no discrete parameter depends on it.
        inputs: parameter of forward to shape and kind, per sample and step. Parameters that are not named are states.
            None: shapes follow from the first Linear layers, states from their use.
        time_axis: where forward has the time: "none" (one step), "first" `[T, B, …]`, "second" `[B, T, …]`, or "auto":
            the first of these that can be read.

    Returns:
        The verified float graph, whose input nodes carry the names of forward's parameters, and its states. Its weights
        share memory with the network's: read again after training goes on.

    Raises:
        UnsupportedModuleError: a module, operation or control flow cannot be carried exactly.
        ExportError: the network is read but its graph is not allowed, see `verify`.
    """
    if not dt_s > 0:
        raise UnsupportedModuleError(f"dt_s: is {dt_s}, allowed is a positive duration in seconds")
    if time_axis not in _AXES:
        raise UnsupportedModuleError(f"time_axis: is '{time_axis}', allowed are {', '.join(_AXES)}")
    if is_registered(network):
        raise UnsupportedModuleError(
            f"network: is a bare {type(network).__name__}, allowed is a network of layers; wrap it in nn.Sequential"
        )
    check_readable(network)
    was_training = network.training
    network.eval()
    try:
        return _first_readable(network, dt_s, inputs, _AXES[time_axis])
    finally:
        network.train(was_training)


class _WrongAxis(UnsupportedModuleError):
    """Forward takes single steps out of an input along an axis that is not the one it was read with."""


class _Failed(UnsupportedModuleError):
    """Forward does not run on these shapes."""


def _first_readable(
    network: nn.Module, dt_s: float, inputs: Mapping[str, Input] | None, axes: tuple[int | None, ...]
) -> TracedNetwork:
    refusals: list[UnsupportedModuleError] = []
    for axis in axes:
        try:
            return _read(network, dt_s, inputs, axis)
        except UnsupportedModuleError as error:
            refusals.append(error)
    # what a forward that ran says of itself is worth more than one that failed, or that took a batch for its steps
    raise min(refusals, key=lambda error: 2 * isinstance(error, _WrongAxis) + isinstance(error, _Failed))


def _read(network: nn.Module, dt_s: float, inputs: Mapping[str, Input] | None, axis: int | None) -> TracedNetwork:
    known = dict(inputs or {})
    for _ in range(len(inspect.signature(network.forward).parameters) + 1):
        weights = weights_digest(network)
        with left_as_it_was(network):
            traced = _read_once(network, dt_s, known, axis, guesses=inputs is None)
        changed = [name for name, value in weights_digest(network).items() if repr(value) != repr(weights[name])]
        if changed:
            raise UnsupportedModuleError(
                f"parameter {changed[0]}: is changed by forward; do this before, on a new network"
            )
        if isinstance(traced, TracedNetwork):
            return traced
        name, size = traced
        known[name] = Input(shape=(size,))
    raise UnsupportedModuleError(
        f"network {type(network).__name__}: the shapes of its inputs cannot be found; name them"
    )


def _read_once(
    network: nn.Module, dt_s: float, known: Mapping[str, Input], axis: int | None, guesses: bool
) -> TracedNetwork | tuple[str, int]:
    """Read a network on inputs of given shapes; or return an input whose size was guessed wrongly, and its size."""
    difference = None
    for steps, more in STEPS:
        tape = Tape()
        put_to_rest(network)
        try:
            result = _run(network, tape, known, axis, guesses, steps)
            if guesses and tape.mistaken is not None:
                return tape.mistaken
            traced = _understand(tape, result, known, dt_s, axis)
        finally:
            tape.release()
        difference = _difference_again(network, traced, known, tape, more)
        if difference is None:
            return traced
    raise UnsupportedModuleError(
        f"network {type(network).__name__}: {difference} is something else when forward runs again, on another batch "
        "or for more steps; allowed is what depends on the input and the spikes of a few steps, without counters, "
        "noise, values read out of tensors, the size of the batch, or sums over all steps so far"
    )


def _difference_again(
    network: nn.Module, traced: TracedNetwork, known: Mapping[str, Input], tape: Tape, steps: int
) -> str | None:
    """Return a node that is another when forward goes on, on other values and for more steps, or None."""
    again = Tape()
    if traced.time_axis is None and traced.fixed_steps == 1:
        again.states = one_sample_more(network, tape.states)
    else:
        put_to_rest(network)
    try:
        result = _run(network, again, known, traced.time_axis, False, steps, BATCH + 1, 8.0)
        second = _understand(again, result, known, traced.graph.dt_s, traced.time_axis)
    finally:
        again.release()
    return first_difference(traced.graph, second.graph)


def _run(
    network: nn.Module,
    tape: Tape,
    known: Mapping[str, Input],
    axis: int | None,
    guesses: bool,
    steps: int,
    batch: int = BATCH,
    values: float = 0.0,
) -> Any:
    """Run forward on example tensors, zeros or random ones times `values`."""
    arguments = {}
    for name, parameter in inspect.signature(network.forward).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in known or parameter.default is parameter.empty:
            shape = known[name].shape if name in known else (FIRST_GUESS,)
            leading = {None: (batch,), 0: (steps, batch), 1: (batch, steps)}[axis]
            arguments[name] = record_input(tape, name, torch.randn(*leading, *shape) * values)
    unknown = set(known) - set(arguments)
    if unknown:
        raise UnsupportedModuleError(f"input {min(unknown)}: forward has no such parameter; rename the array")
    try:
        with torch.no_grad(), recording(network, tape):
            return network(**arguments)
    except UnsupportedModuleError:
        if tape.mistaken is None or not guesses:
            raise
        return None
    except (TypeError, RuntimeError, ValueError, AttributeError, IndexError, KeyError, NotImplementedError) as error:
        if tape.mistaken is not None and guesses:
            return None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        shapes = ", ".join(f"{name} {node.shape}" for name, node in known.items()) or "guessed shapes"
        raise _Failed(
            f"network {type(network).__name__}: forward fails on {shapes} per sample and step ({reason}); check the "
            "arrays' shapes [N, T, *shape], and where forward has the time (time_axis)"
        ) from error


def _understand(tape: Tape, result: Any, known: Mapping[str, Input], dt_s: float, axis: int | None) -> TracedNetwork:
    if axis != 1 and walks_along(tape, 0 if axis is None else 1):
        raise _WrongAxis(
            "network: forward takes its input apart along the batch axis; say with time_axis where forward has the time"
        )
    unrolled = Unrolled(tape, axis)
    check_steps(unrolled, tape, axis)
    try:
        graph = _emit(unrolled, result, known, dt_s)
    except UnsupportedModuleError as error:
        if axis is None and unrolled.num_steps in (BATCH, BATCH + 1):
            raise _WrongAxis(str(error)) from error
        raise
    verify(graph, "float")
    loops = axis is None and unrolled.num_steps > 1
    return TracedNetwork(
        graph=graph,
        states={name: (_module_of(layer), state) for name, (layer, state) in unrolled.states.items()},
        calls=_calls(unrolled),
        time_axis=axis,
        fixed_steps=unrolled.num_steps if loops else 1,
    )


def _emit(unrolled: Unrolled, result: Any, known: Mapping[str, Input], dt_s: float) -> Graph:
    """Make the graph of one step: its layers, and what forward returned."""
    emission = Emission(unrolled, known, EMITTERS)
    emission.emit_layers()
    for name, value in named_outputs(result).items():
        output = read_output(unrolled, name, value)
        if output is None:
            continue
        source = emission.value(output)
        is_graded = len(source.terms) == 1 and source.terms[0][0].endswith(GAIN_SUFFIX)
        if len(source.terms) != 1 or not (source.spikes or is_graded) or source.offset is not None:
            raise UnsupportedModuleError(f"output {name}: is not the spikes of a layer; return spikes")
        (term,) = source.terms
        if term[1]:
            raise UnsupportedModuleError(f"output {name}: is {term[1]} steps old; return the spikes of the step itself")
        emission.nodes[name] = Output(shape=source.shape)
        emission.edges.append(Edge(term[0], name, delay=term[1]))
    return prune(Graph(nodes=emission.nodes, edges=tuple(emission.edges), dialect="float", dt_s=dt_s))


def _module_of(layer: str) -> str:
    return layer.split(" #")[0]


def _calls(unrolled: Unrolled) -> dict[str, tuple[str, ...]]:
    """Module to its layers, in the order in which a step calls them."""
    first = sorted(unrolled.layers, key=lambda layer: unrolled.layers[layer][0])
    calls: dict[str, tuple[str, ...]] = {}
    for layer in first:
        calls[_module_of(layer)] = (*calls.get(_module_of(layer), ()), layer)
    return calls
