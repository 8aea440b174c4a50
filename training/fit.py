"""From a data set to a checkpoint, its scores, and the table that puts them beside others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from export.checkpoint import save_checkpoint
from hardware_profiles.artifact import write_json

from .config import ProtocolConfig, TrainingConfig, baseline_key
from .data.source import ZeroShotData
from .model.config import ModelConfig
from .model.mdst import MDST, to_config
from .protocol import chance
from .result import write_result
from .stages import Outcome, candidates, run_stages

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.json"
METRICS_FORMAT = "axonport-training-1"
TENSORBOARD = "tensorboard"


def run_fit(
    data: ZeroShotData,
    model_config: ModelConfig,
    config: TrainingConfig,
    protocol: ProtocolConfig,
    folder: Path,
    work: Path,
) -> dict[str, Any]:
    """Train and test the model, and the context-only baseline if asked for; write all of it into `folder`.

    Args:
        data: the data set.
        model_config: section [model].
        config: section [training].
        protocol: section [protocol].
        folder: an existing folder.
        work: where resumable checkpoints lie; of no use once `folder` is safe, and then the caller's to remove.

    Returns:
        What `metrics.json` holds.
    """
    # the layers are small: threads that wait for each other cost more than they bring, on a busy machine 20 times
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    def train(name: str, shape: ModelConfig) -> Outcome:
        outcome = run_stages(data, make_model(data, shape, config.seed), config, protocol, work / name)
        for stage in outcome.history:
            board = work / name / stage / TENSORBOARD
            shutil.copytree(board, folder / TENSORBOARD / f"{name}_{stage}")
        return outcome

    outcome = train("mdst", model_config)
    save_checkpoint(folder / CHECKPOINT, outcome.model.state_dict(), to_config(data.sizes, model_config))
    metrics = describe(data, protocol, outcome)
    if config.train_context_only:
        baseline = train("context_only", replace(model_config, use_motion=False))
        for pair, heads in baseline.scores.items():
            metrics[baseline_key(pair)] = heads[protocol.head]
    write_json(folder / METRICS, metrics)
    write_result(folder, metrics)
    return metrics


def make_model(data: ZeroShotData, shape: ModelConfig, seed: int) -> Callable[[], MDST]:
    """Return a function that makes the model with the weights of this seed."""

    def make() -> MDST:
        pl.seed_everything(seed, verbose=False)
        return MDST(data.sizes, shape)

    return make


def describe(data: ZeroShotData, protocol: ProtocolConfig, outcome: Outcome) -> dict[str, Any]:
    """Return what `metrics.json` says about a trained model: percent throughout, offsets in units of distance.

    `test` (and `flipped`) hold the scores of the head that [protocol] names; `heads` those of both.
    """
    history: Mapping[str, Any] = outcome.history
    return {
        "format": METRICS_FORMAT,
        "title": data.title,
        "origin": data.origin,
        "stages": protocol.stages,
        "head": protocol.head,
        "num_parameters": sum(parameter.numel() for parameter in outcome.model.parameters()),
        "history": history["A"],
        "history_stage_b": history.get("B", []),
        "epoch": outcome.epoch,
        "offset": outcome.offsets[protocol.head],
        "offsets": dict(outcome.offsets),
        "heads": dict(outcome.scores),
        "chance": asdict(chance(candidates(data, protocol))),
        **{pair: heads[protocol.head] for pair, heads in outcome.scores.items()},
        "published_as": data.published_as,
    }
