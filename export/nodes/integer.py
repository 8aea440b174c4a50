"""The integer dialect: what a chip computes, in units of 2^-6 threshold LSB (Lava's `v`).

`Input`, `Output`, `Pool` (sum), `Gather`, `Reshape`, `Reduce`, `Product` and `MatMul` carry over as they are, on
integers. a[t] is what arrives at a neuron's ports `input` and `recurrent` together, the shifted synaptic sums.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardware_profiles.arithmetic import ThresholdController

from .linear import Convolution
from .neurons import Reset, controller_ports
from .signal import Int, Int8, Shape, Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerLinear(Signal):
    """a = (W x) << weight_exp along the last axis.

    `weight_int8` int8 [out, in] within ±127; a[t] is the synaptic sum that a neuron shifts left by 6.
    Stock Lava keeps mixed-sign weights as even 9-bit numbers: `Dense(weights=2·W, weight_exp=weight_exp−1)`.
    """

    weight_int8: Int8
    weight_exp: int
    positions: Shape = ()

    @property
    def shape(self) -> Shape:
        """(*positions, out)."""
        return (*self.positions, int(self.weight_int8.shape[0]))

    @property
    def ports(self) -> dict[str, Shape]:
        """(*positions, in)."""
        return {"input": (*self.positions, int(self.weight_int8.shape[1]))}


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerConv(Signal):
    """a = conv(W, x) << weight_exp.  `weight_int8` int8 [out, in/groups, *kernel] within ±127."""

    weight_int8: Int8
    weight_exp: int
    geometry: Convolution

    @property
    def shape(self) -> Shape:
        """(out, *windows)."""
        return self.geometry.output_shape(self.weight_int8.shape)

    @property
    def ports(self) -> dict[str, Shape]:
        """The geometry's input shape."""
        return {"input": self.geometry.input_shape}


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerScale(Signal):
    """One synapse per neuron: a = (w ⊙ x) << weight_exp.  `weight_int8` int8, of `shape`, within ±127."""

    weight_int8: Int8
    weight_exp: int

    @property
    def shape(self) -> Shape:
        """The weights' shape."""
        return self.weight_int8.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class _IntegerNeuron(Signal):
    """What integer neurons share; arrays are int64 of the layer's shape."""

    dv: Int
    vth: Int | None
    bias_mant: Int
    bias_exp: int
    reset: Reset
    inhibition: bool = False

    @property
    def shape(self) -> Shape:
        """The layer's shape."""
        return self.dv.shape

    @property
    def ports(self) -> dict[str, Shape]:
        """Every port has the layer's shape; `threshold` exists only where vth is not the layer's own."""
        moving = {} if self.vth is not None else {"threshold": self.shape}
        return {"input": self.shape, "recurrent": self.shape, **moving}

    @property
    def optional_ports(self) -> frozenset[str]:
        """Not every neuron is recurrent."""
        return frozenset({"recurrent"})


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerLIF(_IntegerNeuron):
    """Integer dialect of `LIF`; rz rounds toward zero, sat clips to ±(2^23 − 1).

    R[t] = 1(v[t−1] > vth[t] << 6)
    zero:      U = sat(rz((1 − R) v·(4096−dv)/4096) + (a << 6) + (bias_mant << bias_exp))
    subtract:  U = sat(rz(v·(4096−dv)/4096) + (a << 6) + (bias_mant << bias_exp) − R (vth << 6))
    none:      the same without R;   clear: 0 where R
    S[t] = 1(U > vth << 6);  v[t] = U, or with reset_delay=False: sat(U − D (vth << 6)) (subtract),
    sat(U − D U) (zero, clear), D = S − R.

    `dv` 0..4095, `vth` 1..131071 (None: arrives at port `threshold`), `bias_mant` 13-bit signed, all int64 of the
    layer's shape; `bias_exp` 0..7. With reset `zero`, reset_delay=False and a constant vth this is stock Lava
    `LIF(du=4095)`, bit for bit: R is always 0 there.
    """

    reset_delay: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerCubaLIF(_IntegerNeuron):
    """Integer dialect of `CubaLIF`: u[t] = rz(u[t−1]·(4096−(du+1))/4096) + (a << 6) + (bias_mant << bias_exp).

    U = sat(rz(v·(4096−dv)/4096) + u[t] …) with the resets of `IntegerLIF` (`zero` is not among them). u never wraps:
    its range is proven. `du` 0..4095 as in Lava, whose LIF adds 1 to it. snnTorch's bias passes through the synaptic
    current, stock Lava's LIF adds it to v: equal to stock only without bias.
    """

    du: Int
    reset_delay: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerAlphaLIF(_IntegerNeuron):
    """Integer dialect of `AlphaLIF` with resets `none` and `clear`; vth is the mantissa of θ/τ.

    X = (a << 6) + (bias_mant << bias_exp)
    E = sat(rz(E·(4096−du)/4096) + X);  I = sat(rz(I·(4096−dv)/4096) − X);  U = sat(E + I)
    clear: E, I, U become 0 where R[t] = 1(v[t−1] > vth << 6);  S = 1(U > vth << 6);  v = U.
    `du`, `dv` 0..4096: decays of the two traces.
    """

    du: Int


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerThreshold(Signal):
    """Integer dialect of `Threshold`: S = 1((a << 6) + (bias_mant << bias_exp) > vth << 6); nothing is kept."""

    vth: Int
    bias_mant: Int
    bias_exp: int

    @property
    def shape(self) -> Shape:
        """The layer's shape."""
        return self.vth.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerDynamicThresholdLIF(Signal):
    """Integer dialect of `DynamicThresholdLIF`: `IntegerLIF` with hard reset and vth[t] = θ[t] << theta_shift."""

    dv: Int
    bias_mant: Int
    bias_exp: int
    theta_shift: int
    controller: ThresholdController

    @property
    def shape(self) -> Shape:
        """The layer's shape."""
        return self.dv.shape

    @property
    def ports(self) -> dict[str, Shape]:
        """Currents, counted spikes, and graded context if the controller takes any."""
        return {"input": self.shape, **controller_ports(self.controller)}
