"""Blocks of the chip segment against their equations, and a sequence against its steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.errors import TrainingError
from training.model.attention import MASK_THRESHOLD, SpikeDrivenAttention, SpikformerAttention
from training.model.discrepancy import DiscrepancyBlock
from training.model.frames import frame_spikes
from training.model.neurons import DynamicNeurons, FixedNeurons, reset
from training.model.spikeformer import SpikeFormerBlock, Stage, WindowPool
from training.model.stem import Stem

from .clips import assert_some_spike, config, dyadic, spikes

T, B, TOKENS, D = 8, 3, 4, 8


def context(seed: int = 1) -> torch.Tensor:
    return torch.randint(-300, 300, (T, B, 4), generator=torch.Generator().manual_seed(seed)).double()


def test_neurons_give_the_same_spikes_step_by_step() -> None:
    torch.manual_seed(0)
    neurons = DynamicNeurons(16, config())
    with torch.no_grad():
        neurons.lif.threshold_block.weight_context.fill_(0.3)
    current, population = torch.randn(T, B, 12), spikes((T, B, 16))
    together = neurons(current, population, context())
    alone = torch.stack([neurons(current[t], population[t], context()[t]) for t in range(T)])
    assert torch.equal(together, alone)
    assert_some_spike(together)


def test_fixed_neurons_give_the_same_spikes_step_by_step() -> None:
    torch.manual_seed(0)
    neurons, current = FixedNeurons(0.875, 1.0), torch.randn(T, B, 12)
    together = neurons(current)
    reset(neurons)
    assert torch.equal(together, torch.stack([neurons(current[t]) for t in range(T)]))
    assert_some_spike(together)


def test_spike_driven_attention_is_its_equation() -> None:
    attention = SpikeDrivenAttention(TOKENS, config())
    query, key, value = (spikes((T, B, TOKENS * D), 0.3, seed) for seed in range(3))
    found = attention(query, key, value).reshape(T, B, TOKENS, D)
    q, k, v = (flat.reshape(T, B, TOKENS, D) for flat in (query, key, value))
    membrane = torch.zeros(B, D)
    for t in range(T):
        membrane = 0.875 * membrane + sum(q[t, :, n] * k[t, :, n] for n in range(TOKENS))
        mask = (membrane > MASK_THRESHOLD).float()
        membrane = membrane * (1 - mask)
        for n in range(TOKENS):
            assert torch.equal(found[t, :, n], mask * v[t, :, n])
    assert_some_spike(found)
    assert found.sum() < v.sum(), "some channels are masked"


def test_spikformer_attention_is_its_equation() -> None:
    attention = SpikformerAttention(TOKENS, config())
    query, key, value = (spikes((T, B, TOKENS * D), 0.5, seed) for seed in range(3))
    found = attention(query, key, value).reshape(T, B, TOKENS, D)
    q, k, v = (flat.reshape(T, B, TOKENS, D) for flat in (query, key, value))
    membrane, per_head = torch.zeros(B, TOKENS, D), D // 2
    for t in range(T):
        drive = torch.zeros(B, TOKENS, D)
        for head in range(2):
            part = slice(head * per_head, (head + 1) * per_head)
            for n in range(TOKENS):
                for m in range(TOKENS):
                    count = (q[t, :, n, part] * k[t, :, m, part]).sum(dim=1, keepdim=True)
                    drive[:, n, part] += count * v[t, :, m, part]
        membrane = 0.875 * membrane + 0.25 * drive  # the power of two below 1 / √(4 · 4)
        fired = (membrane > 0.5).float()
        membrane = membrane * (1 - fired)
        assert torch.equal(found[t], fired)
    assert_some_spike(found)


@pytest.mark.parametrize("attention", ["sdsa", "spikformer", "none"])
@pytest.mark.parametrize("entry", [12, None])
def test_a_stage_gives_the_same_spikes_step_by_step(attention: str, entry: int | None) -> None:
    torch.manual_seed(0)
    stage = Stage(TOKENS, 2, config(attention=attention), entry=entry)
    dyadic(stage)
    values = (torch.randn(T, B, TOKENS * D) * 4).round() / 4
    population = spikes((T, B, entry or 1))
    together = stage(values, population, context())
    reset(stage)
    alone = torch.stack([stage(values[t], population[t], context()[t]) for t in range(T)])
    assert torch.equal(together, alone)
    assert_some_spike(together)


def test_a_block_without_attention_has_no_query() -> None:
    names = {name for name, _ in SpikeFormerBlock(TOKENS, config(attention="none")).named_modules()}
    assert not any("query" in name or "attention" in name for name in names)


def test_residuals_meet_in_the_currents() -> None:
    torch.manual_seed(0)
    block = SpikeFormerBlock(TOKENS, config())
    nn.init.zeros_(block.attention_out.linear.weight)
    nn.init.zeros_(block.contract.linear.weight)
    current = torch.randn(T, B, TOKENS * D)
    after, fired = block(current, spikes((T, B, TOKENS * D)), context())
    assert torch.equal(after, current), "branches of weight zero leave the current as it is"
    assert_some_spike(fired)


def test_the_stem_keeps_places() -> None:
    torch.manual_seed(0)
    stem = Stem((2, 8, 8), config(channels=8))
    assert (stem.tokens, stem.hidden) == (4, 4 * 4 * 4)
    nn.init.constant_(stem.first.weight, 3.0)
    nn.init.constant_(stem.second.weight, 1.0)
    events = torch.zeros(1, 1, 2, 8, 8)
    events[0, 0, 0, 7, 0] = 1  # lower left
    current, hidden = stem(events.flatten(2), torch.zeros(1, 1, 4).double())
    assert hidden.reshape(4, 4, 4).sum(dim=0).nonzero().tolist() == [[3, 0]]
    driven = current.reshape(2, 2, 8).abs().sum(dim=2)
    assert (driven > 0).tolist() == [[False, False], [True, False]], "token (1, 0) of 2 × 2"


def test_the_audio_stem_has_bands_for_tokens() -> None:
    stem = Stem((2, 16), config())
    current, hidden = stem(spikes((T, B, 32)), context())
    assert stem.tokens == 4 and current.shape == (T, B, 4 * 8) and hidden.shape == (T, B, stem.hidden)
    assert_some_spike(hidden)


def test_a_window_is_causal_and_starts_as_the_mean() -> None:
    window = WindowPool(4)
    values = torch.rand(8, 2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(window(values), torch.stack([values[:4], values[4:]]).mul(0.25).sum(dim=1))
    later = values.clone()
    later[4:] += 1
    assert torch.equal(window(later)[0], window(values)[0])
    with torch.no_grad():
        window.logits.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    weights = window(torch.eye(4)[:, None])[0, 0].detach()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-6) and weights.diff().min() > 0, "the oldest value first"


def test_discrepancy_tells_sound_from_sight() -> None:
    torch.manual_seed(0)
    block = DiscrepancyBlock(64, 32, config())
    weights = {name: getattr(block, name).weight for name in (
        "excite_by_audio", "inhibit_by_visual", "excite_by_visual", "inhibit_by_audio")}  # fmt: skip
    assert all((weight >= 0).all() for name, weight in weights.items() if name.startswith("excite"))
    assert all((weight <= 0).all() for name, weight in weights.items() if name.startswith("inhibit"))
    sight, sound = spikes((T, B, 64), 0.2), spikes((T, B, 32), 0.2, seed=1)
    nothing = torch.zeros_like

    def rates(visual: torch.Tensor, audio: torch.Tensor) -> list[float]:
        return [float(part.detach().mean()) for part in block(visual, audio)]

    heard, seen, both = rates(nothing(sight), sound), rates(sight, nothing(sound)), rates(sight, sound)
    assert heard[0] > 0.2 and heard[1] == 0, "sound alone drives d⁺ only"
    assert seen[0] == 0 and seen[1] > 0.2, "sight alone drives d⁻ only"
    assert both[0] < heard[0] and both[1] < seen[1], "each inhibits the other"
    assert rates(nothing(sight), nothing(sound)) == [0, 0]


def test_frames_become_as_many_spikes_as_they_are_bright() -> None:
    grey = torch.tensor([0.25, 0.5, 1.0, 0.0])[None, None, :, None].expand(2, 8, 4, 3).flatten(2)
    trains = frame_spikes(grey, (2, 4, 4)).reshape(2, 8, 2, 4, 4)
    per_cell = trains.sum(dim=1)[0]
    assert per_cell[0, ::2, ::2].tolist() == [[2, 4], [8, 0]] and per_cell[1, ::2, ::2].tolist() == [[6, 4], [0, 8]]
    assert torch.equal(trains[..., ::2, ::2], trains[..., 1::2, 1::2]), "cells are repeated to places"
    assert_some_spike(trains)


def test_frames_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(TrainingError, match="frame features of 10 values are no RGB pictures"):
        frame_spikes(torch.zeros(1, 8, 10), (2, 4, 4))
