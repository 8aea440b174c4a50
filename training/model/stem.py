"""Event stems: ON/OFF events to the currents of a stream's tokens, patches of the picture or bands of the sound.

    s₁ = LIF(W₁ * e),   x = W₂ * s₁      convolutions 3 wide, stride 2, no bias      (places: 16×16 → 8×8 → 4×4 tokens)

Where events have no place (feature files), both are Linear and there is one token.
"""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from .config import ModelConfig
from .neurons import DynamicNeurons, initial_weights, make_linear

KERNEL, STRIDE = 3, 2


class Stem(nn.Module):
    """Two layers; the second's neurons belong to the first stage.

    Attributes:
        tokens: n, tokens that the currents belong to.
        hidden: spikes of the first layer, which drive the currents.
    """

    def __init__(self, shape: tuple[int, ...], config: ModelConfig) -> None:
        super().__init__()
        self.shape = shape
        if len(shape) == 1:
            self.tokens, self.hidden = 1, config.channels
            self.first: nn.Module = make_linear(shape[0], config.channels)
            self.second: nn.Module = make_linear(config.channels, config.channels)
        else:
            middle = max(config.num_groups, config.channels // 2)
            places = [_halved(extent) for extent in shape[1:]]
            self.tokens = prod(_halved(extent) for extent in places)
            self.hidden = middle * prod(places)
            self.first = _convolution(shape[0], middle, len(places))
            self.second = _convolution(middle, config.channels, len(places))
            self.middle_shape = (middle, *places)
        self.neurons = DynamicNeurons(prod(shape), config)

    def forward(self, events: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (currents `[…, tokens·channels]`, spikes of the first layer `[…, hidden]`)."""
        hidden = self.neurons(self._drive(self.first, events, self.shape), events, context)
        if len(self.shape) == 1:
            return self.second(hidden), hidden
        current = _placed(self.second, hidden, self.middle_shape)
        # from channel, place to token, channel
        tokens = current.flatten(hidden.ndim).transpose(-2, -1)
        return tokens.flatten(-2), hidden

    @staticmethod
    def _drive(layer: nn.Module, events: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        if len(shape) == 1:
            current: torch.Tensor = layer(events)
            return current
        return _placed(layer, events, shape).flatten(events.ndim - 1)


def _placed(layer: nn.Module, flat: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Convolve flat `[…, N]` as `[…, channel, place…]`; a convolution knows one batch axis."""
    images: torch.Tensor = layer(flat.reshape(-1, *shape))
    return images.reshape(*flat.shape[:-1], *images.shape[1:])


def _convolution(channels_in: int, channels_out: int, dimensions: int) -> nn.Module:
    kind = nn.Conv1d if dimensions == 1 else nn.Conv2d
    layer = kind(channels_in, channels_out, KERNEL, stride=STRIDE, padding=KERNEL // 2, bias=False)
    initial_weights(layer.weight, channels_in * KERNEL**dimensions)
    return layer


def _halved(extent: int) -> int:
    return (extent + STRIDE - 1) // STRIDE
