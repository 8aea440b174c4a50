"""An snnTorch neuron whose threshold moves every step, per sample, by what a chip can count.

The threshold is an *integer* already in training (`hardware_profiles.arithmetic.ThresholdController`, here with
straight-through gradients), so no rounding is left to happen on the way to the chip.
"""

from __future__ import annotations

from typing import Any, cast

import snntorch as snn
import torch
from torch import nn

from export.nodes import DynamicThresholdLIF as DynamicThresholdNode
from export.reading.snntorch_modules import per_neuron
from export.registry import IGNORED, ModuleCall, Reading, register_module
from hardware_profiles.arithmetic import (
    CONTEXT_FRACTION_BITS,
    CONTROLLER_SHIFT,
    CONTROLLER_UNITY,
    ThresholdController,
)

from .sequence.hard_reset import hard_reset_scan

DRIVE_BITS = 2 * CONTROLLER_SHIFT
"""A drive of 1.0 is 2^24 before the controller's shift by 12."""
EXPECTED_RATE = 0.1
"""Spike rate of a population at which θ starts at θ_0, and for which initial weights drive unit variance."""
HOMEOSTATIC_GAIN = 3.0
"""Initial drive per unit of spike rate: a population at twice the expected rate is driven by 0.3."""
WEIGHT_LIMIT = 4.0
"""Controller weights are clipped to ±4: safe in the 32-bit accumulator with seven context values and eight groups."""


