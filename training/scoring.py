"""Embeddings that other worlds computed (float, integer, Lava), scored as training scores its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from export.checkpoint import load_checkpoint
from export.hdf5_guard import open_checked
from hardware_profiles.artifact import read_json, write_json

from .config import PAIRS, ProtocolConfig, baseline_key
from .data.source import ZeroShotData
from .errors import TrainingError
from .evaluation import compare, embed_classes, score_heads
from .fit import CHECKPOINT, METRICS, METRICS_FORMAT
from .model.mdst import from_config
from .protocol import EMBEDDINGS
from .stages import candidates

ACCURACY_FORMAT = "axonport-accuracy-1"


def run_score(
    training: Path, data: ZeroShotData, outputs: Sequence[Path], out: Path, pair: str = "test"
) -> dict[str, Any]:
    """Score embeddings that other worlds computed on a pair of partitions.

    Args:
        training: folder written by `run_fit`.
        data: the data set.
        outputs: HDF5 files with the arrays of `protocol.EMBEDDINGS`, `[N, E]`, N = clips of the seen partition then the
            unseen one, and attribute `world`.
        out: folder for `accuracy.json`.
        pair: which partitions, see `config.PAIRS`.

    Raises:
        TrainingError: an outputs file does not fit the partitions, or the data set has none of that name.
    """
    missing = [name for name in PAIRS[pair] if name not in data.partitions]
    if missing:
        raise TrainingError(
            f"{data.title}: no partition {', '.join(missing)}; it has {', '.join(data.partitions)}; name another --pair"
        )
    state, config = load_checkpoint(training / CHECKPOINT)
    model, _ = from_config(config)
    model.load_state_dict(state)
    metrics = read_json(training / METRICS)
    if not isinstance(metrics, dict) or metrics.get("format") != METRICS_FORMAT:
        raise TrainingError(f"{training / METRICS}: not of format '{METRICS_FORMAT}'; write it with `training fit`")
    roles = candidates(data, ProtocolConfig(stages=metrics["stages"]))
    label = np.concatenate([data.load(name).label for name in PAIRS[pair]])
    class_embedding = embed_classes(model, data.attributes)
    num_scored = np.isin(label, np.concatenate(roles)).sum()
    rows = []
    for path in outputs:
        world, embedding = _read_outputs(path, (len(label), class_embedding.shape[1]), pair)
        heads = score_heads(compare(embedding, label, class_embedding, roles), metrics["offsets"])
        rows.append({"world": world, **heads[metrics["head"]], "heads": heads})
    baseline = metrics.get(baseline_key(pair))
    result = {
        "format": ACCURACY_FORMAT,
        "rows": rows,
        "chance": metrics["chance"],
        **({"context_only": baseline} if baseline else {}),
        "notes": [
            f"{num_scored} clips of {' and '.join(PAIRS[pair])}, {metrics['head']} head; "
            f"one training seed; data: {metrics['origin']}",
            f"offset {metrics['offset']:g} on seen distances, chosen on the validation classes",
        ],
    }
    write_json(out / "accuracy.json", result)
    return result


def _read_outputs(path: Path, shape: tuple[int, int], pair: str) -> tuple[str, dict[str, npt.NDArray[np.float32]]]:
    with open_checked(path) as file:
        world = str(file.attrs.get("world", path.stem))
        return world, {head: _read_embedding(path, file, name, shape, pair) for head, name in EMBEDDINGS.items()}


def _read_embedding(
    path: Path, file: h5py.File, name: str, shape: tuple[int, int], pair: str
) -> npt.NDArray[np.float32]:
    if name not in file or not isinstance(file[name], h5py.Dataset):
        raise TrainingError(f"outputs {path}: no array '{name}'; run export or lava_runtime on this network")
    stored = file[name]
    if stored.shape != shape or stored.dtype.kind not in "iuf":
        raise TrainingError(
            f"outputs {path}: {name} is {stored.dtype} {stored.shape}, allowed are numbers {shape}; run this network "
            f"on all clips of the groups {', '.join(PAIRS[pair])}"
        )
    embedding = np.asarray(stored[()], dtype=np.float32)
    if not np.isfinite(embedding).all():
        raise TrainingError(f"outputs {path}: {name} holds NaN or infinite values; look for them in the weights")
    return embedding
