"""snnTorch's own `Leaky` over whole sequences: the loop of `neuron(x[t], mem)` in one call."""

from __future__ import annotations

import snntorch as snn
import torch
from torch import nn

from ..errors import TrainingError
from .backends import choose_loops
from .scan import Neurons, Reset, flat, scan

RESETS = {"subtract": Reset.SUBTRACT, "zero": Reset.ZERO, "none": Reset.NONE}


def leaky_sequence(
    neuron: snn.Leaky, current_TBN: torch.Tensor, mem: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes and membranes of all steps, bit-equal to a loop of `neuron` for equal currents.

    U[t] = clamp(β, 0, 1)·U[t−1] + X[t] − R[t]·θ ("subtract"), β·(1 − R[t])·U[t−1] + X[t] ("zero") or
    β·U[t−1] + X[t] ("none"); S[t] = 1(U[t] > θ), R[t] = 1(U[t−1] > θ) (snnTorch's `Leaky`, delayed reset). Gradients
    reach X, U[−1], and β and θ where they are learned; those of X and U[−1] are bit-equal to the loop's, those of β and
    θ the same sums in another order.

    Args:
        neuron: a `Leaky` with delayed reset, without inhibition, state quantisation or graded spikes. Its hidden
            membrane is neither read nor written.
        current_TBN: X, `[T, B, *neurons]`; half precisions are computed in float32.
        mem: U[−1], `[B, *neurons]`, zero if None.

    Returns:
        S and U, `[T, B, *neurons]` each, of the currents' type (float32 for half precisions).

    Raises:
        TrainingError: the neuron is of another kind, or its β or θ do not fit the currents.
    """
    check_supported(neuron)
    current, shape = flat(current_TBN), current_TBN.shape
    beta = _per_neuron(neuron.beta.clamp(0, 1), "beta", current, shape)
    theta = _per_neuron(neuron.threshold, "threshold", current, shape)
    state = torch.zeros_like(current[0]) if mem is None else mem.to(current.dtype).flatten(1)
    owed = (state - theta > 0).to(current.dtype)
    neurons = Neurons(theta[None, None], beta, state, owed, RESETS[neuron.reset_mechanism])
    spikes, membranes = scan(current, neurons, neuron.spike_grad, choose_loops(current.device))
    return spikes.view(shape), membranes.view(shape)


def check_supported(neuron: nn.Module) -> None:
    """Refuse what a sequence cannot do.

    Raises:
        TrainingError: `neuron` is not a `Leaky` or uses a form of it whose steps are not those of `leaky_sequence`.
    """
    if type(neuron) is not snn.Leaky:
        raise TrainingError(
            f"neuron {type(neuron).__name__}: whole sequences know snntorch.Leaky only; step through time instead"
        )
    refused = {
        "inhibition": bool(neuron.inhibition),
        "state_quant": bool(neuron.state_quant),
        "reset_delay=False": not neuron.reset_delay,
        "learn_graded_spikes_factor": isinstance(neuron.graded_spikes_factor, nn.Parameter),
        "graded_spikes_factor other than 1": not torch.all(torch.as_tensor(neuron.graded_spikes_factor) == 1),
    }
    for form, used in refused.items():
        if used:
            raise TrainingError(f"neuron Leaky with {form}: whole sequences lack it; step through time or do without")


def _per_neuron(value: torch.Tensor, name: str, current: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return β or θ as `[1]` or `[N]`, in the currents' type."""
    if value.dim() and torch.promote_types(value.dtype, current.dtype) != current.dtype:
        raise TrainingError(
            f"{name} is {value.dtype}, the currents {current.dtype}: convert the layer, layer.to(dtype)"
        )
    value = value.to(current.dtype)
    if value.numel() == 1:
        return value.reshape(1)
    try:
        return value.expand(shape[2:]).flatten()
    except RuntimeError:
        raise TrainingError(
            f"{name} of shape {list(value.shape)} with currents {list(shape)}: allowed is one value, or one per neuron "
            f"{list(shape[2:])}; give it that shape"
        ) from None
