"""Stops training when a loss is NaN or infinite."""

from __future__ import annotations

import pytorch_lightning as pl


class DivergedError(ValueError):
    """A loss is NaN or infinite."""


class Divergence(pl.Callback):
    """Checks the logged losses after every training epoch.

    Raises:
        DivergedError: in `on_train_epoch_end`, if a loss is NaN or infinite.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks every logged metric whose name ends in `/loss`."""
        for name, value in trainer.callback_metrics.items():
            if name.endswith("/loss") and not value.isfinite():
                raise DivergedError(f"diverged: {name} is {float(value)} in epoch {trainer.current_epoch}")
