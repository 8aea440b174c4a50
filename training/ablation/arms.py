"""The arms of the ablation: what each changes in [model], and the question that it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hardware_profiles.errors import ConfigError

from ..model.config import ModelConfig

REFERENCE = "mdst++"
"""The arm that all others are compared with: [model] as it is."""


class Arm(NamedTuple):
    """One variant of the model.

    Attributes:
        name: short, as in the table.
        question: what the comparison with the reference tells.
        changes: of `ModelConfig`; a function of the reference where they depend on its shape.
    """

    name: str
    question: str
    changes: Mapping[str, Any]


def all_arms(reference: ModelConfig) -> tuple[Arm, ...]:
    """Return the grid around a reference of architecture `mdst++`.

    Raises:
        ConfigError: the reference is not of that architecture.
    """
    if reference.architecture != "mdst++":
        raise ConfigError(f"architecture is '{reference.architecture}': the ablation starts from 'mdst++'")
    first = reference.steps[0]
    return (
        Arm(REFERENCE, "the whole model", {}),
        Arm("mdst", "MDST++ or MDST: three Linear+LIF layers a stream", {"architecture": "mdst", "steps": (first,)}),
        Arm("context only", "does the motion stream help?", {"use_motion": False}),
        Arm("frames", "events or frames into the same stream?", {"visual_input": "frames"}),
        Arm("fixed threshold", "do dynamic thresholds help?", {"amplitude": 0.0}),
        Arm("threshold: motion", "is the context needed for the threshold?", {"threshold_from_context": False}),
        Arm("threshold: context", "is the motion needed for the threshold?", {"threshold_from_motion": False}),
        Arm("one stage", "do shrinking steps help? as many blocks on T1 steps",
            {"steps": (first,), "blocks": (sum(reference.blocks),)}),
        Arm("no DAB", "does the discrepancy analysis block help?", {"use_discrepancy": False}),
        Arm("no RJLU", "does the recurrent joint learning unit help?", {"use_joint_learning": False}),
        Arm("no CMRM", "does the cross-modal reasoning module help?", {"use_reasoning": False}),
        Arm("no attention", "does attention help?", {"attention": "none"}),
        Arm("spikformer", "which form of attention?", {"attention": "spikformer"}),
        Arm("with CE", "does a cross-entropy term help, as in ClipClap?", {"cross_entropy_weight": 1.0}),
    )  # fmt: skip


def choose_arms(reference: ModelConfig, names: Sequence[str]) -> tuple[Arm, ...]:
    """Return the arms of these names, the reference first; all of them for no names.

    Raises:
        ConfigError: a name that no arm has.
    """
    arms = all_arms(reference)
    known = {arm.name: arm for arm in arms}
    for name in names:
        if name not in known:
            raise ConfigError(f"arms: unknown '{name}'; allowed are {', '.join(known)}")
    return tuple(arm for arm in arms if not names or arm.name in names or arm.name == REFERENCE)


def shape(reference: ModelConfig, arm: Arm) -> ModelConfig:
    """Return [model] with an arm's changes."""
    return dataclasses.replace(reference, **arm.changes)
