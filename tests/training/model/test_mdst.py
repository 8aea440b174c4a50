"""The whole model: switches, checkpoints, the split for deployment, thresholds, independence of clips."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export.deployment import wanted_arrays
from export.reader import trace_network
from hardware_profiles.arithmetic import CONTEXT_MAX, quantize_context
from hardware_profiles.errors import ConfigError
from training.data.source import InputSizes
from training.dynamic_threshold import DynamicThresholdLIF
from training.model.mdst import MDST, from_config, make_deployment, quantize_context_through, to_config
from training.model.neurons import DynamicNeurons

from .clips import FLAT, SIZES, STEPS, batch, config, model

SWITCHES: list[dict[str, Any]] = [
    {},
    {"architecture": "mdst"},
    {"attention": "spikformer"},
    {"attention": "none"},
    {"steps": STEPS[:1], "blocks": (3,)},
    {"amplitude": 0.0},
    {"threshold_from_motion": False},
    {"threshold_from_context": False},
    {"use_discrepancy": False},
    {"use_joint_learning": False},
    {"use_reasoning": False},
    {"visual_input": "frames"},
    {"use_motion": False},
    {"cross_entropy_weight": 1.0},
]


def _role(name: str) -> str:
    """A parameter's name without stage, block, stream: small streams may sleep in one of them."""
    return re.sub(r"\d+|visual|audio", "*", name)


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_every_switch_trains_and_changes_the_answer(changes: dict[str, Any]) -> None:
    network, clips = model(**changes), batch(6, rate=0.4)
    with torch.no_grad():
        for name, parameter in network.chip.named_parameters():
            if name.endswith(("weight", "magnitude")):
                parameter *= 1.5  # so that even the smallest stage of these small streams is awake
    network.train()
    stages = network(clips)
    assert len(stages) == len(network.config.steps) and stages[-1].video.shape == (6, 8)
    loss, _ = network.loss(stages, torch.tensor([0, 1, 2, 3, 0, 1]), torch.rand(4, 6))
    loss.backward()
    taught = {_role(name) for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    silent = {_role(name) for name, p in network.named_parameters() if p.requires_grad} - taught
    unused = "chip" if changes.get("use_motion") is False else ".lif" if changes.get("amplitude") == 0 else None
    assert not [name for name in silent if unused is None or unused not in name]
    if changes and "cross_entropy_weight" not in changes:
        network.eval()
        assert not torch.equal(network(clips)[-1].video.detach(), model()(clips)[-1].video.detach())


def test_the_loss_of_every_stage_counts() -> None:
    network, clips = model(), batch(6)
    label, attributes = torch.tensor([0, 1, 2, 3, 0, 1]), torch.rand(4, 6)

    def loss(stages: Any) -> float:
        torch.manual_seed(1)
        return float(network.loss(stages, label, attributes)[0].detach())

    first, second, last = network(clips)
    whole = loss((first, second, last))
    alone = [loss((stage,)) for stage in (first, second, last)]
    assert whole == pytest.approx(alone[2] + 0.3 * (alone[0] + alone[1]), rel=1e-5)
    assert len({round(value, 4) for value in alone}) == 3, "stages answer differently"


@pytest.mark.parametrize(
    ("sizes", "changes"), [(SIZES, {}), (SIZES, {"architecture": "mdst"}), (FLAT, {"attention": "none"})]
)
def test_a_clip_is_answered_alone_as_in_a_batch(sizes: InputSizes, changes: dict[str, Any]) -> None:
    """Rates are equal bit for bit where weights are dyadic; only the host's floats may differ in their last bits."""
    network, clips = model(sizes, **changes), batch(5, sizes)
    with torch.no_grad():
        for parameter in network.chip.parameters():
            parameter.copy_((parameter * 16).round() / 16)
        statistics = torch.randint(-300, 300, (5, 8, 4)).double()
        together = network.motion_rates(clips, statistics)
        for i in range(5):
            one = type(clips)(*(values[i : i + 1] for values in clips))
            alone = network.motion_rates(one, statistics[i : i + 1])
            for whole, part in zip(together, alone, strict=True):
                assert all(torch.equal(w[i : i + 1], p) for w, p in zip(whole, part, strict=True))
    assert all(0 < float(rate.mean()) < 1 for stage in together for rate in stage)


@pytest.mark.parametrize(
    "changes", [{}, {"architecture": "mdst"}, {"attention": "spikformer", "use_discrepancy": False}]
)
def test_a_checkpoint_rebuilds_the_same_model(changes: dict[str, Any]) -> None:
    first = model(**changes)
    second, sizes = from_config(json.loads(json.dumps(to_config(SIZES, first.config))))
    assert sizes == SIZES and second.config == first.config
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(first(batch(3))[-1].joint, second.eval()(batch(3))[-1].joint)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({}, r"checkpoint config \[sizes\]: key 'visual_shape' is missing"),
        ({"sizes": {"pixels": 3}}, r"\[sizes\]: unknown key 'pixels'"),
        ({"sizes": 3}, r"\[sizes\]: is int, allowed is a table"),
    ],
)
def test_a_foreign_checkpoint_is_refused(made: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_config(made)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (8, 3)}, "each a multiple of the next"),
        ({"steps": (4, 8)}, "T1 > T2"),
        ({"blocks": (1,)}, "one positive number for each"),
        ({"architecture": "mdst", "steps": (8, 4)}, "'mdst' has one stage"),
        ({"channels": 9}, "multiple of num_groups"),
        ({"architecture": "mdst", "widths": (16,)}, "needs a second layer"),
        ({"context_heads": 3}, "must divide context_width"),
        ({"beta": 1.0}, "0 < beta < 1"),
        ({"dropout_decoder": 1.0}, "0 to below 1"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_attention_over_one_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="attention over one token is vacuous; set attention = 'none'"):
        model(FLAT)
    with pytest.raises(ConfigError, match="num_groups 3: must divide the 128 inputs of every layer"):
        model(SIZES, architecture="mdst", num_groups=3, widths=(24, 15))
    with pytest.raises(ConfigError, match="the first must be the 8 time steps"):
        model(SIZES, steps=(16, 8, 4))


