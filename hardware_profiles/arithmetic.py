"""The device's integers: the one definition that the specification and our Lava models call.

All functions take and return int64 arrays (any shape) so that nothing overflows on the way; results fit
the widths of `IntegerFormat`. Source of the rules: Lava 0.10.0 `proc/lif/models.py` and `proc/dense/models.py`
(read, and compared bit by bit in the tests); widths: the `[integer_format]` table of a profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import RangeError

Int = npt.NDArray[np.int64]

CONTROLLER_SHIFT = 12
"""Fraction bits of the controller's drive z: z = 4096 means 1.0."""
CONTROLLER_UNITY = 1 << CONTROLLER_SHIFT
CONTROLLER_ACCUMULATOR_BITS = 32
"""The controller's accumulator is a signed 32-bit word; `ThresholdController.check_range` proves it."""
CONTEXT_FRACTION_BITS = 8
"""A context statistic of 1.0 is sent as the graded value 256."""
CONTEXT_BITS = 11
"""A context statistic travels as a signed 11-bit graded value, ±1023 (±4.0), so that the controller's
accumulator stays below 2^31 for weights up to ±4."""
CONTEXT_MAX = (1 << (CONTEXT_BITS - 1)) - 1


@dataclass(frozen=True, kw_only=True)
class IntegerFormat:
    """Widths of a Loihi-style core, in bits.

    Attributes:
        weight_bits: signed weight mantissa.
        decay_bits: unsigned decay; 2**decay_bits is unity.
        state_bits: signed current `u` and membrane `v`.
        threshold_bits: unsigned threshold mantissa `vth`.
        state_shift: synaptic sums and thresholds are shifted left by this before they meet the state.
        bias_mantissa_bits: signed bias mantissa.
        bias_exponent_bits: unsigned bias exponent.
    """

    weight_bits: int
    decay_bits: int
    state_bits: int
    threshold_bits: int
    state_shift: int
    bias_mantissa_bits: int
    bias_exponent_bits: int

    @property
    def decay_unity(self) -> int:
        """The decay that forgets everything, 2**decay_bits."""
        return 1 << self.decay_bits

    @property
    def state_max(self) -> int:
        """Largest magnitude of `u` and `v`, 2**(state_bits-1) - 1."""
        return (1 << (self.state_bits - 1)) - 1

    @property
    def threshold_max(self) -> int:
        """Largest threshold mantissa."""
        return (1 << self.threshold_bits) - 1

    @property
    def weight_max(self) -> int:
        """Largest weight mantissa; the range is used symmetrically."""
        return (1 << (self.weight_bits - 1)) - 1

    @property
    def bias_mantissa_max(self) -> int:
        """Largest bias mantissa; the range is used symmetrically."""
        return (1 << (self.bias_mantissa_bits - 1)) - 1

    @property
    def bias_exponent_max(self) -> int:
        """Largest bias exponent."""
        return (1 << self.bias_exponent_bits) - 1

    @property
    def sum_max(self) -> int:
        """Largest synaptic sum whose shifted value still fits `u`."""
        return self.state_max >> self.state_shift


def decay(state: Int, decay_u12: Int | int, fmt: IntegerFormat) -> Int:
    """Leak: rz(state · (2^12 − decay) / 2^12), rounded toward zero, so a leak never grows a state."""
    product = state * (fmt.decay_unity - np.asarray(decay_u12, dtype=np.int64))
    leaked: Int = np.sign(product) * (np.abs(product) >> fmt.decay_bits)
    return leaked


def shift(value: Int, exponent: int) -> Int:
    """Apply a weight exponent: value · 2^exponent; right shifts floor, as Lava's Dense does."""
    return value << exponent if exponent >= 0 else value >> -exponent


def saturate(state: Int, fmt: IntegerFormat) -> Int:
    """Clip a membrane to ±(2^23 − 1), the chip's own behaviour."""
    return np.clip(state, -fmt.state_max, fmt.state_max)


def integrate(v: Int, synaptic_sum: Int, decay_u12: Int | int, bias: Int | int, fmt: IntegerFormat) -> Int:
    """One membrane update without synaptic memory: decay(v) + (sum << 6) + bias, *not yet* saturated."""
    return decay(v, decay_u12, fmt) + (synaptic_sum << fmt.state_shift) + bias


