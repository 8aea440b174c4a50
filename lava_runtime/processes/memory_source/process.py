"""The source's ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What one port sends.

    Attributes:
        shape: shape of every message.
        dtype: dtype of every message.
        frame: time step (from 0) to message; runs in the worker, on what it inherited through fork.
    """

    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    frame: Callable[[int], npt.NDArray[np.generic]]


class MemorySource(AbstractProcess):
    """Sends values that the parent holds in memory: no copy, no Var (150 µs a number).

    One OutPort per stream, called as the stream.
    """

    def __init__(self, *, streams: Mapping[str, Stream], name: str | None = None) -> None:
        super().__init__(streams=dict(streams), name=name)
        for port, stream in streams.items():
            setattr(self, port, OutPort(shape=stream.shape))
