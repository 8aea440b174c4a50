"""Loads lava-nc 0.10.0, the last release, on Pythons and numpys that are younger than it.

Intel archived Lava in May 2026, so adapting to this one release is safe. Four things are adapted, each as
narrowly as possible: a dataclass default (Python >= 3.11), the start method that Lava sets at import, a
keyword that numpy 2.4 dropped, and integers of 8 bits in `Conv`. With them lava-nc's own tests give on 3.11 what
they give on 3.10.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from .errors import LavaRuntimeError

START_METHOD = "fork"
"""Lava's Processes are not built for pickling: its workers can only be forked."""


def load_lava() -> None:
    """Import Lava with everything adapted; does nothing when it is loaded already.

    Raises:
        LavaRuntimeError: Lava is not installed, or another start method than `fork` was chosen before.
    """
    if "lava.magma.core.process.process" in sys.modules:
        return
    try:
        found = importlib.util.find_spec("lava.magma") is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise LavaRuntimeError(
            "Lava: is not installed, needed is lava-nc 0.10.0; run `make setup`, or "
            "`pip install --no-deps --ignore-requires-python lava-nc==0.10.0`"
        )
    with ExitStack() as adapted:
        adapted.enter_context(_hashable_defaults())
        adapted.enter_context(_start_method_chosen_once())
        importlib.import_module("lava.magma.core.process.process")
        importlib.import_module("lava.magma.compiler.compiler")
    _reshape_without_newshape()


@contextmanager
def _hashable_defaults() -> Iterator[None]:
    """Let Lava's own dataclass instances be dataclass defaults, as Python 3.10 did (`var_model.py`)."""

    def tolerant(cls: type, name: str, *args: Any) -> Any:
        default = getattr(cls, name, dataclasses.MISSING)
        kind: Any = type(default)
        if cls.__module__.startswith("lava.") and kind.__module__.startswith("lava.") and kind.__hash__ is None:
            kind.__hash__ = object.__hash__
        return get_field(cls, name, *args)

    with _replaced(dataclasses, "_get_field", tolerant) as get_field:
        yield


@contextmanager
def _start_method_chosen_once() -> Iterator[None]:
    """Let Lava ask for `fork` where it is chosen already (by tqdm, say), which Python calls an error."""

    def tolerant(method: str, force: bool = False) -> None:
        chosen = multiprocessing.get_start_method(allow_none=True)
        if chosen is None:
            choose(method, force)
        elif chosen != method:
            raise LavaRuntimeError(
                f"Lava: multiprocessing's start method is '{chosen}', allowed is '{method}'; "
                "do not call multiprocessing.set_start_method before"
            )

    with _replaced(multiprocessing, "set_start_method", tolerant) as choose:
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[Any]:
    """Put `value` in the place of a module's attribute for a while; gives what was there."""
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield original
    finally:
        setattr(module, name, original)


def _reshape_without_newshape() -> None:
    """Give `ReshapePort` a reshape that every numpy has; inside a worker the old one hangs the run."""
    port = importlib.import_module("lava.magma.core.process.ports.ports").ReshapePort

    def reshape(array: Any, shape: tuple[int, ...]) -> Any:
        return array.reshape(shape)

    port.get_transform_func_fwd = lambda self: partial(reshape, shape=self.shape)
    port.get_transform_func_bwd = lambda self: partial(reshape, shape=self.old_shape)


def widen_conv_geometry() -> None:
    """Let `Conv` keep strides, paddings and groups as 32-bit integers.

    Its own int8 has no room for 128 groups; numpy >= 2 neither adds an image of more than 127 pixels to it, nor doubles
    a padding of 64 without wrapping.
    """
    model = importlib.import_module("lava.proc.conv.models").AbstractPyConvModel
    for name in ("kernel_size", "stride", "padding", "dilation", "groups"):
        getattr(model, name).d_type = np.int32
