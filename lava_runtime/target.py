"""Where Lava runs a graph: its simulation on this machine, or a Loihi 2 chip behind Intel's extension.

Choosing the chip is all that happens here; what runs there are the extension's ProcessModels for neuro cores, which
only stock Processes have. See "On a chip" in docs/lava.md. Importing this module needs no Lava.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from export.graph import Graph

from .compat import load_lava
from .errors import LavaRuntimeError
from .routing import not_stock

Target = Literal["simulation", "hardware"]
Granularity = Literal["fused", "processes"]


def check_target(target: str, granularity: str, number_format: str) -> None:
    """Check that a target runs such runs at all, whatever the graph.

    Raises:
        LavaRuntimeError: no such target; a chip is asked for what it cannot do, or cannot be reached from here.
    """
    if target not in get_args(Target):
        raise LavaRuntimeError(f"target: is '{target}', allowed are {', '.join(get_args(Target))}; choose one")
    if target == "simulation":
        return
    if granularity != "processes":
        raise LavaRuntimeError(
            f"granularity: is '{granularity}', on hardware only 'processes' is allowed, since a chip runs Lava's own "
            "Processes; choose it, or target 'simulation'"
        )
    if number_format != "fixed_pt":
        raise LavaRuntimeError(
            f"number format: is '{number_format}', on hardware only 'fixed_pt' is allowed, since a chip computes in "
            "integers; choose it, or target 'simulation'"
        )
    load_lava()
    if not importlib.import_module("lava.utils.loihi").is_installed():
        raise LavaRuntimeError(
            "Lava's extension for Loihi: is not installed, on hardware it is needed; it is Intel's, for members of its "
            "research community INRC: install lava-loihi beside lava-nc 0.10.0, or use target 'simulation'"
        )


def check_deployable(timed: Graph) -> None:
    """Check that Lava's own Processes alone express a graph; no other has a ProcessModel for neuro cores.

    Args:
        timed: "lava" timing.

    Raises:
        LavaRuntimeError: some node or edge needs a Process of ours.
    """
    ours = not_stock(timed)
    if ours:
        raise LavaRuntimeError(
            f"graph: {', '.join(ours)} would be Processes of this package, which have no model for neuro cores; on "
            "hardware only what stock Lava expresses is allowed, change them or use target 'simulation'"
        )


def run_configuration(target: Target, number_format: str, models: Mapping[Any, type]) -> Any:
    """Return Lava's run configuration.

    Args:
        target: where to run.
        number_format: the tag by which ProcessModels are selected in simulation. On a chip none is asked for: a tag
            would prefer a simulating model that has it to one for neuro cores that has not.
        models: Process instance to ProcessModel, where nothing is to be selected.
    """
    configurations = importlib.import_module("lava.magma.core.run_configs")
    if target == "simulation":
        return configurations.Loihi2SimCfg(select_tag=number_format, exception_proc_model_map=dict(models))
    return configurations.Loihi2HwCfg(exception_proc_model_map=dict(models))


def check_selected(processes: Mapping[Any, Any], models: Mapping[Any, type]) -> None:
    """Check that no Process of a network that was compiled for a chip is simulated: Lava falls back without a word.

    Args:
        processes: Process to whatever; all that were compiled.
        models: those that run on the host on purpose.

    Raises:
        LavaRuntimeError: a Process got a ProcessModel in Python.
    """
    in_python = importlib.import_module("lava.magma.core.model.py.model").AbstractPyProcessModel
    simulated = [
        process.name for process in processes if process not in models and issubclass(process.model_class, in_python)
    ]
    if simulated:
        raise LavaRuntimeError(
            f"Lava processes {', '.join(simulated)}: the extension has no model for neuro cores, so they would be "
            "simulated; on hardware all must run on the chip, change them or use target 'simulation'"
        )
