"""The nodes of the graph: one frozen dataclass per equation, in two dialects (float, integer).

Time is discrete. `X[t]` is the sum of everything that arrives at a node's `input` port in step t; all spikes
are 0 or 1; all comparisons are strict (`>`), as in snnTorch and Lava. Arrays are per neuron, `[n]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hardware_profiles.arithmetic import ThresholdController

Float = npt.NDArray[np.float32]
Int = npt.NDArray[np.int64]
Reset = Literal["zero", "subtract", "none"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Input:
    """Values from outside: `kind` 'spike' carries 0/1, 'graded' signed 11-bit integers."""

    size: int
    kind: Literal["spike", "graded"] = "spike"


@dataclass(frozen=True, eq=False, kw_only=True)
class Output:
    """Spikes that leave the graph."""

    size: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear:
    """Float dialect: X[t] = W s[t] + b.  `weight` float32 [out, in], `bias` float32 [out] or None."""

    weight: Float
    bias: Float | None = None

    @property
    def size(self) -> int:
        """Number of outputs."""
        return int(self.weight.shape[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class LIF:
    r"""Float dialect: snnTorch `Leaky` with `reset_delay=True`, by its equations (1.0.0 `_neurons/leaky.py`).

    * zero:      U[t] = β V[t−1] + X[t];            S[t] = 1(U[t] > θ);  V[t] = U[t] (1 − S[t])
    * subtract:  U[t] = β U[t−1] + X[t] − R[t] θ;   S[t] = 1(U[t] > θ);  R[t] = S[t−1]; V = U
    * none:      U[t] = β U[t−1] + X[t];            S[t] = 1(U[t] > θ);  V = U

    `beta`, `threshold`: float32 [n], β in [0, 1]. V is the state that traces record.
    """

    beta: Float
    threshold: Float
    reset: Reset

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.beta.shape[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class DynamicThresholdLIF:
    """Float dialect: hard reset under a threshold that moves every step (arXiv 2505.19938, Fig. 3 and 5).

    U[t] = β V[t−1] + X[t];  S[t] = 1(U[t] > θ[t] / 2^fraction_bits);  V[t] = U[t] (1 − S[t])

    θ[t] is the integer of `ThresholdController`, from the spikes at port `population` and the graded values at
    port `context`. `beta` float32 [n].
    """

    beta: Float
    controller: ThresholdController

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.beta.shape[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerLinear:
    """Integer dialect: a[t] = (W s[t]) << weight_exp.

    `weight_int8` int64 [out, in] within ±127; a[t] is the synaptic sum that a neuron shifts left by 6.
    Stock Lava keeps mixed-sign weights as even 9-bit numbers: `Dense(weights=2·W, weight_exp=weight_exp−1)`.
    """

    weight_int8: Int
    weight_exp: int

    @property
    def size(self) -> int:
        """Number of outputs."""
        return int(self.weight_int8.shape[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerLIF:
    """Integer dialect of `LIF`, in units of 2^-6 threshold LSB (Lava's `v`).

    u[t] = a[t] << 6
    U[t] = sat(rz(v[t−1]·(4096−dv)/4096) + u[t] + (bias_mant << bias_exp) − (R[t]·vth << 6 with reset `subtract`))
    S[t] = 1(U[t] > vth << 6);  v[t] = U[t], or 0 after a spike with reset `zero`;  R[t] = S[t−1].

    `dv` [n] 0..4095, `vth` [n] 1..131071, `bias_mant` [n] 13-bit signed, `bias_exp` 0..7.
    With reset `zero` this is stock Lava `LIF(du=4095)`, bit for bit.
    """

    dv: Int
    vth: Int
    bias_mant: Int
    bias_exp: int
    reset: Reset

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.dv.shape[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerDynamicThresholdLIF:
    """Integer dialect of `DynamicThresholdLIF`: `IntegerLIF` with reset `zero` and vth[t] = θ[t] << theta_shift."""

    dv: Int
    bias_mant: Int
    bias_exp: int
    theta_shift: int
    controller: ThresholdController

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.dv.shape[0])


FloatNode = Input | Output | Linear | LIF | DynamicThresholdLIF
IntegerNode = Input | Output | IntegerLinear | IntegerLIF | IntegerDynamicThresholdLIF
Node = FloatNode | IntegerNode
DYNAMIC = (DynamicThresholdLIF, IntegerDynamicThresholdLIF)
NEURONS = (LIF, DynamicThresholdLIF, IntegerLIF, IntegerDynamicThresholdLIF)
SYNAPSES = (Linear, IntegerLinear)

PORTS: dict[type, tuple[str, ...]] = {
    Input: (),
    Output: ("input",),
    Linear: ("input",),
    IntegerLinear: ("input",),
    LIF: ("input",),
    IntegerLIF: ("input",),
    DynamicThresholdLIF: ("input", "population", "context"),
    IntegerDynamicThresholdLIF: ("input", "population", "context"),
}
"""The ports that each node type has; `context` stays unconnected when the controller takes no context."""
