"""A whole graph that is fed from memory."""

from __future__ import annotations

from collections.abc import Mapping

from lava.magma.core.process.process import AbstractProcess

from export.trace import Array
from lava_runtime.fused.executor import Executor
from lava_runtime.fused.ledger import Ledger


class FusedDataSet(AbstractProcess):
    """A whole graph for the samples that the parent holds in memory, batch after batch, without ports.

    One of Lava's time steps is many of the model's, in blocks within which a node runs through all steps before the
    next begins (`fused.plan`).
    """

    def __init__(
        self, *, executor: Executor, inputs: Mapping[str, Array], ledger: Ledger, name: str | None = None
    ) -> None:
        """Make the Process, and compile what it computes, so that Lava's forks inherit it.

        Args:
            executor: of a verified graph, integer dialect for `fixed_pt`, float dialect for `floating_pt`.
            inputs: name to [T, N, *shape].
            ledger: says which steps and samples a block holds, and is told its results.
            name: name of the Process.
        """
        executor.compile()
        super().__init__(executor=executor, inputs=inputs, ledger=ledger, name=name)