class _Floor(torch.autograd.Function):
    """Floor forward, identity backward (straight-through)."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return torch.floor(value)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def floor_through(value: torch.Tensor) -> torch.Tensor:
    """Return floor(value) with the gradient of the identity."""
    floored: torch.Tensor = _Floor.apply(value)
    return floored


class ThresholdBlock(nn.Module):
    """Trainable form of `ThresholdController`; equal to it, integer for integer.

    z = clip((W_S·S + W_D·D + Σ_k W_k·c_k + B) >> 12, ±4096), θ = θ_0 + ((A·z + 2048) >> 12), evaluated in float64,
    where all these integers are exact. It starts homeostatic: a population that fires above `EXPECTED_RATE` raises
    θ, one below lowers it ("regulate neuron firing rates", the paper's Fig. 2); training does the rest. The paper
    (arXiv 2505.19938, Fig. 5) names the inputs only; the form is our reconstruction.

    Args:
        population: neurons counted; a multiple of `num_groups`.
        num_groups: contiguous groups whose counts give the mean absolute deviation.
        num_context: context values per step.
        threshold: θ at zero drive, in membrane units, > 0.
        amplitude: largest relative change of θ, in (0, 1).
        fraction_bits: fraction bits of θ.
        use_motion: False freezes the motion weights at zero (ablation).
        use_context: False freezes the context weights at zero (ablation).
    """

    def __init__(
        self,
        population: int,
        *,
        num_groups: int = 8,
        num_context: int = 0,
        threshold: float = 1.0,
        amplitude: float = 0.5,
        fraction_bits: int = 8,
        use_motion: bool = True,
        use_context: bool = True,
    ) -> None:
        super().__init__()
        if population % num_groups:
            raise ValueError(f"population {population} is not a multiple of num_groups {num_groups}")
        if not 0 <= amplitude < 1 or threshold <= 0:
            raise ValueError(f"amplitude {amplitude} must be in [0, 1) and threshold {threshold} positive")
        self.population, self.num_groups, self.fraction_bits = population, num_groups, fraction_bits
        self.theta_0 = round(threshold * 2**fraction_bits)
        self.amplitude = round(amplitude * self.theta_0)
        gain = HOMEOSTATIC_GAIN if use_motion else 0.0
        self.weight_count = nn.Parameter(torch.tensor(gain), requires_grad=use_motion)
        self.weight_deviation = nn.Parameter(torch.zeros(()), requires_grad=use_motion)
        self.weight_context = nn.Parameter(torch.zeros(num_context), requires_grad=use_context)
        self.bias = nn.Parameter(torch.tensor(-gain * EXPECTED_RATE), requires_grad=use_motion or use_context)

    def forward(self, population: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Return θ.

        Args:
            population: spikes `[..., population]`, `[B, population]` for a step, `[T, B, population]` for all.
            context: graded integers `[..., num_context]`, as `quantize_context` gives them.

        Returns:
            θ in membrane units, float32 `[..., 1]`, a multiple of 2^-fraction_bits.
        """
        # sums of fewer than 2^24 spikes are exact in float32; only what grows beyond is float64, and small
        counted = population if population.dtype == torch.float64 else population.float()
        groups = counted.unflatten(-1, (self.num_groups, -1)).sum(dim=-1).double()
        total = groups.sum(dim=-1)
        deviation = (self.num_groups * groups - total[..., None]).abs().sum(dim=-1)
        count, spread, per_context, bias = self._integer_weights()
        drive = count * total + spread * deviation + bias
        if context is not None and per_context.numel():
            drive = drive + context.double() @ per_context
        z = floor_through(drive / CONTROLLER_UNITY).clamp(-CONTROLLER_UNITY, CONTROLLER_UNITY)
        theta = self.theta_0 + floor_through((self.amplitude * z + CONTROLLER_UNITY // 2) / CONTROLLER_UNITY)
        in_membrane_units: torch.Tensor = (theta / 2**self.fraction_bits).float()[..., None]
        return in_membrane_units

    def _integer_weights(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        scales = (
            2.0**DRIVE_BITS / self.population,
            2.0**DRIVE_BITS / (2 * self.population),
            2.0 ** (DRIVE_BITS - CONTEXT_FRACTION_BITS),
            2.0**DRIVE_BITS,
        )
        weights = (self.weight_count, self.weight_deviation, self.weight_context, self.bias)
        count, spread, context, bias = (
            floor_through(weight.double().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT) * scale + 0.5)
            for weight, scale in zip(weights, scales, strict=True)
        )
        return count, spread, context, bias

    def controller(self) -> ThresholdController:
        """Return the integers that the chip is given."""
        count, spread, context, bias = self._integer_weights()
        return ThresholdController(
            population=self.population,
            num_groups=self.num_groups,
            weight_count=int(count),
            weight_deviation=int(spread),
            weight_context=tuple(int(weight) for weight in context),
            bias=int(bias),
            theta_0=self.theta_0,
            amplitude=self.amplitude,
            fraction_bits=self.fraction_bits,
        )


class DynamicThresholdLIF(snn.SpikingNeuron):
    """Leaky integrate-and-fire neurons, hard reset, with a threshold per sample and step.

    U[t] = β V[t−1] + X[t];  S[t] = 1(U[t] > θ[t]);  V[t] = U[t] (1 − S[t])   (arXiv 2505.19938, Fig. 3)

    Called like any snnTorch neuron, with the spikes that θ follows::

        spk, mem = lif(current, mem, population=input_spikes, context=context)

    Args:
        beta: leak β in [0, 1], one value for the layer.
        threshold_block: gives θ[t].
        spike_grad: surrogate gradient, snnTorch's default (arctangent) if None.
        init_hidden: keep the membrane inside and return spikes only, as in snnTorch.
    """

    def __init__(
        self, beta: float, threshold_block: ThresholdBlock, *, spike_grad: Any = None, init_hidden: bool = False
    ) -> None:
        super().__init__(spike_grad=spike_grad, init_hidden=init_hidden, reset_mechanism="zero")
        if not 0 <= beta <= 1:
            raise ValueError(f"beta {beta} must be in [0, 1]")
        self.register_buffer("beta", torch.as_tensor(beta))
        self.register_buffer("mem", torch.zeros(0), persistent=False)
        self.threshold_block = threshold_block

    def reset_mem(self) -> torch.Tensor:
        """Forget the membrane; call it before every independent sequence."""
        self.mem = torch.zeros(0, device=self.beta.device)
        return self.mem

    def forward(
        self,
        input_: torch.Tensor,
        mem: torch.Tensor | None = None,
        *,
        population: torch.Tensor,
        context: torch.Tensor | None = None,
    ) -> Any:
        """Advance one step.

        Args:
            input_: currents X[t], float32 `[B, n]`.
            mem: V[t−1], `[B, n]`; not with `init_hidden`. Empty means zero.
            population: spikes `[B, population]` that drive θ.
            context: graded integers `[B, num_context]`.

        Returns:
            (S[t], V[t]), or S[t] alone with `init_hidden`.
        """
        state = self.mem if mem is None else mem
        if state.shape != input_.shape:
            state = torch.zeros_like(input_)
        theta = self.threshold_block(population, context)
        u = self.beta * state + input_
        spk = self.spike_grad(u - theta)
        self.mem = u * (1 - spk.detach())
        return spk if self.init_hidden else (spk, self.mem)

    def sequence(
        self, current_TBN: torch.Tensor, *, population_TBP: torch.Tensor, context_TBC: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run all steps of independent sequences at once: the spikes of a loop of `forward`, for training.

        Membranes start at zero; the hidden membrane is neither read nor written.

        Args:
            current_TBN: currents X, `[T, B, *neurons]`, neurons of any shape.
            population_TBP: spikes that drive θ, `[T, B, population]`.
            context_TBC: graded integers `[T, B, num_context]`.

        Returns:
            S, of the currents' shape, float32 (float64 for float64 currents).
        """
        theta_TB1 = self.threshold_block(population_TBP, context_TBC)
        spikes_TBN, _ = hard_reset_scan(current_TBN, theta_TB1, self.beta, spike_grad=self.spike_grad)
        return spikes_TBN


def read_dynamic_threshold(call: ModuleCall) -> Reading:
    """Reading function of `DynamicThresholdLIF`, see `export.registry`."""
    module = cast(DynamicThresholdLIF, call.module)
    controller = module.threshold_block.controller()
    context = "context" if controller.num_context else IGNORED
    ports = {"input_": "input", "population": "population", "context": context}
    return Reading(
        node=DynamicThresholdNode(beta=per_neuron(module.beta, call, "beta"), controller=controller), ports=ports
    )


def _wanted_sizes(module: nn.Module) -> dict[str, int]:
    block = cast(DynamicThresholdLIF, module).threshold_block
    return {"population": block.population, "context": block.weight_context.numel()}


register_module(DynamicThresholdLIF, read_dynamic_threshold, states=("mem",), sizes=_wanted_sizes)
