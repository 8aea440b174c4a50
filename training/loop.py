"""One stage of training: Lightning trains, the wanted epoch's weights are kept, killed runs resume.

All that is random in a step is drawn from a seed made of (seed, stage, epoch, step, process), and the learning rate is
a function of the epochs before: a resumed run needs weights, moments and history, and then takes the same steps, to
the bit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.strategies import DDPStrategy
from tensorboardX import SummaryWriter
from torch import nn

from export.checkpoint import load_checkpoint, save_checkpoint
from hardware_profiles.artifact import read_json, write_json
from hardware_profiles.interrupts import raise_if_interrupted

from .config import ProtocolConfig, TrainingConfig
from .console import ProgressBar, ctrl_c_as_everywhere, one_line_from_processes, quiet_lightning
from .data.source import STAGES, ClassRoles, Clips
from .errors import TrainingError
from .evaluation import embed_and_compare, judge
from .sampling import STEP, ClipOrder, TrainingBatches, derive_seed, make_loader
from .schedule import learning_rate
from .workers import is_worker

WEIGHTS = "weights.safetensors"
"""Of the best epoch so far (stage A), or of the last one (stage B)."""
LAST = "last.ckpt"
"""Lightning's state after the last epoch, or step, that is safe on disk."""
DONE = "stage.json"
"""History of a stage that is finished."""

Row = dict[str, Any]
"""One epoch: epoch, learning_rate, loss and its terms; in stage A also val_hm, offset and val (per head)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What one stage trains on, and what it is judged on.

    Attributes:
        stage: `A` or `B`.
        clips: to learn from.
        roles: candidate classes; `seen` are the training classes.
        attributes: class vectors of all classes, float32 `[C, A]`.
        validation: clips that choose the epoch; none in stage B.
        rates: learning rate per epoch, where it is given (stage B); else the schedule says it.
        epochs: how many.
    """

    stage: str
    clips: Clips
    roles: ClassRoles
    attributes: npt.NDArray[np.float32]
    validation: Sequence[Clips] = ()
    rates: Sequence[float] = ()
    epochs: int


def best(history: Sequence[Row]) -> Row:
    """Return the epoch with the best validation HM, the first of equals."""
    return max(history, key=lambda row: (row["val_hm"], -row["epoch"]))


def train(model: nn.Module, task: Task, config: TrainingConfig, protocol: ProtocolConfig, work: Path) -> list[Row]:
    """Train `model` in place and leave it at its best epoch (with validation clips) or its last (without).

    Args:
        model: see `training.model.MDST`, with its first weights.
        task: clips and classes.
        config: hyper-parameters.
        protocol: head and offsets of validation.
        work: folder of this stage alone; a run killed half-way resumes from it and gives what it would have given. The
            caller removes it once the result is safe.

    Returns:
        One row per epoch.

    Raises:
        TrainingError: no such device, too few clips, or a loss that is not finite.
    """
    accelerator = check_device(config)
    if not (work / DONE).is_file():
        work.mkdir(parents=True, exist_ok=True)
        lightning = _Lightning(model, task, config, protocol, work)
        last = str(work / LAST) if (work / LAST).is_file() else None
        with quiet_lightning(), ctrl_c_as_everywhere(), one_line_from_processes():
            _make_trainer(task, config, accelerator).fit(lightning, ckpt_path=last, weights_only=True)
        # from the file: with several devices other processes trained
        history = torch.load(work / LAST, map_location="cpu", weights_only=True)["history"]
        write_json(work / DONE, {"history": history})
    state, _ = load_checkpoint(work / WEIGHTS)
    model.load_state_dict(state)
    model.cpu().eval()
    rows: list[Row] = read_json(work / DONE)["history"]
    return rows


def check_device(config: TrainingConfig) -> str:
    """Return `cpu` or `gpu`, which one `accelerator` means here.

    Raises:
        TrainingError: fewer GPUs than asked for, or a precision that the CPU does not have.
    """
    found = torch.cuda.device_count()
    accelerator = config.accelerator if config.accelerator != "auto" else ("gpu" if found else "cpu")
    if accelerator == "gpu" and found < config.devices:
        mend = f"devices = {found}" if found else 'accelerator = "cpu"'
        raise TrainingError(
            f"[training] accelerator 'gpu', devices {config.devices}: torch sees {found} CUDA devices; set {mend}"
        )
    if accelerator == "cpu" and config.precision == "16-mixed":
        raise TrainingError(
            "[training] precision '16-mixed': trains on a GPU only, and none is used; allowed are '32-true' and "
            "'bf16-mixed'"
        )
    return accelerator


def _make_trainer(task: Task, config: TrainingConfig, accelerator: str) -> pl.Trainer:
    bars = [] if is_worker() else [ProgressBar(refresh_rate=1)]
    return pl.Trainer(
        max_epochs=task.epochs,
        accelerator=accelerator,
        devices=config.devices,
        # forked, not started anew: the command line would run once per process otherwise
        strategy=DDPStrategy(start_method="fork", find_unused_parameters=True) if config.devices > 1 else "auto",
        precision=config.precision,
        gradient_clip_val=config.gradient_clip or None,
        use_distributed_sampler=False,  # ClipOrder shares the clips out
        logger=False,
        enable_model_summary=False,
        callbacks=[_Saving(config.checkpoint_steps), *bars],
        enable_progress_bar=bool(bars),
        num_sanity_val_steps=0,
    )