def test_the_context_only_baseline_sees_no_motion() -> None:
    network, clips = model(use_motion=False), batch(3)
    still = clips._replace(visual_events=torch.zeros_like(clips.visual_events), audio_events=clips.audio_events * 0)
    assert torch.equal(network(clips)[-1].joint, network(still)[-1].joint)
    whole = model()
    assert not torch.equal(whole(clips)[-1].joint, whole(still)[-1].joint)


def test_nothing_on_the_chip_is_of_the_host() -> None:
    """No LayerNorm, BatchNorm, softmax, standard deviation or tanh of a signal; no bias either."""
    allowed = {"Linear", "Conv1d", "Conv2d", "ModuleList", "Leaky", "ATan", "DynamicThresholdLIF", "ThresholdBlock"}
    for changes in SWITCHES[:4]:
        chip = model(**changes).chip
        own = {type(m).__name__ for m in chip.modules() if not type(m).__module__.startswith("training.model")}
        assert own <= allowed
        assert not any(name.endswith(".bias") and "threshold_block" not in name for name, _ in chip.named_parameters())


def deployment(**changes: object):  # type: ignore[no-untyped-def]
    made = make_deployment(to_config(SIZES, config(architecture="mdst", **changes)))
    made.module.eval()
    return made


def test_the_deployment_is_the_model_split() -> None:
    made = deployment()
    assert isinstance(made.module, MDST)
    assert made.chip is made.module.chip and made.dt_s == SIZES.dt_s
    before, after = made.hosts
    assert (before.name, before.when, before.module) == ("context", "before", made.module.context)
    assert (after.name, after.when, after.outputs) == ("readout", "after", ("video_embedding", "joint_embedding"))
    needed, possible = wanted_arrays(made)
    assert needed == {"frame_features", "audio_features"}
    assert possible == {"visual_events", "audio_events", "frame_features", "audio_features"}


