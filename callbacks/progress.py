"""What a training shows of itself: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import (
    CustomBarColumn,
    ProcessingSpeedColumn,
    RichProgressBarTheme,
)
from rich.console import Console

LINES = 20
"""How many lines a training of a known number of epochs prints."""

BAR_WIDTH = 12
"""Columns of the bar: on a terminal of 80 columns, the longest name of a metric and its value stand beside it."""


class MetricsBar(RichProgressBar):
    """Lightning's bar with one metric a line, so that a terminal of 80 columns cuts no name."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10, theme=RichProgressBarTheme(metrics_text_delimiter="\n"))

    def configure_columns(self, trainer: pl.Trainer) -> list[Any]:
        """Returns Lightning's columns with a narrow bar and without the speed, whose place the metrics need."""
        columns = [c for c in super().configure_columns(trainer) if not isinstance(c, ProcessingSpeedColumn)]
        for column in columns:
            if isinstance(column, CustomBarColumn):
                column.bar_width = BAR_WIDTH
        return columns

    def _get_train_description(self, current_epoch: int) -> str:
        """Returns `Epoch 1/200`: epochs count from 1 wherever people read them."""
        total = f"/{self.trainer.max_epochs}" if (self.trainer.max_epochs or -1) > 0 else ""
        return f"Epoch {current_epoch + 1}{total}"


class EpochLines(ProgressBar):
    """Prints a line after every block of epochs: the metrics of its last epoch, and the seconds it took.

    A training of E epochs prints at most `LINES` lines; one without a number of epochs, a line an epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._began = 0.0

    def disable(self) -> None:
        """Lightning disables the bar of all processes but the first, which does not print here anyway."""

    def enable(self) -> None:
        """Nothing is to be enabled."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to measure the time of a block."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the line, on rank 0 only."""
        done, last = trainer.current_epoch + 1, trainer.max_epochs or -1
        if not trainer.is_global_zero or (done % block(last) and done != last):
            return
        total = f"/{last}" if last > 0 else ""
        shown = "  ".join(f"{name} {value:.4f}" for name, value in self.get_metrics(trainer, pl_module).items())
        seconds, self._began = time.perf_counter() - self._began, time.perf_counter()
        print(f"epoch {done}{total}  {shown}  {seconds:.1f} s", flush=True)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Returns the metrics of a bar that are numbers, by name: those of training first."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: metrics[name] for name in sorted(metrics) if isinstance(metrics[name], int | float)}


def block(epochs: int) -> int:
    """Returns the number of epochs from one line to the next; `epochs` is -1 where their number is unknown."""
    return max(1, -(-epochs // LINES))


def progress() -> ProgressBar:
    """Returns the bar for a terminal or notebook, or the lines for a file or pipe."""
    console = Console()
    return MetricsBar() if console.is_terminal or console.is_jupyter else EpochLines()
