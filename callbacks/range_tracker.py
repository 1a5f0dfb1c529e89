"""Switches the range observers on, and freezes the ranges from an epoch on."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn

from models.quantization.control import set_observing


class RangeTracker(pl.Callback):
    """Lets range observers update in every training step before `freeze_epoch`, and keeps the ranges from then on.

    Args:
        freeze_epoch: first epoch with frozen ranges; None: they are never frozen.

    Raises:
        ValueError: if `freeze_epoch` is below 1, when nothing would ever be observed.
    """

    def __init__(self, freeze_epoch: int | None = None) -> None:
        if freeze_epoch is not None and freeze_epoch < 1:
            raise ValueError(f"RangeTracker: freeze_epoch must be at least 1, got {freeze_epoch}")
        self.freeze_epoch = freeze_epoch

    def observing_in(self, epoch: int) -> bool:
        """Whether observers update in an epoch."""
        return self.freeze_epoch is None or epoch < self.freeze_epoch

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Warns if training ends before ranges are frozen."""
        epochs = trainer.max_epochs or -1
        if self.freeze_epoch is not None and 0 < epochs <= self.freeze_epoch:
            rank_zero_warn(
                f"RangeTracker: freezes no ranges, freeze_epoch is {self.freeze_epoch}, "
                f"the last of {epochs} epochs is {epochs - 1}"
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Switches all observers on or off."""
        set_observing(pl_module, observing=self.observing_in(trainer.current_epoch))
