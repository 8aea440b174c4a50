"""Random nodes of both dialects: integers that fit their words, and floats whose sums are exact."""

import numpy as np

from export.nodes import (
    LI,
    LIF,
    AlphaLIF,
    Conv,
    CubaLIF,
    DynamicThresholdLIF,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    IntegerWindowSum,
    Linear,
    Scale,
    Threshold,
    WindowSum,
)
from export.passes.window_weights import round_window
from hardware_profiles.arithmetic import ThresholdController


def random_controller(rng, population, num_context):
    steepest = min(2**20, 2**28 // population**2)  # the accumulator has 32 bits
    return ThresholdController(
        population=population,
        num_groups=int(rng.choice([1, 1 + (population % 2 == 0), population])),
        weight_count=int(rng.integers(-(2**22), 2**22)),
        weight_deviation=int(rng.integers(-steepest, steepest)),
        weight_context=tuple(int(w) for w in rng.integers(-(2**14), 2**14, num_context)),
        bias=int(rng.integers(-(2**22), 2**22)),
        theta_0=int(rng.integers(300, 700)),
        amplitude=int(rng.integers(-290, 290)),
        fraction_bits=8,
    )


def inhibits(rng, shape):
    """snnTorch lets the neurons of one axis inhibit each other."""
    return bool(len(shape) == 1 and rng.random() < 0.2)


class IntegerMakers:
    dialect = "integer"

    def __init__(self, rng):
        self.rng = rng

    def weights(self, shape):
        weight = self.rng.integers(-127, 128, shape) + self.rng.integers(-20, 60)
        return np.clip(weight * (self.rng.random(shape) < 0.8), -127, 127)

    def exponent(self):
        return int(self.rng.choice([0, 1, 3, 5]))

    def linear(self, shape, positions=()):
        return IntegerLinear(weight_int8=self.weights(shape), weight_exp=self.exponent(), positions=positions)

    def conv(self, shape, geometry):
        return IntegerConv(weight_int8=self.weights(shape), weight_exp=self.exponent(), geometry=geometry)

    def scale(self, shape):
        return IntegerScale(weight_int8=self.weights(shape), weight_exp=self.exponent())

    def integrator(self, shape):
        return IntegerScale(weight_int8=self.rng.integers(-3, 4, shape), weight_exp=0)

    def pool_kind(self):
        return "sum"

    def window(self, ratio, shape):
        weight = self.rng.integers(0, 100, ratio) * (self.rng.random(ratio) < 0.8)
        weight[-1] = max(weight[-1], 1)
        return IntegerWindowSum(weight_uint8=weight.astype(np.uint8), shape=shape)

    def bias(self, shape):
        mantissa = self.rng.integers(-4095, 4096, shape) * (self.rng.random(shape) < 0.5)
        return {"bias_mant": mantissa, "bias_exp": int(self.rng.integers(0, 8))}

    def neuron(self, kind, shape, *, moving):
        rng = self.rng
        vth = None if moving else rng.integers(1, 3000, shape) if rng.random() < 0.8 else rng.integers(1, 131072, shape)
        own = {"vth": vth, **self.bias(shape)}
        if kind == "memoryless":
            return IntegerThreshold(**own)
        dv = rng.choice([0, 1, 410, 2048, 4095], shape) if rng.random() < 0.5 else rng.integers(0, 4096, shape)
        if kind == "stock":
            return IntegerLIF(dv=dv, **own, reset="zero", reset_delay=False)
        name, reset = kind.split()
        flags = {"inhibition": inhibits(rng, shape)}
        if name == "alpha":
            reset = "none" if reset == "subtract" else reset
            return IntegerAlphaLIF(du=rng.integers(0, 4097, shape), dv=dv, **own, reset=reset, **flags)
        flags["reset_delay"] = bool(rng.random() < 0.5)
        if name == "lif":
            return IntegerLIF(dv=dv, **own, reset=reset, **flags)
        own["bias_exp"] = min(own["bias_exp"], 4)  # the bias, too, adds up in the synaptic current
        if rng.random() < 0.5:
            own["bias_mant"] = np.zeros(shape, dtype=int)
        return IntegerCubaLIF(du=rng.integers(800, 4096, shape), dv=dv, **own, reset=reset, **flags)

    def dynamic(self, shape, controller):
        return IntegerDynamicThresholdLIF(
            dv=self.rng.integers(0, 4096, shape),
            **self.bias(shape),
            theta_shift=int(self.rng.integers(0, 4)),
            controller=controller,
        )


class DyadicMakers:
    """Weights on a grid of 2^-5, decays on one of 2^-1: within 8 steps every sum is exact in double precision."""

    dialect = "float"

    def __init__(self, rng):
        self.rng = rng

    def weights(self, shape):
        return (self.rng.integers(-32, 64, shape) * (self.rng.random(shape) < 0.8) / 32).astype(np.float32)

    def bias(self, size):
        return (self.rng.integers(-16, 17, size) / 32).astype(np.float32) if self.rng.random() < 0.7 else None

    def linear(self, shape, positions=()):
        return Linear(weight=self.weights(shape), bias=self.bias(shape[0]), positions=positions)

    def conv(self, shape, geometry):
        return Conv(weight=self.weights(shape), bias=self.bias(shape[0]), geometry=geometry)

    def scale(self, shape):
        return Scale(weight=self.weights(shape if self.rng.random() < 0.7 else ()), shape=shape)

    def integrator(self, shape):
        return LI(beta=self.decay(shape))

    def pool_kind(self):
        return str(self.rng.choice(["sum", "average"]))

    def window(self, ratio, shape):
        share = round_window(self.rng.random(ratio) + 0.01) / 128
        return WindowSum(weight=share.astype(np.float32), shape=shape)

    def decay(self, shape):
        return (self.rng.integers(0, 3, shape) / 2).astype(np.float32)

    def neuron(self, kind, shape, *, moving):
        rng = self.rng
        threshold = None if moving else (rng.integers(1, 128, shape) / 32).astype(np.float32)
        if kind == "memoryless":
            return Threshold(threshold=threshold)
        own = {"beta": self.decay(shape), "threshold": threshold}
        if kind == "stock":
            return LIF(**own, reset="zero", reset_delay=False)
        name, reset = kind.split()
        own |= {"reset": reset, "reset_delay": bool(rng.random() < 0.5), "inhibition": inhibits(rng, shape)}
        if name == "lif":
            return LIF(**own)
        if name == "cuba":
            return CubaLIF(alpha=self.decay(shape), **own)
        tau = (rng.integers(2, 7, shape) / 2).astype(np.float32)
        return AlphaLIF(alpha=self.decay(shape), tau=tau, **own)

    def dynamic(self, shape, controller):
        return DynamicThresholdLIF(beta=self.decay(shape), controller=controller)
