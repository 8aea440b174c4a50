r"""NIR nodes that NIR 1.0.8 lacks, registered so that `nir.read` understands our files.

NIR's own neurons reset to a constant, at once, at a constant threshold, and nothing multiplies two signals. Whatever
is neither that nor a composition of standard nodes is one of these; as `nir.LIF` it would be silently wrong.

NIR edges carry no ports: all edges into a node are its input. Other ports are attributes that name the node which
sends to them (empty: nothing does). `recurrent_source` is also an edge: its values belong to the input, and are only
added after it. Arrays are per neuron, of the layer's shape, which may be flattened. Discrete time: dt is in the
graph's metadata, and behind a `WindowSum` longer. All neurons share one step, U the stored membrane, X the input::

    R[t]  = 1(U[t-1] > θ[t])
    U'[t] = update with the reset R[t];   S[t] = 1(U'[t] > θ[t])
    U[t]  = U'[t], or with reset_delay 0: U'[t] - D θ (subtract), U'[t] - D U'[t] (zero, clear), D = S[t] - R[t]

`inhibition` 1: only the neuron with the largest U' - θ of its layer may spike. θ[t] is `v_threshold`, or where
`threshold_source` names a node, what that node sends (`v_threshold` is then 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


class _Elementwise(nir.ir.NIRNode):
    """Sends the shape that it receives; text attributes come back from files as bytes."""

    def _finish(self, shape: tuple[int, ...], *texts: str) -> None:
        for text in texts:
            setattr(self, text, nir.ir.utils.ensure_str(getattr(self, text)))
        self.input_type: dict[str, Any] = {"input": np.array(shape)}
        self.output_type: dict[str, Any] = {"output": np.array(shape)}


@dataclass(eq=False)
class _SnnTorchNeuron(_Elementwise):
    """What snnTorch's neurons share.

    Attributes:
        beta: decay per step.
        v_threshold: threshold.
        reset: "zero", "subtract", "none" or "clear".
        reset_delay: 1 or 0.
        inhibition: 1 or 0.
        threshold_source: node that sends θ[t].
        recurrent_source: node whose values are added last.
    """

    beta: Float
    v_threshold: Float
    reset: str
    reset_delay: int
    inhibition: int
    threshold_source: str
    recurrent_source: str

    def __post_init__(self) -> None:
        self._finish(self.beta.shape, "reset", "threshold_source", "recurrent_source")


@dataclass(eq=False)
class SnnTorchLeaky(_SnnTorchNeuron):
    r"""snnTorch `Leaky`, `RLeaky`, `Lapicque`.

    $$U' = \beta (1 - R) U + X\ (zero),\quad \beta U + X - R\theta\ (subtract),\quad \beta U + X\ (none),\quad
    (\beta U + X)(1 - R)\ (clear)$$
    """


@dataclass(eq=False)
class SnnTorchSynaptic(_SnnTorchNeuron):
    r"""snnTorch `Synaptic`, `RSynaptic`: $$I' = \alpha I + X$$ and `SnnTorchLeaky` with I' in the place of X.

    Under `clear`, I' is kept. `reset` is "subtract", "none" or "clear"; `alpha` is the decay of I per step.
    """

    alpha: Float


@dataclass(eq=False)
class SnnTorchAlpha(_SnnTorchNeuron):
    r"""snnTorch `Alpha`: $$E' = \alpha E + X,\quad I' = \beta I - X,\quad U' = \tau (E' + I')$$ with its resets.

    none: as it is; clear: E', I', U' become 0 where R; subtract: E' -= Rθ, I' -= R I', U' += R I[t-1].
    """

    alpha: Float
    tau: Float


@dataclass(eq=False)
class DynamicThresholdLIF(_Elementwise):
    r"""LIF with hard reset under a threshold computed each step from spike counts and context.

    $$U[t] = \beta V[t-1] + X[t],\quad S[t] = 1(U[t] > \theta[t] / 2^{f}),\quad V[t] = U[t](1 - S[t])$$

    θ[t] is the integer of Axonport's `ThresholdController` with the fields below.

    Attributes:
        beta: decay per step.
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
        self._finish(self.beta.shape, "population_source", "context_source")


@dataclass(eq=False)
class Product(_Elementwise):
    """y[t] = a[t] ⊙ b[t], elementwise; `shape` of both and of y, flattened where the sources are."""

    shape: npt.NDArray[np.int64]
    a_source: str
    b_source: str

    def __post_init__(self) -> None:
        self._finish(tuple(int(length) for length in np.ravel(self.shape)), "a_source", "b_source")


@dataclass(eq=False)
class MatMul(_Elementwise):
    """y[t] = a[t] b[t], matrix product over the last two axes of `shape_a` and `shape_b`; y is sent flattened."""

    shape_a: npt.NDArray[np.int64]
    shape_b: npt.NDArray[np.int64]
    a_source: str
    b_source: str

    def __post_init__(self) -> None:
        size = int(np.prod(np.ravel(self.shape_a)[:-1]) * np.ravel(self.shape_b)[-1])
        self._finish((size,), "a_source", "b_source")


@dataclass(eq=False)
class WindowSum(_Elementwise):
    r"""Weighted sum of r values that follow each other, sent once per window: a slower stage begins behind it.

    $$y[n] = \sum_{k=0}^{r-1} w_k\, x[r n + k]$$

    What receives y has a time step r times as long as what sends x; its time constants belong to that step. In the
    steps of x, y[n] is sent together with the arrival of x[rn + r - 1], and nothing between.

    Attributes:
        shape: of x and of y, flattened where the source is.
        weight: weights [r], the oldest value's first.
    """

    shape: npt.NDArray[np.int64]
    weight: Float

    def __post_init__(self) -> None:
        self._finish(tuple(int(length) for length in np.ravel(self.shape)))


EXTENSIONS = (SnnTorchLeaky, SnnTorchSynaptic, SnnTorchAlpha, DynamicThresholdLIF, Product, MatMul, WindowSum)


def register_extensions() -> None:
    """Make `nir.read` accept our node types.

    nir 1.0.8 has no registration interface; its reader looks a type up in `nir.ir.__all_ir` and `nir.ir`.
    """
    known = vars(nir.ir)["__all_ir"]
    for kind in EXTENSIONS:
        if kind.__name__ not in known:
            known.append(kind.__name__)
            setattr(nir.ir, kind.__name__, kind)
