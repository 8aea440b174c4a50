"""The sink's ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, RefPort
from lava.magma.core.process.process import AbstractProcess


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one port writes, and where.

    Attributes:
        what: `message` for an InPort, `var` for a RefPort that reads a Var after every time step.
        store: shared array [steps, *shape]; see `shared_memory.shared_array`.
        lag: time steps that pass before the first one that is stored.
    """

    what: Literal["message", "var"]
    store: npt.NDArray[np.generic]
    lag: int


class MemorySink(AbstractProcess):
    """Writes messages and Vars of other Processes into memory that the parent shares (a Var: 25-60 µs a number).

    One InPort or RefPort per record, called as the record. `steps_done` int64 [1], shared, counts time steps.
    """

    def __init__(
        self, *, records: Mapping[str, Record], steps_done: npt.NDArray[np.int64], name: str | None = None
    ) -> None:
        super().__init__(records=dict(records), steps_done=steps_done, name=name)
        for port, record in records.items():
            kind = InPort if record.what == "message" else RefPort
            setattr(self, port, kind(shape=record.store.shape[1:]))
