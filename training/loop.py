"""The training loop: Lightning trains, the epoch with the best validation HM is kept, killed runs resume."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader, TensorDataset

from hardware_profiles.interrupts import raise_if_interrupted

from .config import TrainingConfig
from .data.dataset import Partition
from .losses import joint_loss
from .mdst import MDST, Batch
from .protocol import Split, choose_offset, score

BATCH = 128
"""Clips per step of evaluation."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassRoles:
    """Classes by role.

    Attributes:
        attributes: `[C, A]`, of all classes.
        seen: indices of the training classes.
        unseen: role (`val`, `test`) to indices of its unseen classes.
    """

    attributes: npt.NDArray[np.float32]
    seen: npt.NDArray[np.int64]
    unseen: Mapping[str, npt.NDArray[np.int64]]


def to_tensors(partition: Partition) -> tuple[torch.Tensor, ...]:
    """Return the four inputs and the labels of a partition; events stay uint8 until they are used."""
    arrays = (partition.visual_events, partition.audio_events, partition.frame_features, partition.audio_features)
    return (*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays), torch.from_numpy(partition.label))


@torch.no_grad()
def embed(model: MDST, partition: Partition) -> npt.NDArray[np.float32]:
    """Embed all clips of a partition, `[N, E]`, in eval mode."""
    model.eval()
    *inputs, _ = to_tensors(partition)
    parts = [
        model(Batch(*(tensor[start : start + BATCH].float() for tensor in inputs)))
        for start in range(0, len(inputs[0]), BATCH)
    ]
    embedding: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return embedding


@torch.no_grad()
def embed_classes(model: MDST, classes: ClassRoles) -> npt.NDArray[np.float32]:
    """Embed the attributes of all classes, `[C, E]`."""
    model.eval()
    embedding: npt.NDArray[np.float32] = model.text(torch.from_numpy(classes.attributes)).numpy()
    return embedding


def make_split(model: MDST, classes: ClassRoles, role: str, seen: Partition, unseen: Partition) -> Split:
    """Embed a pair of partitions for `protocol.score`."""
    return Split(
        embedding=np.concatenate([embed(model, seen), embed(model, unseen)]),
        label=np.concatenate([seen.label, unseen.label]),
        class_embedding=embed_classes(model, classes),
        seen=classes.seen,
        unseen=classes.unseen[role],
    )


class _Lightning(pl.LightningModule):
    """Couples the model, its losses and its validation to Lightning."""

    def __init__(
        self,
        model: MDST,
        classes: ClassRoles,
        config: TrainingConfig,
        validation: tuple[Partition, Partition],
        order: torch.Generator,
    ):
        super().__init__()
        self.model, self.classes, self.config, self.validation, self.order = model, classes, config, validation, order
        self.seen_attributes = torch.from_numpy(classes.attributes[np.sort(classes.seen)])
        self.seen = torch.from_numpy(np.sort(classes.seen))
        self.history: list[dict[str, float]] = []

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        raise_if_interrupted()
        *inputs, label = batch
        embedding = self.model(Batch(*(tensor.float() for tensor in inputs)))
        local = torch.searchsorted(self.seen, label)
        class_embedding = self.model.text(self.seen_attributes)
        loss = joint_loss(
            embedding, local, class_embedding, self.seen_attributes, self.model.reconstruct, self.config.margin
        )
        self.log("loss", loss, prog_bar=True, on_epoch=True, on_step=False)
        return loss

    def on_train_epoch_end(self) -> None:
        split = make_split(self.model, self.classes, "val", *self.validation)
        offset = choose_offset(split)
        scores = score(split, offset)
        self.log("val_hm", torch.tensor(scores.HM), prog_bar=True)
        self.history.append(
            {
                "epoch": self.current_epoch,
                "loss": float(self.trainer.callback_metrics["loss"]),
                "val_hm": scores.HM,
                "offset": offset,
            }
        )
        self.model.train()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.config.epochs)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = list(self.history)
        # with both, a resumed run draws what an uninterrupted one would have drawn
        checkpoint["random"] = {"order": self.order.get_state(), "dropout": torch.get_rng_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])
        self.order.set_state(checkpoint["random"]["order"])
        torch.set_rng_state(checkpoint["random"]["dropout"])


class _ProgressBar(TQDMProgressBar):
    """Lightning's bar, on stderr: stdout is for results."""

    def init_train_tqdm(self) -> Any:
        with contextlib.redirect_stdout(sys.stderr):
            return super().init_train_tqdm()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar; left open, it would be drawn again below the command's last line."""
        with contextlib.suppress(TypeError):  # no bar was opened yet
            self.train_progress_bar.close()


def fit(
    model: MDST,
    classes: ClassRoles,
    config: TrainingConfig,
    train: Partition,
    validation: tuple[Partition, Partition],
    work: Path,
) -> list[dict[str, float]]:
    """Train `model` in place and leave it at its best epoch.

    Args:
        model: the model.
        classes: attributes and roles.
        config: hyper-parameters.
        train: clips of seen classes.
        validation: clips of seen and of validation-unseen classes; they choose the epoch.
        work: folder for Lightning's checkpoints; a run killed half-way resumes from it and gives what it would have
            given. The caller removes it once the result is safe.

    Returns:
        One row per epoch: loss, validation HM and its offset.
    """
    order = torch.Generator().manual_seed(config.seed)
    lightning = _Lightning(model, classes, config, validation, order)
    loader = DataLoader(TensorDataset(*to_tensors(train)), config.batch_size, shuffle=True, generator=order)
    best = ModelCheckpoint(work, monitor="val_hm", mode="max", save_on_train_epoch_end=True)
    # not save_last, which is written only when the best changes; after `best`, whose state it holds
    every = ModelCheckpoint(work, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    with _quiet_lightning(), _ctrl_c_as_everywhere():
        trainer = pl.Trainer(
            max_epochs=config.epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_model_summary=False,
            callbacks=[best, every, _ProgressBar(refresh_rate=1)],
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        last = work / "last.ckpt"
        trainer.fit(lightning, loader, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    model.cpu().eval()
    return lightning.history


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning advises on workers and loggers that a run of seconds does not need."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*(num_workers|LeafSpec|isinstance).*")
        try:
            yield
        finally:
            logger.setLevel(level)


@contextlib.contextmanager
def _ctrl_c_as_everywhere() -> Iterator[None]:
    """Lightning turns Ctrl-C into exit code 1 and then ignores the signal for good; undo both."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
