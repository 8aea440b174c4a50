"""Which loops run: chosen by device, type and what is installed, or by hand through `AXONPORT_LIF_BACKEND`."""

from __future__ import annotations

import importlib.util
import os
from types import ModuleType
from typing import cast

import torch

from ..errors import TrainingError
from . import eager
from .scan import Loops

VARIABLE = "AXONPORT_LIF_BACKEND"


def available(device: torch.device) -> tuple[str, ...]:
    """Return the names of the backends that run here on tensors of `device`, fastest first."""
    names: tuple[str, ...] = ("eager",)
    if device.type == "cpu" and importlib.util.find_spec("numba") is not None:
        names = ("numba", *names)
    if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        names = ("compiled", *names)
    return names


def choose_loops(device: torch.device) -> Loops:
    """Return the loops for float32 or float64 tensors of `device`.

    Raises:
        TrainingError: the backend asked for by `AXONPORT_LIF_BACKEND` does not run here.
    """
    names = available(device)
    name = os.environ.get(VARIABLE, names[0])
    if name not in names:
        raise TrainingError(
            f"{VARIABLE} is '{name}', available on {device.type} are {', '.join(names)}; choose from them"
        )
    return cast(Loops, _load(name))


def _load(name: str) -> ModuleType:
    if name == "numba":
        from . import kernels

        return kernels
    if name == "compiled":
        from . import compiled

        return compiled
    return eager
