"""Neurons of the float dialect, by snnTorch 1.0.0's own equations and order of evaluation (`_neurons/*.py`).

X[t] is what arrives at port `input`, Z[t] what arrives at port `recurrent` (0 if nothing does): snnTorch adds the
recurrent current last. U is the stored membrane, U' its new value. All of them share one step::

    R[t]  = 1(U[t−1] > θ[t])                    the reset that snnTorch owes from the step before
    U'[t] = update(U[t−1], X[t], Z[t]) with the reset R[t]
    S[t]  = 1(U'[t] > θ[t])
    U[t]  = U'[t], or with reset_delay=False: U'[t] − D θ (subtract), U'[t] − D U'[t] (zero, clear), D = S[t] − R[t]

Arrays are per neuron and have the layer's shape. With a constant positive θ, R[t] = S[t−1] where the reset is
delayed. `threshold` None: θ[t] arrives at port `threshold` in every step. What is traced as `v` is U[t].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware_profiles.arithmetic import ThresholdController

from .signal import Float, Shape, Signal

Reset = Literal["zero", "subtract", "none", "clear"]
"""`zero` forgets U[t−1] but keeps the current input (`Leaky`); `clear` loses the step's input too (all others)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _SnnNeuron(Signal):
    """What snnTorch's neurons share; arrays are float32 of the layer's shape."""

    beta: Float
    threshold: Float | None
    reset: Reset
    reset_delay: bool = True
    inhibition: bool = False

    @property
    def shape(self) -> Shape:
        """The layer's shape."""
        return self.beta.shape

    @property
    def ports(self) -> dict[str, Shape]:
        """Every port has the layer's shape; `threshold` exists only where θ is not the layer's own."""
        moving = {} if self.threshold is not None else {"threshold": self.shape}
        return {"input": self.shape, "recurrent": self.shape, **moving}

    @property
    def optional_ports(self) -> frozenset[str]:
        """Not every neuron is recurrent."""
        return frozenset({"recurrent"})


@dataclass(frozen=True, eq=False, kw_only=True)
class LIF(_SnnNeuron):
    r"""`Leaky`, `RLeaky`, `Lapicque` (its input scaled before): one state.

    * zero:      U' = β (1 − R) U + X + Z
    * subtract:  U' = β U + X + Z − R θ
    * none:      U' = β U + X + Z
    * clear:     U' = (β U + X + Z)(1 − R)

    `beta`, `threshold`: float32 of the layer's shape, β in [0, 1]. With a constant threshold, reset `zero` is read
    as reset_delay=False (the spikes are the same): U is then the membrane after the reset, as on a chip.
    `inhibition`: only the neuron with the largest U' − θ may spike (the first of equals), the others still owe R.
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLIF(_SnnNeuron):
    r"""`Synaptic`, `RSynaptic`: a synaptic current I before the membrane, I' = α I + X + Z.

    * subtract:  U' = β U + I' − R θ
    * none:      U' = β U + I'
    * clear:     U' = (β U + I')(1 − R); I' is kept.   With reset_delay=False this is NIR's hard reset.

    `alpha`, `beta`, `threshold`: float32 of the layer's shape, α and β in [0, 1].
    """

    alpha: Float


@dataclass(frozen=True, eq=False, kw_only=True)
class AlphaLIF(_SnnNeuron):
    r"""`Alpha`: the difference of two traces, E' = α E + X and I' = β I − X, U' = τ (E' + I').

    τ = ln α / (ln β − ln α) + 1.

    * none:      as it is
    * clear:     E', I', U' all become 0 where R
    * subtract:  E' −= R θ;  I' −= R I';  U' += R I[t−1]   (snnTorch's own formula, which is not the derivative of U)

    `alpha` > `beta`, `tau`, `threshold`: float32 of the layer's shape.
    """

    alpha: Float
    tau: Float


@dataclass(frozen=True, eq=False, kw_only=True)
class LI(Signal):
    """Leaky integrator, sends its membrane: U[t] = β U[t−1] + X[t].  `beta` float32 of the layer's shape."""

    beta: Float

    @property
    def shape(self) -> Shape:
        """The layer's shape."""
        return self.beta.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Signal):
    """No memory: S[t] = 1(X[t] > θ).  `threshold` float32 of the layer's shape.

    AND of two spike trains is their sum over θ = 1.5, OR (max pooling) a sum over θ = 0.5.
    """

    threshold: Float

    @property
    def shape(self) -> Shape:
        """The layer's shape."""
        return self.threshold.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class DynamicThresholdLIF(Signal):
    """Hard reset under a threshold that moves every step (arXiv 2505.19938, Fig. 3 and 5).

    U[t] = β V[t−1] + X[t];  S[t] = 1(U[t] > θ[t] / 2^fraction_bits);  V[t] = U[t] (1 − S[t])

    θ[t] is the integer of `ThresholdController`, from the spikes at port `population` and the graded values at
    port `context`. `beta` float32 of the layer's shape. V is traced as `v`.
    """

    beta: Float
    controller: ThresholdController

    @property
    def shape(self) -> Shape:
        """The layer's shape."""
        return self.beta.shape

    @property
    def ports(self) -> dict[str, Shape]:
        """Currents, counted spikes, and graded context if the controller takes any."""
        return {"input": self.shape, **controller_ports(self.controller)}


def controller_ports(controller: ThresholdController) -> dict[str, Shape]:
    """Return the ports that drive a moving threshold."""
    context = {"context": (controller.num_context,)} if controller.num_context else {}
    return {"population": (controller.population,), **context}
