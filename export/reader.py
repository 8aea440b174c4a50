"""A network's forward for one time step to a float graph, by torch.fx.

The network's own control flow is traced, not its module list, so branches, shared inputs and state
arguments are seen as they are. Everything the graph cannot say is refused by name.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import snntorch as snn
import torch
from torch import fx, nn

from .errors import UnsupportedModuleError
from .graph import Edge, Graph
from .nodes import DYNAMIC, Input, Linear, Node, Output
from .registry import ModuleCall, PassThrough, Value, is_registered, read_module
from .snntorch_modules import register_snntorch_modules
from .verify import verify

DEFAULT_DT_S = 1e-3

register_snntorch_modules()


@dataclass(frozen=True)
class TracedNetwork:
    """A network as it was read.

    Attributes:
        graph: verified float graph.
        states: parameter of `forward` that carries a membrane, to the neuron that it belongs to.
    """

    graph: Graph
    states: Mapping[str, str]


def read_network(network: nn.Module, dt_s: float = DEFAULT_DT_S) -> Graph:
    """Read a network whose `forward` computes one time step; see `trace_network`."""
    return trace_network(network, dt_s).graph


def trace_network(network: nn.Module, dt_s: float = DEFAULT_DT_S) -> TracedNetwork:
    """Read a network whose `forward` computes one time step.

    Args:
        network: takes input spikes `[B, n]` (and membranes, if explicit) and returns spikes: one tensor, a
            tuple, or a dict of named ones.
        dt_s: duration of a time step in seconds; metadata only, no discrete parameter depends on it.

    Returns:
        The verified float graph, whose input nodes carry the names of forward's parameters, and the membranes.

    Raises:
        UnsupportedModuleError: a module, operation or control flow cannot be carried exactly.
        ExportError: the network is read but its graph is not allowed, see `verify`.
    """
    if not dt_s > 0:
        raise UnsupportedModuleError(f"dt_s: is {dt_s}, allowed is a positive duration in seconds")
    network = network.eval()
    reading = _NetworkReading(network, _trace(network))
    graph = Graph(nodes=reading.nodes, edges=tuple(reading.edges), dialect="float", dt_s=dt_s)
    verify(graph, "float")
    return TracedNetwork(graph, reading.states)


class _Tracer(fx.Tracer):
    """Stops at registered modules, spiking neurons and torch's own modules, so that errors name them."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        if is_registered(module) or isinstance(module, snn.SpikingNeuron):
            return True
        return super().is_leaf_module(module, qualified_name)


def _trace(network: nn.Module) -> fx.Graph:
    if is_registered(network):
        raise UnsupportedModuleError(
            f"network: is a bare {type(network).__name__}, allowed is a network of layers; wrap it in nn.Sequential"
        )
    try:
        return _Tracer().trace(network)
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnsupportedModuleError(
            f"network {type(network).__name__}: forward cannot be traced ({reason}); write forward for one time "
            "step, without loops over time or branches on values"
        ) from error


