"""The field's protocol for one model: stage A chooses epoch and offset, stage B trains anew, then one test.

After ExplainableML/AVCA-GZSL (README, `src/test.py`), which trains stage B for all epochs and then loads the epoch that
stage A chose. Nothing in an epoch depends on how many follow (stage B takes stage A's learning rates, epoch by epoch,
also those of `plateau`: its validation HM would be of classes that it was trained on), so training stops there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from .config import PAIRS, ProtocolConfig, TrainingConfig
from .data.source import JUDGED_ON, ClassRoles, ZeroShotData
from .evaluation import embed_and_compare, score_heads
from .loop import Row, Task, best, check_device, train


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """A trained model and all that is said about it.

    Attributes:
        model: of stage B, or A where that is all.
        history: stage to its rows.
        epoch: that stage A chose.
        offsets: head to the offset that stage A's validation chose.
        scores: pair of partitions to head to scores in percent.
    """

    model: nn.Module
    history: Mapping[str, list[Row]]
    epoch: int
    offsets: Mapping[str, float]
    scores: Mapping[str, dict[str, dict[str, float]]]


def run_stages(
    data: ZeroShotData,
    make_model: Callable[[], Any],
    config: TrainingConfig,
    protocol: ProtocolConfig,
    work: Path,
) -> Outcome:
    """Train and test one model.

    Args:
        data: the data set.
        make_model: returns a model with new weights, see `training.model.MDST`; called once per stage, seeded.
        config: section [training].
        protocol: section [protocol].
        work: folder of this model alone, one subfolder per stage; stages that are finished there are not repeated.
    """
    first = Task(
        stage="A",
        clips=data.training_clips("A"),
        roles=data.roles("A"),
        attributes=data.attributes,
        validation=[data.load(name) for name in JUDGED_ON["A"]],
        epochs=config.epochs,
    )
    model = make_model()
    history = {"A": train(model, first, config, protocol, work / "A")}
    chosen = best(history["A"])
    if protocol.stages == "AB":
        second = Task(
            stage="B",
            clips=data.training_clips("B"),
            roles=data.roles("B"),
            attributes=data.attributes,
            rates=[row["learning_rate"] for row in history["A"]],
            epochs=chosen["epoch"] + 1,
        )
        model = make_model()
        history["B"] = train(model, second, config, protocol, work / "B")
    offsets = {head: values["offset"] for head, values in chosen["val"].items()}
    # with several devices the next model's processes are forked, which a parent that uses CUDA cannot do
    model.to("cuda" if check_device(config) == "gpu" and config.devices == 1 else "cpu")
    scores = {
        pair: score_pair(model, data, protocol, pair, offsets)
        for pair, names in PAIRS.items()
        if set(names) <= set(data.partitions)
    }
    return Outcome(model=model.cpu(), history=history, epoch=chosen["epoch"], offsets=offsets, scores=scores)


def candidates(data: ZeroShotData, protocol: ProtocolConfig) -> ClassRoles:
    """Return the candidate classes of a test: seen are those that the tested model was trained on."""
    return ClassRoles(seen=data.roles(protocol.stages[-1]).seen, unseen=data.roles("B").unseen)


def score_pair(
    model: Any, data: ZeroShotData, protocol: ProtocolConfig, pair: str, offsets: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Score both heads on a pair of partitions (see `config.PAIRS`)."""
    clips = [data.load(name) for name in PAIRS[pair]]
    nearest = embed_and_compare(model, clips, data.attributes, candidates(data, protocol))
    return score_heads(nearest, offsets)
