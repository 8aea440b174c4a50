"""What is deployed: the chip segment (one step of a spiking network) and the host segments around it.

A factory, named `module:function` on the command line, returns either a plain network (all of it goes to the
chip) or a `Deployment`. It may take one argument: the configuration stored in the checkpoint.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from torch import nn

from .checkpoint import load_checkpoint
from .errors import ExportError, InputDataError
from .nodes import Input, InputKind
from .reader import TimeAxis
from .trace import Array
from .user_code import user_code


@dataclass(frozen=True)
class HostSegment:
    """A part that runs on the host, in floats, once per sample.

    Names are the protocol. Before the chip, inputs are arrays of the run's input file; outputs named like a
    graded input node of the chip become that input. After the chip, `<output>_rate` (spikes per step, float32
    `[B, n]`) of every chip output is there too, besides everything that the segments before it returned.

    Attributes:
        name: used in file names and reports.
        module: takes `inputs` and returns a tuple in the order of `outputs`; batch first.
        inputs: names of arrays.
        outputs: names of arrays.
        when: before or after the chip.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    when: Literal["before", "after"]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]{1,64}", self.name):
            raise ExportError(f"host segment {self.name!r:.80}: its name is not of letters, digits, _ and -; rename it")
        if self.when not in ("before", "after"):
            raise ExportError(f"host segment {self.name}: when is {self.when!r:.80}, allowed are 'before' and 'after'")
        _check_module(f"host segment {self.name}: its module", self.module)


@dataclass(frozen=True)
class Deployment:
    """A trained network, split for deployment.

    Attributes:
        module: owns all weights; the checkpoint is loaded into it.
        chip: one time step of the spiking part.
        hosts: segments on the host; empty for a network that is all chip.
        dt_s: duration of a time step in seconds.
        time_axis: where the chip's forward has the time, see `reader.trace_network`.
    """

    module: nn.Module
    chip: nn.Module
    hosts: tuple[HostSegment, ...] = ()
    dt_s: float = 1e-3
    time_axis: TimeAxis = "auto"

    def __post_init__(self) -> None:
        _check_module("deployment: module", self.module)
        _check_module("deployment: chip", self.chip)
        names = [host.name for host in self.hosts]
        if len(set(names)) < len(names):
            raise ExportError(f"deployment: host segments are named {', '.join(names)}; give each a name of its own")


def _check_module(what: str, module: object) -> None:
    if not isinstance(module, nn.Module):
        raise ExportError(f"{what} is {type(module).__name__}, allowed is an nn.Module")


def load_deployment(factory: str, checkpoint: Path | None) -> Deployment:
    """Build a network and load its weights.

    Args:
        factory: `module:function`; the current folder is searched too, so the user's own file works.
        checkpoint: see `load_checkpoint`; None keeps the factory's own weights.

    Raises:
        ExportError: the factory cannot be found or called, or the weights do not fit.
    """
    state, config = ({}, {}) if checkpoint is None else load_checkpoint(checkpoint)
    made = _call(factory, config)
    deployment = Deployment(module=made, chip=made) if isinstance(made, nn.Module) else made
    if not isinstance(deployment, Deployment):
        raise ExportError(f"network {factory}: returned {type(made).__name__}, allowed are nn.Module and Deployment")
    if checkpoint is not None:
        try:
            deployment.module.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise ExportError(f"checkpoint {checkpoint}: does not fit {factory} ({reason})") from error
    deployment.module.eval()
    return deployment


class Segment(Protocol):
    """What a host segment in memory and one on disk have in common."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of arrays."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of arrays."""

    @property
    def when(self) -> Literal["before", "after"]:
        """Before or after the chip."""


def arrays_to_bring(hosts: Iterable[Segment], chip_inputs: Iterable[str]) -> set[str]:
    """Return the arrays that nothing in a deployment makes, so that an input file must bring them."""
    hosts = tuple(hosts)
    made = {name for host in hosts for name in host.outputs}
    needed = {name for host in hosts if host.when == "before" for name in host.inputs}
    return (needed | set(chip_inputs)) - made


def wanted_arrays(deployment: Deployment) -> tuple[set[str], set[str]]:
    """Return the arrays that an input file must bring for this network, and those that it may bring.

    Every parameter of the chip's forward may be an input. One that no array is named like is a state, if the layers
    use it so; that shows when the network is read.
    """
    parameters = inspect.signature(deployment.chip.forward).parameters
    return arrays_to_bring(deployment.hosts, ()), arrays_to_bring(deployment.hosts, parameters)


def chip_input_specs(deployment: Deployment, arrays: Mapping[str, Array]) -> dict[str, Input]:
    """Return the chip's inputs, with the shapes and kinds that arrays `[N, T, *shape]` have.

    Raises:
        InputDataError: no array is an input of forward, one has no time, or its values are neither spikes nor
            integers and no host segment made them.
    """
    made = {name for host in deployment.hosts for name in host.outputs}  # in floats, quantised on their way
    parameters = inspect.signature(deployment.chip.forward).parameters
    named = {name: array for name, array in arrays.items() if name in parameters}
    if not named:
        raise InputDataError(
            f"inputs: none is named like a parameter of forward ({', '.join(parameters)}), there are "
            f"{', '.join(sorted(arrays)) or 'none'}; rename the arrays"
        )
    for name, array in named.items():
        if array.ndim < 3 or 0 in array.shape:
            raise InputDataError(f"input {name}: shape {array.shape}, allowed is [N, T, *shape], each at least 1")
    return {
        name: Input(shape=array.shape[2:], kind="graded" if name in made else _kind(name, array))
        for name, array in named.items()
    }


def _kind(name: str, array: Array) -> InputKind:
    if np.isin(array, (0, 1)).all():
        return "spike"
    if np.array_equal(array, np.round(array)):
        return "graded"
    raise InputDataError(
        f"input {name}: holds fractions, allowed are spikes (0, 1) or integers; encode it, for example with "
        "snntorch.spikegen.rate, or scale it to integers and fold the factor into the first layer"
    )


def _call(factory: str, config: dict[str, Any]) -> Any:
    module_name, _, function_name = factory.partition(":")
    if not module_name or not function_name:
        raise ExportError(f"network {factory}: allowed is module:function, for example my_network:make_model")
    if "" not in sys.path:
        sys.path.insert(0, "")
    with user_code(f"network {factory}: its import", "check the names, the folder and the module"):
        function = getattr(importlib.import_module(module_name), function_name)
    with user_code(f"network {factory}", "mend the factory"):
        num_parameters = len(inspect.signature(function).parameters)
        return function(config) if num_parameters else function()