class _NetworkReading:
    """One walk over the traced operations, collecting nodes and edges."""

    def __init__(self, network: nn.Module, traced: fx.Graph) -> None:
        self.network = network
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.values: dict[fx.Node, Any] = {}
        self.placeholders: set[str] = set()
        self.states: dict[str, str] = {}
        for operation in traced.nodes:
            self.values[operation] = getattr(self, f"_read_{operation.op}")(operation)

    def _read_placeholder(self, operation: fx.Node) -> Value:
        self.placeholders.add(str(operation.target))
        return Value(str(operation.target))

    def _read_get_attr(self, operation: fx.Node) -> torch.Tensor:
        value = operator.attrgetter(str(operation.target))(self.network)
        if not isinstance(value, torch.Tensor) or bool((value != 0).any()):
            raise UnsupportedModuleError(
                f"attribute {operation.target}: only zero initial membranes may enter forward as constants; "
                "pass other values through a module"
            )
        return value

    def _read_call_function(self, operation: fx.Node) -> Any:
        if operation.target is operator.getitem:
            container, index = self._resolve(operation.args[0]), operation.args[1]
            if isinstance(container, tuple) and isinstance(index, int) and index < len(container):
                return container[index]
        raise self._refuse_operation(operation, getattr(operation.target, "__name__", str(operation.target)))

    def _read_call_method(self, operation: fx.Node) -> Any:
        raise self._refuse_operation(operation, f"Tensor.{operation.target}")

    def _refuse_operation(self, operation: fx.Node, what: str) -> UnsupportedModuleError:
        return UnsupportedModuleError(
            f"operation {operation.name}: {what} between layers cannot be exported; supported are calls of "
            "layers and unpacking (spikes, membrane)"
        )

    def _read_call_module(self, operation: fx.Node) -> Any:
        name = str(operation.target)
        module = self.network.get_submodule(name)
        arguments = self._bind(module, operation, name)
        first = next(iter(arguments.values()), None)
        call = ModuleCall(name, module, arguments, self._size(first))
        if name in self.nodes:
            raise call.refuse("is called more than once; write forward for one time step, and use a layer per place")
        reading = read_module(call)
        if isinstance(reading, PassThrough):
            return self._resolve(reading.argument)
        self.nodes[name] = reading.node
        for port, value in reading.ports.items():
            if value is not None:
                self._connect(value, name, port, call)
        if reading.state is not None:
            self._check_state(arguments.get(reading.state), call)
        return (Value(name), Value(name, is_state=True)) if reading.returns_state else Value(name)

    def _bind(self, module: nn.Module, operation: fx.Node, name: str) -> dict[str, Any]:
        resolved = fx.map_arg((operation.args, operation.kwargs), self.values.__getitem__)
        try:
            bound = inspect.signature(module.forward).bind(*resolved[0], **resolved[1])
        except TypeError as error:
            raise UnsupportedModuleError(f"module {name}: called with wrong arguments ({error})") from error
        return dict(bound.arguments)

    def _resolve(self, argument: Any) -> Any:
        return self.values[argument] if isinstance(argument, fx.Node) else argument

    def _size(self, value: Any) -> int | None:
        node = self.nodes.get(value.node) if isinstance(value, Value) else None
        return None if node is None else node.size

    def _connect(self, value: Any, name: str, port: str, call: ModuleCall) -> None:
        if not isinstance(value, Value) or value.is_state:
            raise call.refuse(f"argument for '{port}' is not the spikes or currents of a layer")
        if value.node in self.placeholders and value.node not in self.nodes:
            self._add_input(value.node, name, port, call)
        self.edges.append(Edge(value.node, name, port))

    def _add_input(self, source: str, name: str, port: str, call: ModuleCall) -> None:
        """Size and kind of an input follow from the first port that it arrives at."""
        node = self.nodes[name]
        if isinstance(node, Linear):
            self.nodes[source] = Input(size=int(node.weight.shape[1]))
        elif isinstance(node, DYNAMIC) and port == "context":
            self.nodes[source] = Input(size=node.controller.num_context, kind="graded")
        elif isinstance(node, DYNAMIC) and port == "population":
            self.nodes[source] = Input(size=node.controller.population)
        else:
            raise call.refuse("is driven by the network's input directly, put an nn.Linear before it")

    def _check_state(self, state: Any, call: ModuleCall) -> None:
        """A membrane must start at zero and belong to this neuron alone."""
        if state is None or isinstance(state, torch.Tensor):
            return
        if not isinstance(state, Value) or state.node in self.nodes:
            raise call.refuse("its membrane argument comes from another layer, pass its own membrane or None")
        self.states[state.node] = call.name

    def _read_output(self, operation: fx.Node) -> None:
        result = fx.map_arg(operation.args[0], self.values.__getitem__)
        for name, value in named_outputs(result).items():
            if isinstance(value, tuple):
                value = value[0]
            if not isinstance(value, Value) or value.node not in self.nodes:
                raise UnsupportedModuleError(f"output {name}: is not the spikes of a layer; return spikes")
            if value.is_state:
                continue
            self.nodes[name] = Output(size=self.nodes[value.node].size)
            self.edges.append(Edge(value.node, name))


def named_outputs(result: Any) -> Mapping[str, Any]:
    """Name what a network returned: a dict's own keys, `output_<i>` for a tuple, `output` for one tensor."""
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    if isinstance(result, (tuple, list)):
        return {f"output_{index}": value for index, value in enumerate(result)}
    return {"output": result}