def test_everything_that_spikes_is_on_the_chip() -> None:
    made = deployment()
    graph = trace_network(made.chip).graph
    kinds = {name: (node.kind, node.size) for name, node in graph.inputs().items()}
    assert kinds == {
        "visual_events": ("spike", 128),
        "audio_events": ("spike", 32),
        "context_statistics": ("graded", 4),
    }
    neurons = {name for name, module in made.module.named_modules() if isinstance(module, DynamicThresholdLIF)}
    assert neurons == {f"chip.{stream}.neurons.{i}.lif" for stream in ("visual", "audio") for i in (0, 1)}
    assert not any(isinstance(module, nn.ReLU | nn.Dropout) for module in made.chip.modules())


def test_the_segments_together_compute_what_the_model_computes() -> None:
    made, clips = deployment(), batch(4)
    with torch.no_grad():
        for parameter in made.chip.parameters():
            parameter.copy_((parameter * 16).round() / 16)
        statistics, visual, audio, *_ = made.hosts[0].module(clips.frame_features, clips.audio_features)
        graded = torch.from_numpy(quantize_context(statistics.numpy()).astype(np.float64))
        made.chip.reset()
        steps = [made.chip(clips.visual_events[:, t], clips.audio_events[:, t], graded[:, t]) for t in range(8)]
        rates = [sum(step[name] for step in steps) / 8 for name in ("visual_motion", "audio_motion")]
        video, joint = made.hosts[1].module(*rates, visual, audio)
        whole = made.module(clips)[-1]
        assert torch.equal(video, whole.video) and torch.equal(joint, whole.joint)
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


def thresholds(network: MDST, clips: Any, context_BTN: torch.Tensor) -> torch.Tensor:
    """θ of all dynamic layers in every step, `[T or slower, B]` each, flattened."""
    seen: list[torch.Tensor] = []
    hooks = [
        layer.lif.threshold_block.register_forward_hook(lambda _m, _i, theta: seen.append(theta.detach().flatten()))
        for layer in network.chip.modules()
        if isinstance(layer, DynamicNeurons)
    ]
    with torch.no_grad():
        network.motion_rates(clips, context_BTN)
    for hook in hooks:
        hook.remove()
    return torch.cat(seen)


def test_thresholds_are_integers_that_vary_and_matter() -> None:
    network, clips = model(), batch(8)
    context = torch.randint(-600, 600, (8, 8, 4)).double()
    with torch.no_grad():
        for layer in network.chip.modules():
            if isinstance(layer, DynamicNeurons):
                layer.lif.threshold_block.weight_context.fill_(0.2)
    theta = thresholds(network, clips, context)
    assert torch.equal(theta * 256, (theta * 256).round()) and theta.min() >= 0.5 and theta.max() <= 1.5
    assert len(theta.unique()) > 50, "they vary over layers, samples and steps"
    moving = network.motion_rates(clips, context)
    frozen_network = model(amplitude=0.0)
    frozen_network.load_state_dict(network.state_dict())
    assert set(thresholds(frozen_network, clips, context).tolist()) == {1.0}
    frozen = frozen_network.motion_rates(clips, context)
    assert not torch.equal(moving[-1][0], frozen[-1][0]) and not torch.equal(moving[-1][1], frozen[-1][1])


def test_visual_and_audio_thresholds_are_apart() -> None:
    network, clips = model(use_discrepancy=False), batch(4)
    context = torch.zeros(4, 8, 4).double()
    louder = clips._replace(audio_events=1 - clips.audio_events)
    first, second = network.motion_rates(clips, context), network.motion_rates(louder, context)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[-1][1], second[-1][1])


def test_spike_rates_are_those_of_the_last_batch() -> None:
    network, clips = model(), batch(4)
    assert network.spike_rates() == {}
    with torch.no_grad():
        network(clips)
        rates = network.spike_rates()
        expected = network.motion_rates(clips, torch.zeros(4, 8, 4).double())
    assert list(rates) == [f"{stream}_T{steps}" for stream in ("visual", "audio") for steps in STEPS]
    assert all(0 < rate < 1 for rate in rates.values())
    assert network.spike_rates()["visual_T8"] == float(expected[0][0].mean())


def test_membranes_are_forgotten_between_batches() -> None:
    network, clips = model(), batch(5)
    with torch.no_grad():
        first = network(clips)[-1].joint
        network(batch(5, seed=1))  # the same shape: no state is dropped for not fitting
        assert torch.equal(network(clips)[-1].joint, first)