class _Lightning(pl.LightningModule):
    """Couples the model, its losses and its validation to Lightning."""

    def __init__(self, model: Any, task: Task, config: TrainingConfig, protocol: ProtocolConfig, work: Path) -> None:
        super().__init__()
        self.model, self.task, self.config, self.protocol, self.work = model, task, config, protocol, work
        seen = torch.from_numpy(task.attributes[task.roles.seen])
        self.register_buffer("seen_attributes", seen, persistent=False)
        self.history: list[Row] = []
        self.step = 0
        """Steps done in this epoch."""
        self.sums: dict[str, torch.Tensor] = {}
        """Of every loss term over these steps, float64."""
        self.order: ClipOrder | None = None
        self.board: Any = None

    def train_dataloader(self) -> Any:
        stage = STAGES.index(self.task.stage)
        self.order = ClipOrder(self.task.clips.label, self.config, stage, self.global_rank)
        self.order.epoch, self.order.start = len(self.history), self.step
        return make_loader(TrainingBatches(self.task.clips, self.task.roles.seen), self.order, self.config)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind: type[torch.optim.Optimizer] = torch.optim.Adam if self.config.optimizer == "adam" else torch.optim.AdamW
        options: dict[str, Any] = {"lr": self.config.learning_rate, "weight_decay": self.config.weight_decay}
        return kind(self.model.parameters(), **options)

    def on_train_start(self) -> None:
        if self.trainer.is_global_zero:
            self.board = SummaryWriter(str(self.work / "tensorboard"), purge_step=len(self.history) or None)

    def on_train_epoch_start(self) -> None:
        assert self.order is not None
        self.order.epoch, self.order.start = len(self.history), 0
        rates, done = self.task.rates, [row.get("val_hm", 0.0) for row in self.history]
        rate = rates[len(done)] if rates else learning_rate(self.config, done)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        raise_if_interrupted()
        clips, label = batch
        place = (STAGES.index(self.task.stage), len(self.history), self.step, self.global_rank)
        torch.manual_seed(derive_seed(STEP, self.config.seed, *place))  # of dropout and negatives
        loss: torch.Tensor
        loss, terms = self.model.loss(self.model(clips), label, self.seen_attributes)
        for name, value in {"loss": loss, **terms}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()
        self.step += 1
        self.log("loss", loss.detach(), prog_bar=True, logger=False, batch_size=len(label))
        return loss

    def on_train_epoch_end(self) -> None:
        means = {
            name: self.trainer.strategy.reduce(total / self.step, reduce_op="mean") for name, total in self.sums.items()
        }
        row: Row = {
            "epoch": len(self.history),
            "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
            **{name: float(value) for name, value in means.items()},
        }
        if not np.isfinite(row["loss"]):
            raise TrainingError(
                f"stage {self.task.stage}, epoch {row['epoch']}: the loss is {row['loss']}; lower learning_rate or set "
                "gradient_clip in [training]"
            )
        if self.trainer.is_global_zero:
            self._finish_epoch(row)
        self.history.append(self.trainer.strategy.broadcast(row))
        self.step, self.sums = 0, {}
        self.model.train()

    def _finish_epoch(self, row: Row) -> None:
        """Judge the epoch, show it, and keep its weights if they are wanted; in one process."""
        rates = self.model.spike_rates() if hasattr(self.model, "spike_rates") else {}
        if self.task.validation:
            nearest = embed_and_compare(self.model, self.task.validation, self.task.attributes, self.task.roles)
            judged = judge(nearest, self.protocol)
            row["val_hm"], row["offset"] = judged[self.protocol.head].scores.HM, judged[self.protocol.head].offset
            row["val"] = {head: {"offset": one.offset, **vars(one.scores)} for head, one in judged.items()}
            self.log("val_hm", row["val_hm"], prog_bar=True, logger=False, rank_zero_only=True)
            wanted = best([*self.history, row]) is row
        else:
            wanted = row["epoch"] == self.task.epochs - 1
        self._show(row, rates)
        if wanted:
            save_checkpoint(self.work / WEIGHTS, self.model.state_dict(), {})

    def _show(self, row: Row, rates: dict[str, float]) -> None:
        shown = {f"train/{name}": value for name, value in row.items() if isinstance(value, float)}
        for head, values in row.get("val", {}).items():
            shown.update({f"val_{head}/{name}": value for name, value in values.items()})
        shown.update({f"spike_rate/{name}": rate for name, rate in rates.items()})
        for name, value in shown.items():
            self.board.add_scalar(name, value, row["epoch"])
        self.board.flush()

    def teardown(self, stage: str) -> None:
        if self.board is not None:
            self.board.close()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = list(self.history)
        # of all processes, [devices] each
        sums = {name: torch.atleast_1d(self.all_gather(total)).cpu() for name, total in self.sums.items()}
        checkpoint["within_epoch"] = {"step": self.step, "sums": sums}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])
        self.step = checkpoint["within_epoch"]["step"]
        self.sums = {name: totals[self.global_rank] for name, totals in checkpoint["within_epoch"]["sums"].items()}


class _Saving(Checkpoint):
    """Saves after every epoch, and every `num_steps` steps within one; whole or not at all."""

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        # not after the last step: the epoch is not over before its validation is
        if self._num_steps and module.step % self._num_steps == 0 and module.step < len(module.order):
            self._save(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._save(trainer, module)  # as a Checkpoint it comes after the module's own hook

    def _save(self, trainer: pl.Trainer, module: Any) -> None:
        new = module.work / f"{LAST}.new"
        trainer.save_checkpoint(new)
        if trainer.is_global_zero:
            os.replace(new, module.work / LAST)
