"""Two NIR nodes that NIR 1.0.8 lacks, registered so that `nir.read` understands our files.

NIR's own neurons reset to a constant at a constant threshold. snnTorch's default reset (subtract, one step
late) and a threshold that moves every step are something else; to write them as `nir.LIF` would be silently wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


@dataclass(eq=False)
class SnnTorchLeaky(nir.ir.NIRNode):
    r"""snnTorch `Leaky` with `reset_delay=True` and a reset that NIR's LIF cannot say.

    $$U[t] = \beta U[t-1] + I[t] - R[t] \theta,\quad S[t] = 1(U[t] > \theta),\quad R[t] = S[t-1]$$

    for `reset` "subtract"; R = 0 for "none". Discrete time: dt is in the graph's metadata.

    Attributes:
        beta: decay per step [n].
        v_threshold: threshold [n].
        reset: "subtract" or "none".
    """

    beta: Float
    v_threshold: Float
    reset: str

    def __post_init__(self) -> None:
        self.reset = nir.ir.utils.ensure_str(self.reset)
        self.input_type = {"input": np.array(self.beta.shape)}
        self.output_type = {"output": np.array(self.beta.shape)}


@dataclass(eq=False)
class DynamicThresholdLIF(nir.ir.NIRNode):
    r"""LIF with hard reset under a threshold computed each step from spike counts and context.

    $$U[t] = \beta V[t-1] + I[t],\quad S[t] = 1(U[t] > \theta[t] / 2^{f}),\quad V[t] = U[t](1 - S[t])$$

    θ[t] is the integer of Axonport's `ThresholdController` with the fields below. NIR edges carry no ports, so
    the nodes whose outputs are counted, or received as context, are named in `population_source` and
    `context_source` (empty for none).

    Attributes:
        beta: decay per step [n].
        controller: integers population, num_groups, weight_count, weight_deviation, bias, theta_0, amplitude,
            fraction_bits, in this order [8].
        weight_context: integers, one per context value [K].
        population_source: name of the node whose spikes are counted.
        context_source: name of the input node with the context values.
    """

    beta: Float
    controller: npt.NDArray[np.int64]
    weight_context: npt.NDArray[np.int64]
    population_source: str
    context_source: str

    def __post_init__(self) -> None:
        self.population_source = nir.ir.utils.ensure_str(self.population_source)
        self.context_source = nir.ir.utils.ensure_str(self.context_source)
        self.input_type = {"input": np.array(self.beta.shape)}
        self.output_type = {"output": np.array(self.beta.shape)}


EXTENSIONS = (SnnTorchLeaky, DynamicThresholdLIF)


def register_extensions() -> None:
    """Make `nir.read` accept our two node types.

    nir 1.0.8 has no registration interface; its reader looks a type up in `nir.ir.__all_ir` and `nir.ir`.
    """
    known = vars(nir.ir)["__all_ir"]
    for kind in EXTENSIONS:
        if kind.__name__ not in known:
            known.append(kind.__name__)
            setattr(nir.ir, kind.__name__, kind)
