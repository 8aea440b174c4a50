"""What Lightning shows and how it ends: a bar on stderr, no advice, Ctrl-C as everywhere, errors in one line."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from .errors import TrainingError


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, on stderr: stdout is for results."""

    def init_train_tqdm(self) -> Any:
        """Open the bar."""
        with contextlib.redirect_stdout(sys.stderr):
            return super().init_train_tqdm()

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Say the epoch that a resumed run is in."""
        super().on_train_start(trainer, module)
        if module.step:  # resumed within an epoch, whose start is not announced again
            self._describe(trainer, module)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Say stage and epoch."""
        super().on_train_epoch_start(trainer, module)
        self._describe(trainer, module)

    def _describe(self, trainer: pl.Trainer, module: Any) -> None:
        self.train_progress_bar.total = len(module.order)
        self.train_progress_bar.set_description(f"Stage {module.task.stage}, Epoch {len(module.history)}")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar; left open, it would be drawn again below the command's last line."""
        with contextlib.suppress(TypeError):  # no bar was opened yet
            self.train_progress_bar.close()


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning advises on workers and loggers that a run of seconds does not need."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*(num_workers|LeafSpec|isinstance).*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def one_line_from_processes() -> Iterator[None]:
    """What a process of DDP raised comes as a traceback in text; its last line says it."""
    try:
        yield
    except (ProcessRaisedException, ProcessExitedException) as error:
        text = str(error).strip().splitlines()[-1]
        raise TrainingError(f"a training process of several ended: {text}") from error


@contextlib.contextmanager
def ctrl_c_as_everywhere() -> Iterator[None]:
    """Lightning turns Ctrl-C into exit code 1 and then ignores the signal for good; undo both."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
