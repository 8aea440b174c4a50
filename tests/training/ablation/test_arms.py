from __future__ import annotations

import dataclasses

import pytest

from hardware_profiles.errors import ConfigError
from training.ablation.arms import REFERENCE, all_arms, choose_arms, shape
from training.ablation.config import AblationConfig
from training.model.config import ModelConfig

WANTED = {
    "context only": "use_motion", "frames": "visual_input", "fixed threshold": "amplitude", "one stage": "steps",
    "no DAB": "use_discrepancy", "no RJLU": "use_joint_learning", "no CMRM": "use_reasoning",
    "no attention": "attention", "spikformer": "attention", "mdst": "architecture",
}  # fmt: skip


def test_the_grid_holds_every_block() -> None:
    reference = ModelConfig()
    arms = {arm.name: arm for arm in all_arms(reference)}
    assert next(iter(arms)) == REFERENCE and shape(reference, arms[REFERENCE]) == reference
    for name, field in WANTED.items():
        assert getattr(shape(reference, arms[name]), field) != getattr(reference, field), name
    shapes = [shape(reference, arm) for arm in arms.values()]
    assert len(set(shapes)) == len(shapes), "no two arms are the same model"


def test_one_stage_is_as_deep() -> None:
    reference = ModelConfig(steps=(16, 8, 4), blocks=(1, 2, 1))
    (arm,) = (arm for arm in all_arms(reference) if arm.name == "one stage")
    made = shape(reference, arm)
    assert (made.steps, made.blocks) == ((16,), (4,))


def test_arms_are_chosen_by_name_with_the_reference() -> None:
    assert [arm.name for arm in choose_arms(ModelConfig(), ("no DAB",))] == [REFERENCE, "no DAB"]
    assert choose_arms(ModelConfig(), ()) == all_arms(ModelConfig())
    with pytest.raises(ConfigError, match="arms: unknown 'no dab'; allowed are mdst\\+\\+, mdst"):
        choose_arms(ModelConfig(), ("no dab",))


def test_what_makes_no_ablation_is_refused() -> None:
    with pytest.raises(ConfigError, match="the ablation starts from 'mdst\\+\\+'"):
        all_arms(dataclasses.replace(ModelConfig(), architecture="mdst", steps=(16,)))
    with pytest.raises(ConfigError, match="num_seeds is 1, allowed are 2 and more"):
        AblationConfig(num_seeds=1)
