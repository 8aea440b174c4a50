"""The MDST: what a checkpoint carries, how it is split for deployment, and the integers in the middle of floats."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export.deployment import Deployment, wanted_arrays
from export.reader import trace_network
from hardware_profiles.arithmetic import CONTEXT_MAX, quantize_context
from hardware_profiles.errors import ConfigError
from training.dynamic_threshold import DynamicThresholdLIF
from training.mdst import MDST, Batch, from_config, make_deployment, quantize_context_through, to_config

from .separable import NUM_BINS, SIZES, model_config

RATES = ("visual_motion_rate", "audio_motion_rate")
CONTEXTS = ("visual_context", "audio_context")


def model(seed: int = 0, **changes: object) -> MDST:
    torch.manual_seed(seed)
    return MDST(SIZES, model_config(**changes)).eval()


def batch(num_clips: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    rates = 0.05 + 0.5 * rng.random((num_clips, 1, 1))

    def events(width: int) -> torch.Tensor:
        return torch.from_numpy((rng.random((num_clips, NUM_BINS, width)) < rates).astype(np.float32))

    def features(width: int) -> torch.Tensor:
        return torch.from_numpy(rng.random((num_clips, NUM_BINS, width), dtype=np.float32))

    return Batch(
        events(SIZES.visual_events), events(SIZES.audio_events),
        features(SIZES.frame_features), features(SIZES.audio_features),
    )  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"use_motion": False, "threshold_from_context": False, "widths": (8, 4, 4)}])
def test_a_checkpoint_rebuilds_the_same_model(changes: dict[str, Any]) -> None:
    first = model(**changes)
    through_json = json.loads(json.dumps(to_config(SIZES, model_config(**changes))))
    second, sizes = from_config(through_json)
    assert sizes == SIZES
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(first(batch(3)), second.eval()(batch(3)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"checkpoint config \[sizes\]: key 'visual_events' is missing"),
        ({"sizes": {"pixels": 3}}, r"\[sizes\]: unknown key 'pixels'"),
        ({"sizes": 3}, r"\[sizes\]: is int, allowed is a table"),
    ],
)
def test_a_foreign_checkpoint_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_config(config)


def deployment() -> Deployment:
    return make_deployment(to_config(SIZES, model_config()))


def test_the_deployment_is_the_model_split() -> None:
    made = deployment()
    assert isinstance(made.module, MDST)
    assert made.chip is made.module.chip and made.dt_s == SIZES.dt_s
    before, after = made.hosts
    assert (before.name, before.when, before.module) == ("context", "before", made.module.context)
    assert before.inputs == ("frame_features", "audio_features")
    assert before.outputs == ("context_statistics", *CONTEXTS)
    assert (after.name, after.when, after.module) == ("readout", "after", made.module.readout)
    assert after.inputs == (*RATES, *CONTEXTS) and after.outputs == ("embedding",)
    needed, possible = wanted_arrays(made)
    assert needed == {"frame_features", "audio_features"}
    assert possible == {"visual_events", "audio_events", "frame_features", "audio_features"}


def test_everything_that_spikes_is_on_the_chip() -> None:
    made = deployment()
    graph = trace_network(made.chip).graph
    kinds = {name: (node.kind, node.size) for name, node in graph.inputs().items()}
    assert kinds == {
        "visual_events": ("spike", SIZES.visual_events),
        "audio_events": ("spike", SIZES.audio_events),
        "context_statistics": ("graded", 4),
    }
    neurons = {name for name, module in made.module.named_modules() if isinstance(module, DynamicThresholdLIF)}
    assert neurons == {f"chip.{stream}.lif.{i}" for stream in ("visual", "audio") for i in (0, 1)}
    assert not any(isinstance(module, nn.ReLU | nn.Dropout) for module in made.chip.modules())


def test_the_segments_together_compute_what_the_model_computes() -> None:
    made, clips = deployment(), batch(4)
    made.module.eval()
    with torch.no_grad():
        statistics, visual, audio = made.hosts[0].module(clips.frame_features, clips.audio_features)
        graded = torch.from_numpy(quantize_context(statistics.numpy()).astype(np.float64))
        made.module.chip.reset()
        steps = [made.chip(clips.visual_events[:, t], clips.audio_events[:, t], graded[:, t]) for t in range(NUM_BINS)]
        rates = [sum(step[name] for step in steps) / NUM_BINS for name in ("visual_motion", "audio_motion")]
        (embedding,) = made.hosts[1].module(*rates, visual, audio)
        assert torch.equal(embedding, made.module(clips))
        assert all(0 < rate.mean() < 1 for rate in rates)


def test_context_is_quantised_as_the_device_does() -> None:
    """Every multiple of 1/16 of a quantum over the whole range: ties, both clips, and each integer."""
    values = np.arange(-(CONTEXT_MAX + 3) * 16, (CONTEXT_MAX + 3) * 16 + 1) / (16 * 256)
    through = quantize_context_through(torch.from_numpy(values.astype(np.float32)))
    assert np.array_equal(through.numpy(), quantize_context(values.astype(np.float32)))
    assert (through.min(), through.max()) == (-CONTEXT_MAX, CONTEXT_MAX)
    ties = quantize_context_through(torch.tensor([-1.5, -0.5, 0.5, 1.5]) / 256)
    assert ties.tolist() == [-1, 0, 1, 2], "half is rounded up"
    random = np.random.default_rng(0).normal(0, 2, 20_000).astype(np.float32)
    assert np.array_equal(quantize_context_through(torch.from_numpy(random)).numpy(), quantize_context(random))


def test_quantisation_lets_gradients_through() -> None:
    statistics = torch.tensor([0.3, -0.2, 5.0], requires_grad=True)
    quantize_context_through(statistics).sum().backward()
    assert statistics.grad is not None and statistics.grad.tolist() == [256, 256, 0], "none where it clips"


def thresholds(network: MDST, visual: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """θ of the first visual layer in every step, `[T, B]`."""
    block = network.chip.visual.lif[0].threshold_block
    with torch.no_grad():
        return torch.stack([block(visual[:, t], context[:, t])[:, 0] for t in range(visual.shape[1])])


def test_thresholds_are_equal_for_a_clip_alone_and_in_a_batch() -> None:
    network, clips = model(), batch(16)
    with torch.no_grad():
        block = network.chip.visual.lif[0].threshold_block
        block.weight_deviation.fill_(0.37)
        block.weight_context.copy_(torch.tensor([0.11, -0.23, 0.31, 0.07]))
    context = torch.from_numpy(np.random.default_rng(1).integers(-600, 601, (16, NUM_BINS, 4)).astype(np.float64))
    together = thresholds(network, clips.visual_events, context)
    alone = [thresholds(network, clips.visual_events[i : i + 1], context[i : i + 1]) for i in range(16)]
    assert torch.equal(together, torch.cat(alone, dim=1))
    assert len(together.unique()) > 20
    integers = together * 2 ** network.chip.visual.lif[0].threshold_block.fraction_bits
    assert torch.equal(integers, integers.round())


def test_context_moves_thresholds_and_spikes_and_trains() -> None:
    network, clips = model(), batch(6)
    with torch.no_grad():
        for lif in network.chip.visual.lif:
            lif.threshold_block.weight_context.fill_(0.5)

        def rate(level: float) -> float:
            context = torch.full((6, NUM_BINS, 4), level, dtype=torch.float64)
            return float(network.motion_rates(clips.visual_events, clips.audio_events, context)["visual_motion"].mean())

        assert rate(-200) > rate(0) > rate(200)
    network.train()
    network(clips).square().sum().backward()
    for name, parameter in network.named_parameters():
        if name.startswith(("chip", "context", "readout")):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_membranes_are_forgotten_between_batches() -> None:
    network, clips = model(), batch(5)
    with torch.no_grad():
        first = network(clips)
        network(batch(5, seed=1))  # the same shape: no state is dropped for not fitting
        assert torch.equal(network(clips), first)
