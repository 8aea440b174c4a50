"""How plain Lava is timed: a network as its author would write it, nothing of this project in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from export.trace import Array
from lava_runtime.compat import load_lava


def time_stock(build: Callable[[], tuple[Any, Any]], num_steps: int) -> tuple[float, Array]:
    """Run a network in fixed_pt for one step, and then for the steps that are timed.

    Args:
        build: returns a Process of the network, and the neurons that are read in the end; called with Lava loaded.
        num_steps: steps that are timed.

    Returns:
        (µs per step, membranes after the last step, int64).
    """
    load_lava()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    source, last = build()
    try:
        # the first step compiles the network and starts its OS processes
        source.run(condition=RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        start_s = time.perf_counter()
        source.run(condition=RunSteps(num_steps=num_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        elapsed_s = time.perf_counter() - start_s
        v = np.asarray(last.v.get(), np.int64)
    finally:
        source.stop()
    return elapsed_s / num_steps * 1e6, v