@dataclass(frozen=True, kw_only=True)
class ThresholdController:
    """Threshold of a layer from what a chip can count; integers in every world, float training included.

    With group counts S_g (the spikes of `num_groups` equal, contiguous groups of the driving population),
    S = Σ_g S_g, the scaled mean absolute deviation D = Σ_g |G·S_g − S|, and context values c_k::

        z = clip((weight_count·S + weight_deviation·D + Σ_k weight_context_k·c_k + bias) >> 12, ±4096)
        θ = theta_0 + ((amplitude·z + 2048) >> 12)

    θ is a mantissa with `fraction_bits` fraction bits (θ = 2^fraction_bits is a threshold of 1.0).
    The paper (arXiv 2505.19938, Fig. 5) says only that V_th^t follows statistics of motion features and of
    scene context; this piecewise-linear form is our reconstruction.

    Attributes:
        population: number of neurons counted; a multiple of `num_groups`.
        num_groups: groups G whose counts are compared.
        weight_count: per spike, 2^24 is a drive of 1.0.
        weight_deviation: per unit of D, 2^24 is a drive of 1.0.
        weight_context: one per context value, 2^24 is a drive of 1.0 per unit of the graded value.
        bias: constant drive, 2^24 is 1.0.
        theta_0: threshold mantissa at zero drive.
        amplitude: largest change of the mantissa, at |z| = 4096.
        fraction_bits: fraction bits of the mantissa.
    """

    population: int
    num_groups: int
    weight_count: int
    weight_deviation: int
    weight_context: tuple[int, ...]
    bias: int
    theta_0: int
    amplitude: int
    fraction_bits: int

    @property
    def num_context(self) -> int:
        """Number of context values that the controller receives."""
        return len(self.weight_context)

    @property
    def theta_range(self) -> tuple[int, int]:
        """Smallest and largest mantissa that `threshold` can return."""
        bounds = [
            self.theta_0 + ((self.amplitude * z + CONTROLLER_UNITY // 2) >> CONTROLLER_SHIFT)
            for z in (-CONTROLLER_UNITY, CONTROLLER_UNITY)
        ]
        return min(bounds), max(bounds)

    def drive_bound(self) -> int:
        """Return the largest magnitude the accumulator can reach on any input."""
        half = self.num_groups // 2  # D is convex in the counts: largest with half of the groups full, the others empty
        deviation_max = 2 * half * (self.num_groups - half) * (self.population // self.num_groups)
        return (
            abs(self.weight_count) * self.population
            + abs(self.weight_deviation) * deviation_max
            + sum(abs(w) for w in self.weight_context) * CONTEXT_MAX
            + abs(self.bias)
        )

    def check_range(self, fmt: IntegerFormat, where: str) -> None:
        """Prove that accumulator and threshold fit their words on every input.

        Raises:
            RangeError: one of them can leave its word.
        """
        limit = 1 << (CONTROLLER_ACCUMULATOR_BITS - 1)
        if self.drive_bound() >= limit:
            raise RangeError(
                f"node {where}: threshold drive can reach {self.drive_bound()}, allowed is below {limit}; "
                "train with smaller controller weights"
            )
        low, high = self.theta_range
        if low <= 0 or high > fmt.threshold_max:
            raise RangeError(
                f"node {where}: threshold mantissa spans {low}..{high}, allowed is "
                f"1..{fmt.threshold_max}; lower amplitude or fraction_bits"
            )

    def threshold(self, group_counts: Int, context: Int) -> Int:
        """Return θ as a mantissa.

        Args:
            group_counts: int64 [..., num_groups], spikes per group.
            context: int64 [..., num_context], graded values.

        Returns:
            int64 [...], within `theta_range`.
        """
        total = group_counts.sum(axis=-1)
        deviation = np.abs(self.num_groups * group_counts - total[..., None]).sum(axis=-1)
        drive = self.weight_count * total + self.weight_deviation * deviation + self.bias
        if self.num_context:
            drive = drive + context @ np.asarray(self.weight_context, dtype=np.int64)
        z = np.clip(drive >> CONTROLLER_SHIFT, -CONTROLLER_UNITY, CONTROLLER_UNITY)
        theta: Int = self.theta_0 + ((self.amplitude * z + CONTROLLER_UNITY // 2) >> CONTROLLER_SHIFT)
        return theta

    def group_counts(self, spikes: Int) -> Int:
        """Count the spikes of each group: [..., population] to [..., num_groups]."""
        grouped = spikes.reshape(*spikes.shape[:-1], self.num_groups, self.population // self.num_groups)
        counts: Int = grouped.astype(np.int64).sum(axis=-1)
        return counts


def quantize_context(statistics: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Quantise context statistics once: clip(floor(256·c + 1/2), ±1023), the values every world replays."""
    scaled = np.floor(np.asarray(statistics, dtype=np.float64) * (1 << CONTEXT_FRACTION_BITS) + 0.5)
    quantized: npt.NDArray[np.int16] = np.clip(scaled, -CONTEXT_MAX, CONTEXT_MAX).astype(np.int16)
    return quantized
