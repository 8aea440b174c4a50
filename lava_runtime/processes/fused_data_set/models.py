"""The behaviour of a whole graph on a data set; the number format is that of the graph's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from export.trace import Array
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.fused.executor import Executor
from lava_runtime.fused.ledger import Ledger
from lava_runtime.processes.fused_data_set.process import FusedDataSet


@implements(proc=FusedDataSet, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt", "floating_pt")
class PyFusedDataSetModel(PyLoihiProcessModel):
    """Advances the executor by some blocks in each of Lava's time steps."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._executor: Executor = proc_params["executor"]
        self._inputs: Mapping[str, Array] = proc_params["inputs"]
        self._ledger: Ledger = proc_params["ledger"]

    def run_spk(self) -> None:
        """Run the blocks of one time step."""
        for place in self._ledger.places(self.time_step - 1):
            if place.steps.start == 0:
                self._executor.reset(place.num_samples)
            try:
                self._executor.run({name: values[place.steps, place.samples] for name, values in self._inputs.items()})
            except LavaRuntimeError as error:
                samples = f"samples {place.samples.start} to {place.samples.stop - 1}"
                raise LavaRuntimeError(f"{samples}: {error}") from error
            self._ledger.enter(place, self._executor)
